"""
Airline passengers: two ways to a forecast
==========================================

Passengers of international airlines, the series G of Box and Jenkins: growth, and a strong pattern over the year that grows
along. Two models of the logarithm are fitted to the first ten years and asked for the last two: trend and seasonal pattern,
and the seasonal ARIMA process that Box and Jenkins made for it.
"""

# %%
# Two models
# ----------
import matplotlib.pyplot as plt
import numpy as np

import kelman
from kelman import structural

data = kelman.datasets.airline()
z = np.log(data.z)
past, future = z[:120], z[120:]
models = {
    "trend + seasonal": structural.trend() + structural.seasonal(12, "trigonometric"),
    "ARIMA (0,1,1)(0,1,1)": structural.sarima((0, 1, 1), (0, 1, 1, 12)),
}
fits = {name: kelman.fit(past, template=model, method="mle") for name, model in models.items()}
for name, fit in fits.items():
    print(name, {label: float(f"{value:.3g}") for label, value in zip(fit.names, fit.theta, strict=True)})

# %%
# The published fit
# -----------------
# To the whole record the ARIMA model has the log-likelihood 244.6965 with coefficients -0.4018 and -0.5569 (Stata). The
# differencing is part of the model here, from thirteen exactly diffuse states: gaps would be no trouble.
whole = kelman.fit(z, template=models["ARIMA (0,1,1)(0,1,1)"], method="mle")
print(whole.summary())

# %%
# Two years ahead
# ---------------
fig, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True, sharey=True, layout="constrained")
for ax, (name, fit) in zip(axes, fits.items(), strict=True):
    f = kelman.forecast(fit.model, past, 24)
    low, high = (np.exp(bound[:, 0]) for bound in f.interval(0.9))
    middle = np.exp(f.mean[:, 0])
    inside = np.mean((data.z[120:, 0] > low) & (data.z[120:, 0] < high))
    error = np.sqrt(np.mean((f.mean - future) ** 2))
    ax.plot(data.time[60:], data.z[60:, 0], color="0.4", lw=1, label="measured")
    ax.plot(data.time[120:], middle, color="C1", label="forecast, 90 % band")
    ax.fill_between(data.time[120:], low, high, color="C1", alpha=0.25, lw=0)
    ax.set_title(f"{name}: error {100 * error:.1f} %, {100 * inside:.0f} % of the months inside", loc="left")
    ax.set_ylabel("thousands a month")
axes[0].legend(loc="upper left")

# %%
# What the series is made of
# --------------------------
# Only the first model can say.
structural.components(fits["trend + seasonal"], past).plot(time=data.time[:120])
