# SPDX-License-Identifier: BSD-3-Clause
"""Fresh data to probe a predictor with: of the spectrum of its training data, but not the training data themselves.

On its own training input the regression of a network that sits at a training optimum would return the autoregression of the data,
whatever the network has learnt. Fresh data of the same spectrum come from a vector autoregression fitted to [z; u].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.bridge._data import paired_series
from kelman.bridge._moments import moments_of
from kelman.bridge._predictor import predictor_of_model
from kelman.errors import KelmanError
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray
    from kelman.bridge._predictor import LinearPredictor

__all__: list[str] = []

SERIES, LENGTH, BURN = 20, 5000, 500


def probe_series(
    probe: Any, zs: list[FloatArray] | None, us: list[FloatArray] | None, m: int, p: int, rng: np.random.Generator
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Probe data as given, from a given model, or from an autoregression fitted to the data."""
    if isinstance(probe, StateSpace):
        if probe.dims.m != m or probe.dims.p != p:
            raise KelmanError(
                f"probe: expected a model with {m} measured values and {p} inputs, got {probe.dims.m} and {probe.dims.p}"
            )
        predictor, Sigma = predictor_of_model(probe, "probe")
        u = rng.normal(size=(SERIES, LENGTH, p))
        z = simulate_innovations(predictor, Sigma, u, rng)
        return list(z), list(u)
    if probe is not None:
        pair = probe if isinstance(probe, tuple) and len(probe) == 2 else (probe, None)
        return paired_series(pair[0], pair[1], m, p)
    if zs is None or us is None:
        raise KelmanError(
            "z: a behavioural read-out needs data to make a probe of their spectrum; give z= (and u=), or probe= (a StateSpace, "
            "or fresh data)"
        )
    return _autoregressive(zs, us, rng)


def _autoregressive(
    zs: list[FloatArray], us: list[FloatArray], rng: np.random.Generator
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Series from a vector autoregression of [z; u]."""
    m, q = zs[0].shape[1], zs[0].shape[1] + us[0].shape[1]
    longest = max(len(z) for z in zs)
    lags = int(np.clip(sum(len(z) for z in zs) // (20 * q), 1, min(40, max(longest // 4, 1))))
    moments = moments_of(zs, us, lags)
    past = moments.past_cov(lags)
    flat = np.linalg.lstsq(past, moments.cov[q:, :q], rcond=1e-10)[0].T
    cov = moments.cov[:q, :q] - flat @ moments.cov[q:, :q]
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    flat = _made_stable(flat, q, lags)
    y = np.zeros((SERIES, LENGTH + BURN + lags, q))
    noise = rng.normal(size=(LENGTH + BURN, SERIES, q)) @ factor.T
    window = np.zeros((SERIES, q * lags))
    for k in range(LENGTH + BURN):
        now = window @ flat.T + noise[k]
        y[:, k + lags] = now
        window = np.concatenate([now, window[:, :-q]], axis=1)
    y = y[:, -LENGTH:] + moments.mean[0]
    return list(np.ascontiguousarray(y[..., :m])), list(np.ascontiguousarray(y[..., m:]))


def _made_stable(flat: FloatArray, q: int, lags: int) -> FloatArray:
    """Coefficients with lag i scaled by g**i, so that no root of the autoregression is beyond .9995."""
    companion = np.zeros((q * lags, q * lags))
    companion[:q] = flat
    companion[q:, :-q] = np.eye(q * (lags - 1))
    radius = float(np.abs(np.linalg.eigvals(companion)).max())
    if radius <= 0.9995:
        return flat
    scale: FloatArray = flat * np.repeat((0.9995 / radius) ** np.arange(1, lags + 1), q)
    return scale


def simulate_innovations(
    predictor: LinearPredictor, Sigma: FloatArray, u: FloatArray, rng: np.random.Generator, warm: int | None = None
) -> FloatArray:
    """Series z (N, T, m) of the innovation form behind a predictor, with inputs u (N, T, p); run in where A is stable."""
    A, B, b = predictor.A, predictor.B, predictor.b
    N, T, p = u.shape
    radius = float(np.abs(np.linalg.eigvals(A)).max(initial=0.0))
    if warm is None:
        warm = int(min(np.ceil(np.log(1e-6) / np.log(radius)), 5000)) if 0 < radius < 1 - 1e-8 else 0
    values, vectors = np.linalg.eigh(Sigma)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    state = np.broadcast_to(predictor.start, (N, predictor.n)).astype(np.float64)
    z = np.empty((N, T, predictor.m))
    idle = np.zeros((N, p))
    for k in range(-warm, T):
        now = u[:, k] if k >= 0 else (rng.normal(size=(N, p)) if p else idle)
        e = rng.normal(size=(N, predictor.m)) @ factor.T
        if k >= 0:
            z[:, k] = state @ predictor.H.T + now @ predictor.D.T + predictor.c + e
        state = state @ A.T + now @ B.T + b + e @ predictor.K.T
    return z
