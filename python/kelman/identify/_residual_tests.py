# SPDX-License-Identifier: BSD-3-Clause
"""Tests on standardised innovations: mean, serial correlation, normality, constant variance.

Each test is made for every series and component, and once for all series together (Durbin and Koopman, 2nd ed. (2012),
section 2.12). Missing values (NaN) are left out; with one series without gaps the figures are the textbook ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array


@dataclass(frozen=True, eq=False)
class ResidualTest:
    """A test of the standardised innovations.

    Attributes
    ----------
    name : str
        What was tested.
    statistic : ndarray, shape (..., m)
        The test's figure for each series and component.
    p_value : ndarray, shape (..., m)
        How likely a figure at least as extreme is if the model is right. NaN where there are too few values.
    dof : ndarray, shape (..., m)
        Degrees of freedom of the reference distribution (one of the two equal ones of F).
    pooled, pooled_p : ndarray, shape (m,)
        The same for all series together; of one series the figures themselves.
    details : dict of ndarray, shape (..., m)
        Other figures that belong to it, such as skewness.
    """

    name: str
    statistic: Array
    p_value: Array
    dof: Array
    pooled: Array
    pooled_p: Array
    details: dict[str, Array]

    @property
    def worst(self) -> float:
        """Smallest pooled p-value, times the number of components tested (Bonferroni), at most 1."""
        known = self.pooled_p[np.isfinite(self.pooled_p)]
        return float(min(known.min() * known.size, 1.0)) if known.size else float("nan")


def default_lags(count: int) -> int:
    """Lags of the serial correlation test for a number of values: its square root."""
    return max(1, int(np.sqrt(count)))


def of_mean(e: Array, batched: bool) -> ResidualTest:
    """z-score of the mean: the innovations of a right model have none."""
    from scipy.special import ndtr

    n = np.isfinite(e).sum(1)
    total = np.nansum(e, axis=1)
    score, whole = _ratio(total, np.sqrt(n)), _ratio(total.sum(0), np.sqrt(n.sum(0)))
    p, pooled_p = (np.where(np.isfinite(s), 2 * ndtr(-np.abs(s)), np.nan) for s in (score, whole))
    return _made("mean", score, p, n, whole, pooled_p, {}, batched)


def autocorrelation(e: Array, lags: int) -> tuple[Array, Array, Array]:
    """Autocorrelations (lags, N, m) of each series, the number of pairs behind each, and of values (N, m)."""
    known = np.isfinite(e)
    n = known.sum(1)
    mean = _ratio(np.nansum(e, axis=1), n)
    away = np.where(known, e - mean[:, None], 0.0)
    own = np.square(away).sum(1)
    T = e.shape[1]
    r, pairs = np.full((lags, *n.shape), np.nan), np.zeros((lags, *n.shape))
    for lag in range(1, min(lags, T - 1) + 1):
        pairs[lag - 1] = (known[:, lag:] & known[:, :-lag]).sum(1)
        r[lag - 1] = _ratio((away[:, lag:] * away[:, :-lag]).sum(1), own)
    return r, pairs, n


def of_serial_correlation(e: Array, batched: bool, lags: int, fitted: int) -> ResidualTest:
    """Ljung and Box's Q. With gaps each lag counts by its pairs: Var r_j = pairs_j / (n (n + 2))."""
    r, pairs, n = autocorrelation(e, lags)
    used = (pairs > 0) & np.isfinite(r)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(used, n * (n + 2) * np.square(r) / pairs, 0.0)
    Q = terms.sum(0)
    counted = used.sum(0)
    dof = np.where(counted > fitted, counted - fitted, 0)
    summed = np.where(counted > 0, counted, 0).sum(0)
    whole = np.where(summed > fitted, summed - fitted, 0)
    p, pooled_p = _chi2_sf(dof, Q), _chi2_sf(whole, Q.sum(0))
    details = {"lags": np.full(n.shape, lags)}
    return _made("serial correlation", np.where(dof > 0, Q, np.nan), p, dof, Q.sum(0), pooled_p, details, batched)


