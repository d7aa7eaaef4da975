# SPDX-License-Identifier: BSD-3-Clause
r"""Sizes of a transfer function G(z) = D + H (z I - A)^{-1} B: H2, H-infinity, and its values on the unit circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.lti._check import FloatArray, matrix, number_between, real_array, square
from kelman.lti._lyapunov import require_stable, stein

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from kelman.lti._poles import ComplexArray

_CIRCLE = 1e-7  # how near to the unit circle an eigenvalue of the symplectic pencil counts as on it


def system(
    A: ArrayLike, B: ArrayLike, H: ArrayLike, D: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Check the four matrices of a system; D is zero when left out."""
    A = square("A", A)
    B = matrix("B", B, rows=len(A), why="to match A")
    H = matrix("H", H, cols=len(A), why="to match A")
    m, p = H.shape[0], B.shape[1]
    return A, B, H, np.zeros((m, p)) if D is None else matrix("D", D, m, p, "to match H and B")


def frequency_response(
    A: ArrayLike, B: ArrayLike, H: ArrayLike, omega: ArrayLike, D: ArrayLike | None = None
) -> ComplexArray:
    r"""Transfer function on the unit circle, :math:`D + H (e^{j\omega} I - A)^{-1} B`.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.
    omega : array_like, shape (w,)
        Angles in radians per step.
    D : array_like, shape (m, p), optional
        Direct term.

    Returns
    -------
    ndarray of complex, shape (w, m, p)
        inf where a pole lies on the unit circle at that angle.

    Examples
    --------
    >>> from kelman.lti import frequency_response
    >>> frequency_response([[0.5]], [[1.0]], [[1.0]], [0.0])[0].real.tolist()
    [[2.0]]
    """
    A, B, H, D = system(A, B, H, D)
    angles = np.atleast_1d(real_array("omega", omega)).ravel()
    return response(A, B, H, D, np.exp(1j * angles))


def response(A: FloatArray, B: FloatArray, H: FloatArray, D: FloatArray, points: ComplexArray) -> ComplexArray:
    """G at the given complex points."""
    n = len(A)
    if n == 0:
        return np.broadcast_to(D.astype(np.complex128), (len(points), *D.shape)).copy()
    pencil = points[:, None, None] * np.eye(n) - A
    try:
        inner = np.linalg.solve(pencil, np.broadcast_to(B.astype(np.complex128), (len(points), *B.shape)))
    except np.linalg.LinAlgError:
        return np.stack([_one_response(one, B, H, D) for one in pencil])
    result: ComplexArray = D + H @ inner
    return result


def _one_response(pencil: ComplexArray, B: FloatArray, H: FloatArray, D: FloatArray) -> ComplexArray:
    try:
        value: ComplexArray = D + H @ np.linalg.solve(pencil, B.astype(np.complex128))
    except np.linalg.LinAlgError:
        return np.full(D.shape, np.inf, dtype=np.complex128)
    return value


def h2_norm(A: ArrayLike, B: ArrayLike, H: ArrayLike, D: ArrayLike | None = None) -> float:
    r"""H2 norm: root of the summed squares of the impulse response.

    .. math:: \lVert G\rVert_2^2 = \operatorname{tr}(H W_c H' + D D')

    that is the root mean square of the output when the input is white with unit covariance.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix, stable.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.
    D : array_like, shape (m, p), optional
        Direct term.

    Returns
    -------
    float
        The norm.

    Examples
    --------
    >>> from kelman.lti import h2_norm
    >>> round(h2_norm([[0.6]], [[0.8]], [[2.0]]), 12)
    2.0
    """
    A, B, H, D = system(A, B, H, D)
    require_stable("A", A)
    return float(np.sqrt(max(np.trace(H @ stein(A, B @ B.T) @ H.T) + np.square(D).sum(), 0.0)))


