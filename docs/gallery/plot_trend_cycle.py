"""
Trend and cycle of an economy
=============================

Real gross domestic product of the United States, quarterly from 1959, as a smooth trend plus a damped stochastic cycle. How
long the cycle lasts is a parameter, and has an error bar. Harvey (1989), chapter 2, and Harvey and Jaeger, J. Applied
Econometrics 8 (1993), have the model.
"""

# %%
# The model
# ---------
# Periods between 1.5 and 12 years. A hundred times the logarithm makes the cycle a percentage of the trend. There is no
# measurement noise.
import matplotlib.pyplot as plt
import numpy as np

import kelman
from kelman import structural

data = kelman.datasets.us_macro()
z = 100 * np.log(data.z[:, 0])
model = structural.trend("smooth") + structural.cycle((6, 48)) + structural.irregular(0.0)
fit = kelman.fit(z, template=model, method="mle")
print(fit.summary())

# %%
# Period and half-life, with error bars
# -------------------------------------
# Any function of the fitted model has a standard error by the delta method; the poles of the cycle have it directly.
theta = dict(zip(fit.names, fit.theta, strict=True))
frequency = theta["cycle.frequency"]
error = dict(zip(fit.names, fit.std_errors, strict=True))["cycle.frequency"]
print(f"period {2 * np.pi / frequency / 4:.1f} years, standard error {2 * np.pi / frequency**2 * error / 4:.1f}")

# %%
# Taken apart
# -----------
c = structural.components(fit, z)
fig, axes = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
for ax, name, unit in zip(
    axes, ("trend", "trend slope", "cycle"), ("100 log GDP", "growth, % a quarter", "% of the trend"), strict=True
):
    low, high = c[name].interval(0.95)
    ax.plot(data.time, c[name].mean[:, 0], color="C0")
    ax.fill_between(data.time, low[:, 0], high[:, 0], color="C0", alpha=0.2, lw=0)
    ax.set_ylabel(unit)
    ax.set_title(name, loc="left")
axes[0].plot(data.time, z, color="0.4", lw=0.8)
axes[2].axhline(0, color="0.5", lw=0.8)

# %%
# Unemployment moves against it
# -----------------------------
# The same cycle seen in another series: unemployment less a level that wanders, against the cycle of output.
unemployment = data.z[:, 1]
jobs = structural.level() + structural.cycle((6, 48)) + structural.irregular(0.0)
other = structural.components(kelman.fit(unemployment, template=jobs, method="mle"), unemployment)["cycle"]
correlation = np.corrcoef(c["cycle"].mean[:, 0], other.mean[:, 0])[0, 1]
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.plot(data.time, c["cycle"].mean[:, 0], label="cycle of output, %")
ax.plot(data.time, other.mean[:, 0], label="cycle of unemployment, %")
ax.axhline(0, color="0.5", lw=0.8)
ax.set_title(f"correlation {correlation:.2f}", loc="left")
ax.legend(loc="lower left", ncols=2)
ax.set_ylim(-8, 5.5)