def of_normality(e: Array, batched: bool) -> ResidualTest:
    """Bowman and Shenton's (Jarque and Bera's) N = n (S^2 / 6 + (K - 3)^2 / 24), chi-square with 2 degrees of freedom."""
    statistic, skewness, kurtosis = _shape(e, 1)
    pooled, *_ = _shape(e.reshape(1, -1, e.shape[-1]), 1)
    dof = np.full(statistic.shape, 2)
    p = _chi2_sf(np.where(np.isfinite(statistic), 2, 0), statistic)
    pooled_p = _chi2_sf(np.where(np.isfinite(pooled[0]), 2, 0), pooled[0])
    details = {"skewness": skewness, "kurtosis": kurtosis}
    return _made("normality", statistic, p, dof, pooled[0], pooled_p, details, batched)


def _shape(e: Array, axis: int) -> tuple[Array, Array, Array]:
    """The test's figure, skewness and excess kurtosis along an axis."""
    known = np.isfinite(e)
    n = known.sum(axis)
    mean = np.expand_dims(_ratio(np.nansum(e, axis=axis), n), axis)
    away = np.where(known, e - mean, 0.0)
    m2, m3, m4 = (_ratio((away**power).sum(axis), n) for power in (2, 3, 4))
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where((m2 > 0) & (n > 2), m3 / m2**1.5, np.nan)
        kurtosis = np.where((m2 > 0) & (n > 2), m4 / m2**2 - 3, np.nan)
    return n * (np.square(skewness) / 6 + np.square(kurtosis) / 24), skewness, kurtosis


def of_heteroscedasticity(e: Array, batched: bool, counts: Array) -> ResidualTest:
    """H(h): mean square of the last third over that of the first, F(h, h) against both sides.

    `counts` (N, T) says which steps belong to each series: h is a third of their number.
    """
    T = e.shape[1]
    length = counts.sum(1)
    first = np.argmax(counts, axis=1)
    h = np.rint(length / 3).astype(np.int64)
    k = np.arange(T)
    early = (k >= first[:, None]) & (k < (first + h)[:, None])
    late = (k < (first + length)[:, None]) & (k >= (first + length - h)[:, None])
    square, known = np.square(np.where(np.isfinite(e), e, 0.0)), np.isfinite(e)
    sums = [(square * part[..., None]).sum(1) for part in (late, early)]
    dofs = [(known & part[..., None]).sum(1) for part in (late, early)]
    H, p = _f_two_sided(sums, dofs)
    pooled, pooled_p = _f_two_sided([s.sum(0) for s in sums], [d.sum(0) for d in dofs])
    return _made(
        "heteroscedasticity", H, p, dofs[0], pooled, pooled_p, {"h": np.broadcast_to(h[:, None], H.shape)}, batched
    )


def _f_two_sided(sums: list[Array], dofs: list[Array]) -> tuple[Array, Array]:
    from scipy.special import fdtr, fdtrc

    ratio = _ratio(_ratio(sums[0], dofs[0]), _ratio(sums[1], dofs[1]))
    known = np.isfinite(ratio) & (dofs[0] > 0) & (dofs[1] > 0)
    safe = [np.where(known, d, 1) for d in dofs]
    at = np.where(known, ratio, 1.0)
    p = np.minimum(1.0, 2 * np.minimum(fdtr(safe[0], safe[1], at), fdtrc(safe[0], safe[1], at)))
    return np.where(known, ratio, np.nan), np.where(known, p, np.nan)


def _chi2_sf(dof: Array, x: Array) -> Array:
    from scipy.special import chdtrc

    known = (dof > 0) & np.isfinite(x)
    return np.where(known, chdtrc(np.where(known, dof, 1), np.where(known, x, 0.0)), np.nan)


def _ratio(top: Array, bottom: Array) -> Array:
    """Divide, NaN where there is nothing to divide by."""
    safe = np.where(bottom > 0, bottom, 1)
    return np.where(bottom > 0, top / safe, np.nan)


def _made(
    name: str,
    statistic: Array,
    p: Array,
    dof: Array,
    pooled: Array,
    pooled_p: Array,
    details: dict[str, Array],
    batched: bool,
) -> ResidualTest:
    cut: Callable[[Array], Array] = (lambda a: a) if batched else (lambda a: a[0])
    kept = {key: cut(value) for key, value in details.items()}
    return ResidualTest(name, cut(statistic), cut(p), cut(dof), np.asarray(pooled), np.asarray(pooled_p), kept)
