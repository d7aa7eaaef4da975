# SPDX-License-Identifier: BSD-3-Clause
"""What a filter leaves behind for derivatives of its means: gains and closed loops of every step, means and innovations.

Axes are (T, G, ...): G = 1 where all series share their covariances, else G = N. What belongs to single series has a row for
each, (T, G, r, n) with G r = N. So one product of stacks of matrices serves both, and sums over series are products too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Problem

_ROUNDING = 1e-13
"""A variance below this part of what it is computed from (at any earlier step) is rounding."""

_WORTH = 8
"""Series that share their gaps, on average, from which on groups of them are faster than each by itself."""

_BY_COVARIANCE = ("A", "H", "Q", "R", "S", "cov", "inf", "noise_cov")


@dataclass(slots=True)
class Tape:
    """The run of a filter over G r = N series, in double precision.

    Attributes
    ----------
    P : ndarray, shape (T, G, n, n)
        Predicted covariances.
    weight : ndarray, shape (T, G, m, m)
        Inverse covariances of the innovations, zero in the rows and columns of what is missing.
    K, J : ndarray, shapes (T, G, n, m), (T, G, n, n)
        Filter gains, and I - K H.
    Kp, L : ndarray, shapes (T - 1, G, n, m), (T - 1, G, n, n)
        Predictor gains (A P H' + S) weight, and A - Kp H, with the A of the step after.
    H : ndarray, shape (T, G, m, n)
        The model's.
    a, e : ndarray, shapes (T, G, r, n), (T, G, r, m)
        Predicted means and innovations (zero where missing).
    """

    P: Array
    weight: Array
    K: Array
    J: Array
    Kp: Array
    L: Array
    H: Array
    a: Array
    e: Array


def groups(problem: Problem, own: bool) -> list[tuple[Array, bool]]:
    """Series that go together, and whether they share their covariances: the same matrices, start and gaps.

    Unless that makes too small groups, or `own` is set: then all series go together, each with its own.
    """
    everyone = np.arange(len(problem.z))
    if len(everyone) == 1:
        return [(everyone, True)]
    fields = (getattr(problem, name) for name in _BY_COVARIANCE)
    if own or any(field is not None and field.size and field.strides[0] != 0 for field in fields):
        return [(everyone, False)]
    gaps = np.isnan(problem.z).reshape(len(everyone), -1)
    if (gaps == gaps[:1]).all():
        return [(everyone, True)]
    packed = np.ascontiguousarray(np.packbits(gaps, axis=1))
    keys, group = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)
    if _WORTH * len(keys) > len(everyone):
        return [(everyone, False)]
    return [(np.flatnonzero(group == i), True) for i in range(len(keys))]


def by_step(field: Array, G: int) -> Array:
    """(N, T, ...) -> (T, G, ...), a view."""
    return field[:G].swapaxes(0, 1)


def in_rows(values: Array, G: int) -> Array:
    """(N, T, q) -> (T, G, r, q), contiguous."""
    N, T, q = values.shape
    return np.ascontiguousarray(values.swapaxes(0, 1)).reshape(T, G, N // G, q)


def by_series(rows: Array) -> Array:
    """(T, G, r, q) -> (N, T, q), a view."""
    T, G, r, q = rows.shape
    return rows.reshape(T, G * r, q).swapaxes(0, 1)


def turned(matrix: Array) -> Array:
    """The transpose of a stack of matrices."""
    return matrix.swapaxes(-1, -2)


def turned_over(matrix: Array) -> Array:
    """The transpose of a stack of matrices, with memory of its own: many small products of it are several times faster."""
    return np.ascontiguousarray(matrix.swapaxes(-1, -2))


def outer(left: Array, right: Array) -> Array:
    """The sum over rows of outer products, (..., r, q) and (..., r, s) -> (..., q, s)."""
    if left.shape[-2] > 1:
        return left.swapaxes(-1, -2) @ right
    return left.swapaxes(-1, -2) * right


def symmetric(matrix: Array) -> Array:
    """The symmetric part of a stack of matrices."""
    half: Array = (matrix + turned(matrix)) / 2
    return half


def record(problem: Problem, filtered: dict[str, Any], G: int) -> Tape | None:
    """Work out the tape of a filter that kept all; None where some innovation has no variance of its own.

    Parameters
    ----------
    problem : Problem
        In double precision, without a diffuse part.
    filtered : dict
        What a backend's ``filter_raw`` gave for it with ``store="all"``.
    G : int
        1 or N.
    """
    P = np.ascontiguousarray(by_step(filtered["predicted_cov"], G))
    A, H, R = (by_step(getattr(problem, name), G) for name in "AHR")
    seen = ~np.isnan(by_step(problem.z, G))
    cross = P @ turned_over(H)
    weight = _inverse(H @ cross + R, _summands(P, H, R), seen)
    if weight is None:
        return None
    K = cross @ weight
    ahead = A[1:] @ cross[:-1]
    if problem.S is not None:
        ahead = ahead + by_step(problem.S, G)[:-1]
    Kp = ahead @ weight[:-1]
    e = in_rows(filtered["innovation"], G)
    e[np.isnan(e)] = 0.0
    eye = np.eye(P.shape[-1])
    return Tape(
        P, weight, K, eye - K @ H, Kp, A[1:] - Kp @ H[:-1], H, in_rows(filtered["predicted_mean"], G), e
    )  # fmt: skip


def _summands(P: Array, H: Array, R: Array) -> Array:
    """The size of what the variances of the innovations are sums of, up to each step."""
    deviations = np.sqrt(np.maximum(np.diagonal(P, axis1=-2, axis2=-1), 0.0))
    sizes = (np.abs(H) @ deviations[..., None])[..., 0] ** 2 + np.diagonal(R, axis1=-2, axis2=-1)
    return np.maximum.accumulate(sizes, axis=0)


def _inverse(Sigma: Array, summands: Array, seen: Array) -> Array | None:
    """The inverses over what is seen; None if some variance given the other components is no more than rounding."""
    both = seen[..., :, None] & seen[..., None, :]
    eye = np.eye(Sigma.shape[-1])
    Sigma = np.where(both, symmetric(Sigma), eye)
    variances = np.diagonal(Sigma, axis1=-2, axis2=-1)
    if not (variances > 0).all():
        return None
    scale = 1 / np.sqrt(variances)
    scales = scale[..., :, None] * scale[..., None, :]
    try:
        factor = np.linalg.cholesky(Sigma * scales)
    except np.linalg.LinAlgError:
        return None
    own = np.diagonal(factor, axis1=-2, axis2=-1) ** 2 * variances
    if not ((own > _ROUNDING * summands) | ~seen).all():
        return None
    return np.where(both, np.linalg.inv(Sigma * scales) * scales, 0.0)
