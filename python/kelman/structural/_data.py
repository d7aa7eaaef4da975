# SPDX-License-Identifier: BSD-3-Clause
"""What start values take from the measurements: spread, strongest frequency, regressions on the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.structural._stationary_var import companion

if TYPE_CHECKING:
    from kelman._types import Array

_FREQUENCIES = 400
_RECORD = 4096  # steps of a record that a start is taken from
_STABLE = 0.97
_APART = 0.4  # of two cycles to begin with, in the logarithm of the frequency


class Record:
    """Measurements (N, T, m) with NaN where they are missing, and what can be said of them at a glance.

    Attributes
    ----------
    z : ndarray, shape (N, T, m)
        Measurements.
    scale : float
        Variance of first differences, or of the values where there are no differences; never zero.
    scales : ndarray, shape (m,)
        The same of each measured value.
    """

    def __init__(self, z: Array) -> None:
        self.z = np.asarray(z, dtype=np.float64)
        steps = np.diff(self.z, axis=1)
        centred = self.z - self.mean()
        self._taken: list[float] = []
        floor = 1e-12 * max(1.0, float(np.nanmax(np.abs(self.z)))) ** 2
        self.scale = _variance(steps) or _variance(centred) or floor
        columns = range(self.z.shape[2])
        self.scales = np.array([_variance(steps[..., j]) or _variance(centred[..., j]) or floor for j in columns])

    def mean(self) -> Array:
        """Return the mean of each measured value, 0 where none was seen."""
        seen = ~np.isnan(self.z)
        count = seen.sum(axis=(0, 1))
        return np.asarray(np.where(seen, self.z, 0.0).sum(axis=(0, 1)) / np.maximum(count, 1))

    def strongest_frequency(self, low: float, high: float) -> float:
        """Return the frequency between bounds at which sines explain most of the first value, beside a slow polynomial.

        A second call keeps away from what the first one found, so that two cycles begin apart.
        """
        T = min(self.z.shape[1], _RECORD)
        time = np.linspace(-1.0, 1.0, T)
        slow = np.vander(time, 3)
        middle = low + 0.05 * (high - low)
        candidates = np.linspace(
            max(middle, 4 * np.pi / T) if T > 8 else middle, high - 0.02 * (high - low), _FREQUENCIES
        )
        candidates = candidates[(candidates > low) & (candidates < high)]
        if not len(candidates):
            return (low + high) / 2
        power = np.zeros(len(candidates))
        for series in self.z[:20, :_RECORD, 0]:
            seen = ~np.isnan(series)
            if seen.sum() < 8:
                continue
            rest = _residual(slow[seen], series[seen])
            waves = np.exp(1j * candidates[:, None] * np.flatnonzero(seen))
            power += np.abs(waves @ rest) ** 2 / max(float(rest @ rest), 1e-300)
        for known in self._taken:
            power[np.abs(np.log(candidates / known)) < _APART] = -1.0
        found = float(candidates[int(np.argmax(power))])
        self._taken.append(found)
        return found

    def arma(self, delta: Array, orders: tuple[int, int, int, int], period: int) -> tuple[Array, float, float]:
        """Return coefficients, error variance and mean of the differenced data (Hannan and Rissanen's two regressions)."""
        p, q, P, Q = orders
        lags = [*range(1, p + 1), *(period * (i + 1) for i in range(P))]
        errors = [*range(1, q + 1), *(period * (i + 1) for i in range(Q))]
        w = _filtered(self.z[:, :, 0], delta)
        mean = float(np.nanmean(w)) if np.isfinite(w).any() else 0.0
        w = w - mean
        noise = w
        if errors:
            seen = int(np.isfinite(w).sum())
            long = int(min(max(2 * max(lags + errors), 10), max(seen // 4, 1)))
            noise = w - _predicted(w, [(w, i) for i in range(1, long + 1)])[1]
        regressors = [(w, i) for i in lags] + [(noise, i) for i in errors]
        beta, fitted = _predicted(w, regressors)
        s2 = float(np.nanmean((w - fitted) ** 2)) if np.isfinite(fitted).any() else 0.0
        split = np.split(beta, np.cumsum([p, P, q]))
        ar, seasonal_ar, ma, seasonal_ma = (
            _shrunk(part, sign) for part, sign in zip(split, (1, 1, -1, -1), strict=True)
        )
        return np.concatenate([ar, ma, seasonal_ar, seasonal_ma]), s2 or self.scale, mean

    def var(self, p: int) -> tuple[Array, Array]:
        """Return coefficients (p, m, m), shrunk until stationary, and error covariance of a regression on the past."""
        m = self.z.shape[2]
        return _autoregression(self.z - self.mean(), p, self.scale * np.eye(m))

    def factors(self, k: int, p: int) -> tuple[Array, Array, Array]:
        """Return lower triangular loadings (m, k), coefficients (p, k, k) and variances (m,), by principal components."""
        m = self.z.shape[2]
        centred = np.where(np.isnan(self.z), 0.0, self.z - self.mean()).reshape(-1, m)
        spread = np.sqrt((centred**2).mean(axis=0))
        spread[spread == 0] = np.sqrt(self.scale)
        _, _, Vt = np.linalg.svd(centred / spread, full_matrices=False)
        turn = np.linalg.qr((Vt[:k].T)[:k].T)[0]  # makes the first k rows lower triangular
        directions = Vt[:k].T @ turn
        scores = (centred / spread) @ directions
        scores = scores.reshape(*self.z.shape[:2], k)
        size = np.sqrt((scores**2).mean(axis=(0, 1))) + 1e-300
        loadings = np.tril(spread[:, None] * directions * size)
        phi, S = _autoregression(scores / size, p, np.eye(k))
        if k == 1:
            loadings = loadings * np.sqrt(max(float(S[0, 0]), 1e-3))
        explained = (loadings**2).sum(axis=1)
        return loadings, phi, np.maximum(spread**2 - explained, 0.2 * spread**2)


def _variance(values: Array) -> float:
    seen = values[np.isfinite(values)]
    return float((seen**2).mean()) if seen.size > 1 else 0.0


def _residual(X: Array, y: Array) -> Array:
    return np.asarray(y - X @ np.linalg.lstsq(X, y, rcond=None)[0])


def _filtered(z: Array, delta: Array) -> Array:
    """Apply a polynomial in the lag to series (N, T): (N, T - lags)."""
    order = len(delta) - 1
    T = z.shape[1]
    if order >= T:
        return np.full((len(z), 1), np.nan)
    return np.asarray(sum(c * z[:, order - i : T - i] for i, c in enumerate(delta) if c))


def _predicted(w: Array, regressors: list[tuple[Array, int]]) -> tuple[Array, Array]:
    """Regress w (N, T) on lagged arrays over complete rows: coefficients and fitted values (NaN where not complete)."""
    fitted = np.full(w.shape, np.nan)
    if not regressors:
        return np.zeros(0), np.zeros(w.shape)
    columns = []
    for source, lag in regressors:
        column = np.full(w.shape, np.nan)
        if lag < w.shape[1]:
            column[:, lag:] = source[:, :-lag]
        columns.append(column)
    X = np.stack(columns, axis=-1)
    whole = np.isfinite(X).all(axis=-1) & np.isfinite(w)
    if whole.sum() <= 2 * len(regressors):
        return np.zeros(len(regressors)), np.zeros(w.shape)
    beta = np.linalg.lstsq(X[whole], w[whole], rcond=None)[0]
    fitted[whole] = X[whole] @ beta
    return beta, fitted


def _shrunk(coefficients: Array, sign: int) -> Array:
    """Pull coefficients in until the polynomial is stationary (sign 1) or invertible (-1)."""
    size = len(coefficients)
    for _ in range(200):
        if not size or np.abs(np.linalg.eigvals(companion(sign * coefficients.reshape(size, 1, 1)))).max() < _STABLE:
            break
        coefficients = coefficients * 0.95 ** np.arange(1, size + 1)
    return coefficients


def _autoregression(y: Array, p: int, fallback: Array) -> tuple[Array, Array]:
    m = y.shape[2]
    T = y.shape[1]
    if p >= T:
        return np.zeros((p, m, m)), fallback
    X = np.concatenate([y[:, p - h : T - h] for h in range(1, p + 1)], axis=-1).reshape(-1, m * p)
    target = y[:, p:].reshape(-1, m)
    whole = np.isfinite(X).all(axis=1) & np.isfinite(target).all(axis=1)
    if whole.sum() <= 2 * m * p:
        return np.zeros((p, m, m)), fallback
    beta = np.linalg.lstsq(X[whole], target[whole], rcond=None)[0]
    rest = target[whole] - X[whole] @ beta
    S = rest.T @ rest / whole.sum()
    S = S + 1e-6 * np.diag(np.diagonal(S) + 1e-12 * np.trace(S) + 1e-300)
    phi = np.stack([beta[h * m : (h + 1) * m].T for h in range(p)])
    for _ in range(200):
        if np.abs(np.linalg.eigvals(companion(phi))).max() < _STABLE:
            break
        phi = phi * 0.95 ** np.arange(1, p + 1)[:, None, None]
    return phi, S
