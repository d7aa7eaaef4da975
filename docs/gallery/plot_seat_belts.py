"""
UK drivers and seat belts: a known intervention
===============================================

On 31 January 1983 wearing seat belts became compulsory in Great Britain. How many drivers did it save? Harvey and Durbin
(1986) answered with a structural model of the monthly number of car drivers killed or seriously injured: a level, a seasonal
pattern, the price of petrol (who pays more drives less), and a step for the law. Durbin and Koopman (2012) take it up in
chapter 8.
"""

# %%
# The model
# ---------
# Logarithms make effects proportional. The two variables stand in a ``regression`` with fixed coefficients.
import matplotlib.pyplot as plt
import numpy as np

import kelman
from kelman import structural

data = kelman.datasets.uk_drivers()
z = np.log(data.z)
petrol = np.log(data.u[:, 0])
X = np.column_stack([petrol - petrol.mean(), data.u[:, 1]])  # centred: the mean belongs to the level
model = structural.level() + structural.seasonal(12) + structural.regression(X, names=["petrol", "law"])
fit = kelman.fit(z, template=model, method="mle")
print(fit.summary())

# %%
# The variance of the seasonal pattern went to its floor: the pattern does not change over these years.
#
# What the law did
# ----------------
# Coefficients are states, so the smoother has their estimates and errors.
c = structural.components(fit, z)
for name in ("petrol", "law"):
    coefficient = c[f"regression {name} coefficient"]
    print(f"{name:8} {coefficient.mean[-1, 0]:8.4f}   standard error {coefficient.std[-1, 0]:.4f}")
law = c["regression law coefficient"]
low, high = (100 * (1 - np.exp(bound[-1, 0])) for bound in law.interval(0.95)[::-1])
print(f"drivers saved: {100 * (1 - np.exp(law.mean[-1, 0])):.0f} %, between {low:.0f} % and {high:.0f} %")

# %%
# The series taken apart
# ----------------------
c.plot(time=data.time, names=["level", "seasonal(12)", "regression petrol", "regression law", "irregular"])

# %%
# With and without the law
# ------------------------
# Level and known effects together, and the same without the step, on the scale of the data.
with_law = c["level"].mean + c["regression petrol"].mean + c["regression law"].mean
without = with_law - c["regression law"].mean
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(data.time, data.z[:, 0], ".-", color="0.6", lw=0.7, ms=3, label="measured")
ax.plot(data.time, np.exp(with_law[:, 0]), color="C0", lw=2, label="level and effects")
since = data.u[:, 1] == 1
ax.plot(data.time[since], np.exp(without[since, 0]), color="C1", lw=2, ls="--", label="without the law")
ax.set_ylabel("drivers killed or seriously injured, a month")
ax.set_ylim(0, None)
ax.legend(loc="lower left", ncols=3)

# %%
# Is the model good enough?
# -------------------------
# The standardised errors of one-step predictions should look like noise. Those that first met a diffuse state say nothing: the
# first thirteen months, and the month in which the law came.
d = kelman.diagnose(fit.model, z)
print(d.summary())
d.plot()
