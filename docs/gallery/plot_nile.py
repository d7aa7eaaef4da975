"""
Nile: a level that wanders
==========================

A hundred years of the Nile's annual flow, by the simplest structural model: a level that moves as a random walk, measured
with noise. It is the running example of Durbin and Koopman, *Time Series Analysis by State Space Methods*.
"""

# %%
# The model and its two unknowns
# ------------------------------
import matplotlib.pyplot as plt
import numpy as np

import kelman
from kelman import structural

nile = kelman.datasets.nile()
model = structural.level()
fit = kelman.fit(nile.z, template=model, method="mle")
print(fit.summary())

# %%
# The book prints 1469.1 and 15099 for the two variances.
#
# The level, given all years
# --------------------------
# The variance of the level is what the data leave open: narrow in the middle of the record, wider at its ends.
c = structural.components(fit, nile.z)
print(c.summary())
c.plot(time=nile.time)

# %%
# A gap, and the years to come
# ----------------------------
# What was not measured is ``nan``. Nothing is filled in; the band says how little is known there. A forecast is a gap at the
# end.
z = nile.z.copy()
z[40:60] = np.nan
level = structural.components(model, z, theta=fit.theta)["level"]
ahead = kelman.forecast(fit.model, z, 20)
low, high = level.interval(0.9)
low_ahead, high_ahead = ahead.interval(0.9)
years = np.arange(nile.time[-1] + 1, nile.time[-1] + 21)

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(nile.time, z[:, 0], ".", color="0.5", label="measured")
ax.plot(nile.time, level.mean[:, 0], color="C0", label="level, 90 % band")
ax.fill_between(nile.time, low[:, 0], high[:, 0], color="C0", alpha=0.2, lw=0)
ax.plot(years, ahead.mean[:, 0], color="C1", label="forecast of the flow, 90 % band")
ax.fill_between(years, low_ahead[:, 0], high_ahead[:, 0], color="C1", alpha=0.2, lw=0)
ax.set_ylabel("10$^8$ m$^3$ a year")
ax.set_ylim(400, 1500)
ax.legend(loc="upper right", ncols=3)

# %%
# Did the river change at once?
# -----------------------------
# ``diagnose`` tests the one-step errors and looks for shocks: here it finds that the level broke after 1898.
print(kelman.diagnose(fit.model, nile.z).summary())

# %%
# The dam at Aswan was begun in 1899. A step in the level explains the record better than a level that wanders: with the
# step in the model the level's own variance goes to zero.
step = (nile.time >= 1899).astype(float)
with_step = structural.level() + structural.regression(step, names=["dam"])
dam = kelman.fit(nile.z, template=with_step, method="mle")
effect = structural.components(dam, nile.z)["regression dam coefficient"]
print(f"the level's variance {dam.theta[0]:.3g}; the step {effect.mean[-1, 0]:.0f} +- {effect.std[-1, 0]:.0f}")
