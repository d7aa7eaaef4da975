# SPDX-License-Identifier: BSD-3-Clause
r"""Stationary covariances: the discrete Lyapunov (Stein) equation and Gramians.

For a stable A the equation P = A P A' + Q has the solution

.. math:: P = \sum_{k \ge 0} A^k Q A'^k,

summed here by doubling (R. A. Smith, 1968): P <- P + F P F', F <- F F, which after i steps holds the first 2^i terms. Every
term is positive semi-definite when Q is, so nothing cancels, and the number of steps is log2 of the memory of A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.lti._check import FloatArray, matrix, square, symmetric
from kelman.lti._poles import spectral_radius

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_EPS = float(np.finfo(np.float64).eps)


def stein(A: FloatArray, Q: FloatArray, At: FloatArray | None = None) -> FloatArray:
    """Solve P = A P At + Q by doubling for stable A and At (At = A' when None); no checks."""
    left = A
    right = A.T if At is None else At
    total = Q
    for _ in range(64):
        step = left @ total @ right
        total = total + step
        if not np.abs(step).max(initial=0.0) > _EPS / 4 * np.abs(total).max(initial=0.0):
            break
        left = left @ left
        right = right @ right
    return total


def stein_stack(A: FloatArray, Q: FloatArray, At: FloatArray) -> FloatArray:
    """Solve P = A P At + Q for stacks (N, n, n) of stable A; each as it would be alone, to the bit. No checks."""
    left, right, total = A, At, Q
    going = np.ones(len(total), dtype=bool)
    for _ in range(64):
        step = left @ total @ right
        total = np.where(going[:, None, None], total + step, total)
        going &= np.abs(step).max((1, 2), initial=0.0) > _EPS / 4 * np.abs(total).max((1, 2), initial=0.0)
        if not going.any():
            break
        left = left @ left
        right = right @ right
    return total


def lyapunov(A: ArrayLike, Q: ArrayLike) -> FloatArray:
    r"""Solve P = A P A' + Q for a stable A.

    P is the stationary covariance of x_{k+1} = A x_k + w_k with Cov(w_k) = Q.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix; every eigenvalue must lie inside the unit circle.
    Q : array_like, shape (n, n)
        Right-hand side: symmetric for a covariance, but any matrix is allowed.

    Returns
    -------
    ndarray, shape (n, n)
        The solution; exactly symmetric when Q is.

    Raises
    ------
    KelmanError
        If A has an eigenvalue of modulus >= 1: there is no stationary covariance then.

    Examples
    --------
    >>> from kelman.lti import lyapunov
    >>> print(lyapunov([[0.5]], [[3.0]]))
    [[4.]]
    """
    A = square("A", A)
    Q = square("Q", Q, A.shape[0], "to match A")
    require_stable("A", A)
    if np.array_equal(Q, Q.T):
        return symmetric(stein(A, Q))
    return stein(A, Q)


def require_stable(name: str, A: FloatArray) -> None:
    """Refuse a matrix with an eigenvalue on or outside the unit circle."""
    radius = spectral_radius(A)
    if not radius < 1.0:
        raise KelmanError(
            f"{name}: every eigenvalue must lie inside the unit circle, but the spectral radius is {radius:.10g}; "
            "an unstable system has no stationary covariance or Gramian"
        )


def gramians(A: ArrayLike, B: ArrayLike, H: ArrayLike) -> tuple[FloatArray, FloatArray]:
    r"""Controllability and observability Gramians of a stable system.

    .. math:: W_c = \sum_k A^k B B' A'^k, \qquad W_o = \sum_k A'^k H' H A^k.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix, stable.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.

    Returns
    -------
    Wc, Wo : ndarray, shape (n, n)
        The two Gramians, exactly symmetric.

    Examples
    --------
    >>> from kelman.lti import gramians
    >>> Wc, Wo = gramians([[0.5]], [[3.0]], [[1.5]])
    >>> float(Wc[0, 0]), float(Wo[0, 0])
    (12.0, 3.0)
    """
    A = square("A", A)
    n = A.shape[0]
    B = matrix("B", B, rows=n, why="to match A")
    H = matrix("H", H, cols=n, why="to match A")
    require_stable("A", A)
    return symmetric(stein(A, B @ B.T)), symmetric(stein(A.T, H.T @ H))