def hinf_norm(A: ArrayLike, B: ArrayLike, H: ArrayLike, D: ArrayLike | None = None, *, tol: float = 1e-9) -> float:
    r"""H-infinity norm: the largest singular value of G on the unit circle.

    A level is a singular value of G at angle w exactly when the symplectic pencil of that level has the eigenvalue exp(j w) (Boyd,
    Balakrishnan & Kabamba 1989), so each trial level tells all intervals in which G exceeds it; their midpoints raise the level (Bruinsma &
    Steinbuch 1990; quadratic convergence), until no interval is left.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix, stable.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.
    D : array_like, shape (m, p), optional
        Direct term.
    tol : float, default 1e-9
        Relative accuracy.

    Returns
    -------
    float
        The norm.

    Examples
    --------
    >>> from kelman.lti import hinf_norm
    >>> round(hinf_norm([[0.5]], [[1.0]], [[1.0]]), 9)
    2.0
    """
    A, B, H, D = system(A, B, H, D)
    require_stable("A", A)
    return largest_gain(A, B, H, D, number_between("tol", tol, 0.0, 1.0))


def largest_gain(A: FloatArray, B: FloatArray, H: FloatArray, D: FloatArray, tol: float = 1e-9) -> float:
    """Largest singular value on the unit circle of a system without poles there."""
    if not D.size:
        return 0.0
    angles = np.unique(np.concatenate([np.linspace(0, np.pi, 129), np.abs(np.angle(np.linalg.eigvals(A)))]))
    low = _climb(A, B, H, D, angles)
    for _ in range(60):
        if low == 0.0:
            return 0.0
        crossing = _crossings(A, B, H, D, low * (1 + tol))
        if not len(crossing):
            return low
        edges = np.unique(np.concatenate([[0.0], crossing, [np.pi]]))
        higher = _climb(A, B, H, D, np.unique(np.concatenate([(edges[1:] + edges[:-1]) / 2, edges])))
        if higher <= low * (1 + tol):
            return max(low, higher)
        low = higher
    return low


def _climb(A: FloatArray, B: FloatArray, H: FloatArray, D: FloatArray, angles: FloatArray) -> float:
    """Largest gain near the best of the sorted angles: each promising local maximum is climbed between its neighbours."""
    from scipy.optimize import minimize_scalar

    def gain(angle: float) -> float:
        return float(np.linalg.norm(response(A, B, H, D, np.exp(1j * np.array([angle])))[0], 2))

    gains = np.linalg.norm(response(A, B, H, D, np.exp(1j * angles)), 2, axis=(1, 2))
    best = float(gains.max())
    padded = np.concatenate([[-np.inf], gains, [-np.inf]])
    local = np.flatnonzero((gains >= padded[:-2]) & (gains >= padded[2:]) & (gains > 0.5 * best))
    for i in local[np.argsort(-gains[local])][:6]:
        low, high = angles[max(i - 1, 0)], angles[min(i + 1, len(angles) - 1)]
        if high > low:
            found = minimize_scalar(lambda w: -gain(w), bounds=(low, high), method="bounded", options={"xatol": 1e-12})
            best = max(best, float(-found.fun))
    return best


def _crossings(A: FloatArray, B: FloatArray, H: FloatArray, D: FloatArray, level: float) -> FloatArray:
    """Angles in [0, pi] at which a singular value of G equals the level: unit eigenvalues of the symplectic pencil."""
    from scipy.linalg import eigvals

    n, p = B.shape
    one, none = np.eye(n), np.zeros
    unit = np.eye(p)
    G = H / level
    E = D / level
    left = np.block([[A, none((n, n)), B], [none((n, n)), one, none((n, p))], [E.T @ G, B.T, E.T @ E - unit]])
    right = np.block([[one, none((n, n)), none((n, p))], [G.T @ G, A.T, G.T @ E], [none((p, 2 * n + p))]])
    alpha, beta = eigvals(left, right, homogeneous_eigvals=True)
    finite = np.abs(beta) > 1e-14 * np.abs(alpha)
    values: Any = alpha[finite] / beta[finite]
    found = values[np.abs(np.abs(values) - 1) < _CIRCLE * (1 + n)]
    angles: FloatArray = np.abs(np.angle(found))
    return angles
