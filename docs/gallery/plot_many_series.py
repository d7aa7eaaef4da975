"""
Many short series, one model
============================

Five hundred sensors, shops or patients, each seen a dozen times with gaps: too little to learn a model from any one of them,
plenty from all of them together.
"""

# %%
# The data
# --------
# Each series has a level of its own that wanders by the same rule. Lengths differ, and a tenth of the values is missing.
import matplotlib.pyplot as plt
import numpy as np

import kelman
from kelman import structural

rng = np.random.default_rng(0)
variances = np.array([0.25, 1.0])  # of the level's steps, of the noise
model = structural.level()
truth = model.model(variances)
series = []
for _ in range(500):
    start = truth.replace(P1_inf=None, m1=[10 * rng.normal()], P1=[[0.0]])
    z = kelman.simulate(start, int(rng.integers(6, 16)), rng=rng).z
    z[rng.random(z.shape) < 0.1] = np.nan
    series.append(z)
print(f"{len(series)} series, {sum(int(np.isfinite(z).sum()) for z in series)} values")

# %%
# One fit to all
# --------------
# A list of series is one data set: the likelihood is the product over the series, each from its own exactly diffuse start.
shared = kelman.fit(series, template=model, method="mle")
print(shared.summary())

# %%
# Or one fit each
# ---------------
# The ratio of the two variances decides how much the filter trusts a new value. From a dozen values it cannot be learnt: half
# of the single fits say that the level never moves, or that there is no noise.
single = np.array([kelman.fit(z, template=model, method="mle").theta for z in series[:60]])
ratio = np.log10(single[:, 0] / single[:, 1])
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.hist(np.clip(ratio, -4, 4), bins=np.linspace(-4, 4, 33), color="C0", alpha=0.7, label="60 fits of one series each")
ax.axvline(np.log10(variances[0] / variances[1]), color="k", label="truth")
ax.axvline(np.log10(shared.theta[0] / shared.theta[1]), color="C1", ls="--", label="one fit to all 500")
ax.set(xlabel="log$_{10}$ of level variance over noise variance (ends: and beyond)", ylabel="fits")
ax.legend(loc="upper center", bbox_to_anchor=(0.68, 1.0))

# %%
# Levels with bands
# -----------------
# The shared model smooths each series, and bands are honest about gaps and ends.
fig, axes = plt.subplots(2, 3, figsize=(8, 4.2), sharex=True, layout="constrained")
for ax, z in zip(axes.flat, series, strict=False):
    level = structural.components(shared, z)["level"]
    low, high = level.interval(0.9)
    k = np.arange(1, len(z) + 1)
    ax.plot(k, z[:, 0], ".", color="0.4")
    ax.plot(k, level.mean[:, 0], color="C0")
    ax.fill_between(k, low[:, 0], high[:, 0], color="C0", alpha=0.2, lw=0)
    ax.set_xticks([1, 5, 10, 15])
fig.supxlabel("step")
