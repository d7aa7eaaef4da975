"""Structural models of every kind, for tests that hold for all of them."""

from __future__ import annotations

import numpy as np

from kelman import structural as st

T = 30
X = np.random.default_rng(100).normal(size=(T, 2))

MODELS: dict[str, st.Structural] = {
    "level": st.level(),
    "level, given": st.level(variance=0.0),
    "local linear": st.trend(),
    "smooth": st.trend("smooth"),
    "damped": st.trend("damped"),
    "damped, slope given": st.trend("damped", slope_variance=0.3),
    "deterministic": st.trend("deterministic"),
    "dummy": st.level() + st.seasonal(4),
    "trigonometric": st.level() + st.seasonal(5.5, "trigonometric"),
    "even trigonometric": st.level() + st.seasonal(4, "trigonometric"),
    "two seasons": st.level() + st.seasonal(3) + st.seasonal(7.5, "trigonometric", 1),
    "deterministic season": st.trend() + st.seasonal(4, deterministic=True),
    "cycle": st.level() + st.cycle((3, 12)),
    "cycle, given": st.level() + st.cycle((3, 12), variance=0.4),
    "undamped": st.level() + st.cycle((3, 12), damped=False),
    "sine": st.level() + st.cycle((3, 12), stochastic=False),
    "regression": st.level() + st.regression(X),
    "random walk coefficients": st.level() + st.regression(X, "random walk", names=["a", "b"]),
    "ar": st.arma(3, mean=True),
    "ma": st.arma(0, 2),
    "arma": st.arma(2, 1, variance=0.7),
    "arma and noise": st.arma(1, 1) + st.irregular(),
    "arima": st.sarima((1, 1, 1), mean=True),
    "airline": st.sarima((0, 1, 1), (0, 1, 1, 4)),
    "sarima": st.sarima((1, 0, 1), (1, 1, 1, 3)),
    "level and ar": st.level() + st.arma(2) + st.irregular(),
    "var": st.var(2, 2, mean=True),
    "var(1) of three": st.var(1, 3),
    "var and noise": st.var(1, 2) + st.irregular(m=2),
    "factor": st.dynamic_factor(3, p=2, mean=True),
    "two levels": st.level(m=2),
    "two apart": st.trend(m=2, covariance="diagonal") + st.seasonal(3, "trigonometric", m=2, covariance="diagonal"),
    "two of a kind": st.level(m=2) + st.trend("smooth", m=2) + st.seasonal(4, m=2) + st.regression(X[:, 0], m=2),
    "level and var": st.level(m=2, variance=0.5) + st.var(1, 2) + st.irregular(0.0, m=2),
    "factors": st.dynamic_factor(4, 2, 2),
}


def parameters(model: st.Structural, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random unconstrained parameters, and the natural ones."""
    eta = 0.5 * np.random.default_rng(seed).normal(size=model.size)
    return eta, model.constrain(eta)


def series(model: st.Structural, seed: int) -> np.ndarray:
    """Measurements (T, m) about as large as the model's noise, with gaps."""
    rng = np.random.default_rng(seed)
    z = np.cumsum(rng.normal(size=(T, model.dims.m)), axis=0) + rng.normal(size=(T, model.dims.m))
    z[rng.random(z.shape) < 0.15] = np.nan
    return z
