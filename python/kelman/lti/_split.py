# SPDX-License-Identifier: BSD-3-Clause
"""Split the state space into a stable part and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.lti._check import FloatArray, square

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class StationarySplit:
    """The invariant subspaces of A inside and outside the circle of radius 1 - tol.

    With n_s stable and n_u = n - n_s other eigenvalues:

    Attributes
    ----------
    Vs : ndarray, shape (n, n_s)
        Orthonormal basis of the stable invariant subspace: A Vs = Vs As.
    Vu : ndarray, shape (n, n_u)
        Orthonormal basis of the invariant subspace of the rest: A Vu = Vu Au.
    As : ndarray, shape (n_s, n_s)
        A on the stable subspace.
    Au : ndarray, shape (n_u, n_u)
        A on the rest.
    Ls : ndarray, shape (n_s, n)
        Coordinates along Vs of the (oblique) decomposition x = Vs (Ls x) + Vu (Lu x).
    Lu : ndarray, shape (n_u, n)
        Coordinates along Vu.
    """

    Vs: FloatArray
    Vu: FloatArray
    As: FloatArray
    Au: FloatArray
    Ls: FloatArray
    Lu: FloatArray


def stationary_split(A: ArrayLike, tol: float = 1e-8) -> StationarySplit:
    """Split x = Vs s + Vu t into the stable modes of A and those of modulus >= 1 - tol.

    The stable part has a stationary distribution; the rest (random walks, trends, seasonals, unstable modes) has none and needs a
    diffuse start. Both bases come from ordered real Schur forms of A, so they stay accurate for defective matrices.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.
    tol : float, default 1e-8
        A mode counts as stable when its modulus is below 1 - tol.

    Returns
    -------
    StationarySplit
        Bases ``Vs``, ``Vu``, the blocks ``As``, ``Au`` and the coordinate maps ``Ls``, ``Lu``.

    Examples
    --------
    >>> from kelman.lti import stationary_split
    >>> split = stationary_split([[1.0, 0.0], [0.0, 0.5]])
    >>> split.As.tolist(), split.Au.tolist()
    ([[0.5]], [[1.0]])
    """
    A = square("A", A)
    if not 0 <= tol < 1:
        raise KelmanError(f"tol: expected a number in [0, 1), got {tol!r}")
    from scipy.linalg import schur

    n = A.shape[0]
    limit = 1.0 - tol
    if n == 0:
        empty = np.zeros((0, 0))
        return StationarySplit(empty, empty, empty, empty, empty, empty)

    eigenvalues = np.linalg.eigvals(A).astype(np.complex128)
    stable = _stable_flags(eigenvalues, limit)

    def inside(re: float, im: float) -> bool:
        return bool(stable[np.abs(eigenvalues - complex(re, im)).argmin()])

    def outside(re: float, im: float) -> bool:
        return not inside(re, im)

    Ts, Zs, n_s = schur(A, output="real", sort=inside)
    Tu, Zu, n_u = schur(A, output="real", sort=outside)
    if n_s + n_u != n:  # rounding moved an eigenvalue across the limit between the two orderings
        n_u = n - n_s
    Vs = np.ascontiguousarray(Zs[:, :n_s])
    Vu = np.ascontiguousarray(Zu[:, :n_u])
    coordinates = np.linalg.inv(np.hstack([Vs, Vu]))
    return StationarySplit(
        Vs,
        Vu,
        np.ascontiguousarray(Ts[:n_s, :n_s]),
        np.ascontiguousarray(Tu[:n_u, :n_u]),
        coordinates[:n_s],
        coordinates[n_s:],
    )


def clearly_stable(A: FloatArray) -> NDArray[np.bool_]:
    """For a stack (N, n, n): whether no mode of A comes near the unit circle, nor would but for rounding."""
    radius = np.abs(np.linalg.eigvals(A)).max(axis=-1, initial=0.0)
    stable: NDArray[np.bool_] = radius <= 1 - 10 * float(np.finfo(np.float64).eps) ** (1 / A.shape[-1])
    return stable


def _stable_flags(eigenvalues: NDArray[np.complex128], limit: float) -> NDArray[np.bool_]:
    """Which eigenvalues count as stable; a defective unit root that rounding has spread over a small circle counts as one.

    A k-fold defective eigenvalue is computed with errors of about eps**(1/k), but the mean of its k copies is accurate to eps.
    """
    stable = np.abs(eigenvalues) < limit
    spread = 10 * float(np.finfo(np.float64).eps) ** (1 / np.arange(1, len(eigenvalues) + 1))
    for i in np.flatnonzero(stable & (np.abs(eigenvalues) > 1 - spread[-1])):
        distance = np.abs(eigenvalues - eigenvalues[i])
        for size in range(2, len(eigenvalues) + 1):
            near = np.argsort(distance)[:size]
            if distance[near[-1]] <= 2 * spread[size - 1] and abs(eigenvalues[near].mean()) >= 1 - 1e-10:
                stable[near] = False
    return stable
