# SPDX-License-Identifier: BSD-3-Clause
"""Is anything left in the residuals? The test of a predictor that needs no truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array


@dataclass(frozen=True, slots=True)
class Whiteness:
    """Autocorrelation of residuals and their correlation with past inputs, each with a chi-square test."""

    lags: int
    samples: int
    autocorrelation: Array  # lags 0 .. lags
    ljung_box: float
    p_value: float
    cross_correlation: Array | None  # with u at lags 0 .. lags: (lags + 1, p)
    cross_p_value: float | None
    band: float  # 95 % band of one correlation of white residuals

    @property
    def white(self) -> bool:
        """Whether neither test rejects at 1 %."""
        return self.p_value > 0.01 and (self.cross_p_value is None or self.cross_p_value > 0.01)


def ljung_box(residuals: Array, lags: int) -> tuple[float, float]:
    """Test whether a residual series is white: Q = T (T + 2) sum_k r_k^2 / (T - k) against chi-square(lags).

    Parameters
    ----------
    residuals : array_like, shape (T,)
        One series of residuals of data that the predictor was not fitted to.
    lags : int
        Lags 1 .. lags enter.

    Returns
    -------
    statistic, p_value : float
    """
    from scipy.stats import chi2

    r = correlation(residuals, residuals, lags)[1:]
    T = len(np.asarray(residuals))
    statistic = float(T * (T + 2) * np.sum(r**2 / (T - np.arange(1, lags + 1))))
    return statistic, float(chi2.sf(statistic, lags))


def correlation(a: Array, b: Array, lags: int) -> Array:
    """Correlate a_k with b_{k-j} for j = 0 .. lags, both about their means.

    Parameters
    ----------
    a, b : array_like, shape (T,)
        Two series.
    lags : int
        Largest lag.

    Returns
    -------
    ndarray, shape (lags + 1,)
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    T = len(a)
    if lags < 1 or lags >= T:
        raise KelmanError(f"lags: expected 1 .. {T - 1} for {T} residuals, got {lags}")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    if scale == 0.0:
        raise KelmanError("residuals: constant; their correlation is not defined")
    return np.asarray([a[j:] @ b[: T - j] for j in range(lags + 1)]) / float(scale)


def whiteness(residuals: Array, u: Array | None = None, *, lags: int = 20) -> Whiteness:
    """Test residuals for what is left in them: correlation with their own past and with past inputs.

    Parameters
    ----------
    residuals : array_like, shape (T,)
        One-step errors on data that the predictor was not fitted to.
    u : array_like, shape (T, p), optional
        Inputs of the same steps.
    lags : int
        Largest lag.

    Returns
    -------
    Whiteness
    """
    from scipy.linalg import toeplitz
    from scipy.stats import chi2

    residuals = np.asarray(residuals, dtype=float)
    T = len(residuals)
    statistic, p_value = ljung_box(residuals, lags)
    cross, cross_p = None, None
    if u is not None and np.asarray(u).size:
        u = np.asarray(u, dtype=float)
        cross = np.column_stack([correlation(residuals, u[:, j], lags) for j in range(u.shape[1])])
        # for white residuals the correlations with one input have covariance R_u / T, R_u its autocorrelation matrix
        total = 0.0
        for j in range(u.shape[1]):
            Ru = toeplitz(correlation(u[:, j], u[:, j], lags)) + 1e-10 * np.eye(lags + 1)
            total = max(total, float(T * cross[:, j] @ np.linalg.solve(Ru, cross[:, j])))
        # the worst of p inputs (Bonferroni)
        cross_p = min(1.0, u.shape[1] * float(chi2.sf(total, lags + 1)))
    return Whiteness(
        lags=lags,
        samples=T,
        autocorrelation=correlation(residuals, residuals, lags),
        ljung_box=statistic,
        p_value=p_value,
        cross_correlation=cross,
        cross_p_value=cross_p,
        band=1.959963984540054 / float(np.sqrt(T)),
    )
