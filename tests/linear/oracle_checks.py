"""How results are held against the dense oracle: which arrays, and relative to what."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume

import kelman
from tests.oracles import Dense, Numbers
from tests.strategies import Case

CONDITION = 1e6  # largest condition number of the dense problem for which 1e-10 is promised


TOLERANCE = {"core": 1e-10, "torch": 1e-9}  # the reference backend is written for clarity, not for the last digit


def dense(case: Case, *, steps: int = 0, limit: float = CONDITION, numbers: Numbers | None = None) -> list[Dense]:
    """The dense problem of each series, if it is well enough conditioned."""
    model, N, T = case.model(steps=steps), case.z.shape[0], case.z.shape[1]
    u = case.u
    oracles = []
    for i in range(N):
        u_i = None if u is None else u[i, : T + steps]
        oracles.append(Dense(model, case.z[i], u_i, series=i, steps=steps, numbers=numbers))
    assume(max(one.condition() for one in oracles) <= limit)
    return oracles


def spread(oracle: Dense) -> float:
    """Largest variance of a state before any data, with the diffuse part counted as kappa = 1: the unit of covariances."""
    rows = np.concatenate([oracle.x(k) for k in range(oracle.total)])
    size = np.diag(oracle.cov)[rows] + (oracle.diffuse[rows] ** 2).sum(axis=1)
    return max(float(size.max()), 1e-12)


def close(name: str, got: Any, expected: Any, unit: float, tolerance: float) -> None:
    """Both finite in the same places, and equal to tolerance relative to the largest entry (or the unit, if larger)."""
    got, expected = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, expected), err_msg=name)
    if not finite.any():
        return
    size = max(float(np.abs(expected[finite]).max()), unit)
    worst = float(np.abs(got[finite] - expected[finite]).max())
    assert worst <= tolerance * size, f"{name}: off by {worst:.3g} of {size:.3g} ({worst / size:.2g} > {tolerance:.2g})"


def check_filter(
    case: Case, backend: str, tolerance: float | None = None, dtype: Any = np.float64, **limits: Any
) -> None:
    """Every array of `filter(..., store="all")`."""
    tolerance = tolerance or TOLERANCE[backend]
    oracles = dense(case, **limits)
    r = kelman.filter(case.model(dtype), case.z.astype(dtype), _cast(case.u_past, dtype), store="all", backend=backend)
    for i, oracle in enumerate(oracles):
        unit = spread(oracle)
        mean, cov = oracle.filtered()
        predicted_mean, predicted_cov = oracle.predicted()
        unit = max(unit, float(np.abs(predicted_cov).max()))
        z_mean, z_cov = oracle.measurement()
        close("mean", r.mean[i], mean, unit**0.5, tolerance)
        close("cov", r.cov[i], cov, unit, tolerance)
        close("predicted_mean", r.predicted_mean[i], predicted_mean, unit**0.5, tolerance)
        close("predicted_cov", r.predicted_cov[i], predicted_cov, unit, tolerance)
        biggest = float(np.nanmax(np.abs(case.z[i]), initial=0.0))
        close("innovation", r.innovation[i], case.z[i] - z_mean, max(unit**0.5, biggest), tolerance)
        close("innovation_cov", r.innovation_cov[i], z_cov, unit, tolerance)
        close("loglik_obs", r.loglik_obs[i], oracle.loglik_obs(), 1.0, tolerance)
        close("loglik", r.loglik[i], oracle.loglik(), 1.0, tolerance)


def check_smooth(
    case: Case, backend: str, tolerance: float | None = None, dtype: Any = np.float64, **limits: Any
) -> None:
    """Smoothed moments and lag-one covariances, where the data determine the start."""
    tolerance = tolerance or TOLERANCE[backend]
    oracles = dense(case, **limits)
    z, u = case.z.astype(dtype), _cast(case.u_past, dtype)
    s = kelman.smooth(case.model(dtype), z, u, lag=1, backend=backend)
    for i, oracle in enumerate(oracles):
        close("loglik", s.loglik[i], oracle.loglik(), 1.0, tolerance)
        if oracle.undetermined(oracle.T, 0) > 1e-9:
            continue
        unit = spread(oracle)
        mean, cov, lag = oracle.smoothed()
        close("mean", s.mean[i], mean, unit**0.5, tolerance)
        close("cov", s.cov[i], cov, unit, tolerance)
        close("lag_one_cov", s.lag_one_cov[i], lag, unit, tolerance)


def check_loglik(
    case: Case, backend: str, tolerance: float | None = None, dtype: Any = np.float64, **limits: Any
) -> None:
    """The log-likelihood in both conventions."""
    tolerance = tolerance or TOLERANCE[backend]
    oracles = dense(case, **limits)
    model, z, u = case.model(dtype), case.z.astype(dtype), _cast(case.u_past, dtype)
    kfas = kelman.loglik(model, z, u, backend=backend)
    other = kelman.loglik(model, z, u, diffuse_constant="statsmodels", backend=backend)
    for i, oracle in enumerate(oracles):
        expected, rank = oracle.loglik(), oracle.determined()
        close("loglik", kfas[i], expected, 1.0, tolerance)
        close("loglik (statsmodels)", other[i], expected - rank * np.log(2 * np.pi) / 2, 1.0, tolerance)


def check_forecast(
    case: Case, backend: str, tolerance: float | None = None, dtype: Any = np.float64, **limits: Any
) -> None:
    """Forecasts of measurements and states, where the data determine the start."""
    tolerance = tolerance or TOLERANCE[backend]
    oracles = dense(case, steps=case.steps, **limits)
    assume(all(one.undetermined(one.T, one.T) <= 1e-9 for one in oracles))
    model, z = case.model(dtype, steps=case.steps), case.z.astype(dtype)
    future = None if case.u is None else _cast(case.u_future, dtype)
    f = kelman.forecast(model, z, case.steps, _cast(case.u_past, dtype), future, backend=backend)
    for i, oracle in enumerate(oracles):
        unit, expected = spread(oracle), oracle.forecast()
        for name, value in expected.items():
            close(name, getattr(f, name)[i], value, unit if "cov" in name else unit**0.5, tolerance)


def _cast(u: Any, dtype: Any) -> Any:
    return None if u is None else u.astype(dtype)
