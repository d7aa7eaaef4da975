# SPDX-License-Identifier: BSD-3-Clause
r"""The stabilising solution of the discrete algebraic Riccati equation of filtering.

For the model x_{k+1} = A x_k + w_k, z_k = H x_k + v_k with joint noise covariance [[Q, S], [S', R]],

.. math:: P = A P A' + Q - K \Sigma K', \quad \Sigma = H P H' + R, \quad K = (A P H' + S) \Sigma^{-1},

and *stabilising* means that every eigenvalue of F = A - K H lies inside the unit circle. It exists exactly when

1. (A, H) is detectable: no mode with modulus >= 1 is unobservable, and
2. [[A - s I, G_w], [H, G_v]] has full row rank for every s on the unit circle, where [G_w; G_v] is a factor of the joint noise
   covariance (for R > 0 and S = 0: no mode on the unit circle is unreachable from the noise).

A mode *outside* the unit circle that no noise drives is no obstacle. The start comes from the deflating subspace of the extended
symplectic pencil (P. Van Dooren 1981), which never inverts R; Newton's method (G. Hewer 1971), each step one Lyapunov equation
summed without cancellation, brings it to full accuracy and proves itself by stability of F and by the residual.

Sources: Anderson & Moore, Optimal Filtering, 1979, ch. 4; Kailath, Sayed & Hassibi, Linear Estimation, 2000, app. E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._check import FloatArray, covariance, matrix, square, symmetric
from kelman.lti._lyapunov import stein
from kelman.lti._poles import spectral_radius
from kelman.lti._unsteady import explain, require_steady

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_EPS = float(np.finfo(np.float64).eps)
_RADIUS_LIMIT = (
    1.0 - 1e-8
)  # a closed loop nearer to the unit circle cannot be told from a critical one in double precision


@dataclass(frozen=True, slots=True)
class Riccati:
    """The steady state of the Kalman filter.

    Attributes
    ----------
    P : ndarray, shape (n, n)
        Covariance of the predicted state, Cov(x_k | z_1..z_{k-1}).
    K : ndarray, shape (n, m)
        Predictor gain (A P H' + S) Sigma^-1.
    K_f : ndarray, shape (n, m)
        Filter gain P H' Sigma^-1.
    F : ndarray, shape (n, n)
        Closed loop A - K H; stable.
    Sigma : ndarray, shape (m, m)
        Innovation covariance H P H' + R.
    P_filtered : ndarray, shape (n, n)
        Covariance of the filtered state, Cov(x_k | z_1..z_k) = P - K_f Sigma K_f'.
    """

    P: FloatArray
    K: FloatArray
    K_f: FloatArray
    F: FloatArray
    Sigma: FloatArray
    P_filtered: FloatArray


def dare(A: ArrayLike, H: ArrayLike, Q: ArrayLike, R: ArrayLike, S: ArrayLike | None = None) -> Riccati:
    r"""Steady state of the Kalman filter: the stabilising solution of its Riccati equation.

    .. math:: P = A P A' + Q - (A P H' + S)(H P H' + R)^{-1}(A P H' + S)'

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix; it may be unstable or have modes on the unit circle.
    H : array_like, shape (m, n)
        Measurement matrix.
    Q : array_like, shape (n, n)
        Covariance of the state noise, positive semi-definite.
    R : array_like, shape (m, m)
        Covariance of the measurement noise, positive semi-definite; it may be singular, or zero, as long as
        Sigma = H P H' + R is positive definite.
    S : array_like, shape (n, m), optional
        Cov(w_k, v_k); zero when left out.

    Returns
    -------
    Riccati
        P, K, K_f, F, Sigma and P_filtered.

    Raises
    ------
    NoSteadyStateError
        If no stabilising solution exists; the message names the mode and why, ``.mode`` is its eigenvalue.

    Examples
    --------
    A random walk seen through noise of equal variance has the golden ratio as its gain:

    >>> from kelman.lti import dare
    >>> ss = dare([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> print(f"{ss.P[0, 0]:.10f} {ss.K[0, 0]:.10f}")
    1.6180339887 0.6180339887
    """
    A = square("A", A)
    n = A.shape[0]
    H = matrix("H", H, cols=n, why="to match A")
    m = H.shape[0]
    Q = covariance("Q", Q, n, "to match A")
    R = covariance("R", R, m, "to match the rows of H")
    S = np.zeros((n, m)) if S is None else matrix("S", S, n, m, "to match A and H")
    covariance("[[Q, S], [S', R]]", np.block([[Q, S], [S.T, R]]), n + m)
    if n == 0 or m == 0:
        return _without_measurement(A, H, Q, R, S)

    require_steady(A, H, Q, R, S, tol=1e-12)
    scale, measure = _units(A, H, Q, R)
    As, Hs = A * scale / scale[:, None], H * scale / measure[:, None]
    Qs, Rs, Ss = Q / np.outer(scale, scale), R / np.outer(measure, measure), S / np.outer(scale, measure)
    P = _newton(As, Hs, Qs, Rs, Ss)
    if P is None:
        require_steady(A, H, Q, R, S, tol=1e-6)
        raise explain(As, Hs, Qs, Rs, Ss)
    return _finish(A, H, R, S, P * np.outer(scale, scale))


def _without_measurement(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> Riccati:
    require_steady(A, H, Q, R, S, tol=1e-12)
    P = symmetric(stein(A, Q))
    return Riccati(P, S.copy(), S.copy(), A.copy(), R.copy(), P.copy())


def _units(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Powers of two that bring states and measurements to comparable sizes (exact to divide by)."""
    from scipy.linalg import matrix_balance

    _, (balance, _) = matrix_balance(A, permute=False, separate=True)
    noise = np.sqrt(np.trace(Q / np.outer(balance, balance)) / len(A))
    if noise == 0.0:
        gain = np.linalg.norm(H * balance)
        noise = np.sqrt(np.trace(R)) / gain if gain > 0 and np.trace(R) > 0 else 1.0
    scale = balance * noise
    measure = np.sqrt(np.square(H * scale).sum(1) + np.diag(R))
    measure[measure == 0] = 1.0
    return np.exp2(np.round(np.log2(scale))), np.exp2(np.round(np.log2(measure)))


def _gain(A: FloatArray, H: FloatArray, R: FloatArray, S: FloatArray, P: FloatArray) -> FloatArray | None:
    """K = (A P H' + S) Sigma^-1, or None where Sigma is not positive definite."""
    from scipy.linalg import cho_factor, cho_solve

    PH = P @ H.T
    try:
        factor = cho_factor(symmetric(H @ PH + R), lower=True)
    except np.linalg.LinAlgError:
        return None
    gain: FloatArray = cho_solve(factor, (A @ PH + S).T).T
    return gain if np.isfinite(gain).all() else None


def _newton(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> FloatArray | None:
    """Newton's method from a stabilising gain: P = F P F' + [I, -K] [[Q, S], [S', R]] [I, -K]'."""
    for start in (_pencil_start, _recursion_start):
        K = start(A, H, Q, R, S)
        if K is None or not spectral_radius(A - K @ H) < 1.0:
            continue
        P = _polish(A, H, Q, R, S, K)
        if P is not None:
            return P
    return None


def _polish(
    A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray, K: FloatArray
) -> FloatArray | None:
    """Newton steps until they no longer move P; None when the limit is not stabilising to working accuracy."""
    P, best = None, np.inf
    for _ in range(60):
        F = A - K @ H
        if not spectral_radius(F) < _RADIUS_LIMIT:
            return None
        KS = K @ S.T
        update = symmetric(stein(F, symmetric(Q - KS - KS.T + K @ R @ K.T)))
        size = max(float(np.abs(update).max()), float(np.abs(Q).max()), 1e-300)  # P itself may be zero
        change = np.inf if P is None else float(np.abs(update - P).max()) / size
        P = update
        if change <= 4 * _EPS or (change < 1e-9 and change >= best / 2):
            return P
        best = min(best, change)
        gain = _gain(A, H, R, S, P)
        if gain is None:
            return None
        K = gain
    return None


def _pencil_start(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> FloatArray | None:
    """Gain from the stable deflating subspace of the extended symplectic pencil."""
    from scipy.linalg import solve_discrete_are

    try:
        P = solve_discrete_are(A.T, H.T, Q, R, s=S)
    except (np.linalg.LinAlgError, ValueError):
        return None
    return _gain(A, H, R, S, symmetric(P))


def _recursion_start(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> FloatArray | None:
    """Gain of the Riccati recursion from a large covariance, run until its closed loop is stable."""
    P = np.eye(len(A)) * 1e3 * max(float(np.trace(Q)), float(np.trace(R)), 1.0)
    for step in range(4000):
        K = _gain(A, H, R, S, P)
        if K is None:
            return None
        F = A - K @ H
        KS = K @ S.T
        P = symmetric(F @ P @ F.T + Q - KS - KS.T + K @ R @ K.T)
        if not np.isfinite(P).all():
            return None
        if step % 50 == 49 and spectral_radius(F) < 1 - 1e-6:
            return K
    return K


def _finish(A: FloatArray, H: FloatArray, R: FloatArray, S: FloatArray, P: FloatArray) -> Riccati:
    from scipy.linalg import cho_factor, cho_solve

    PH = P @ H.T
    Sigma = symmetric(H @ PH + R)
    factor = cho_factor(Sigma, lower=True)
    K_f: FloatArray = cho_solve(factor, PH.T).T
    K: FloatArray = cho_solve(factor, (A @ PH + S).T).T
    joseph = np.eye(len(A)) - K_f @ H
    P_filtered = symmetric(joseph @ P @ joseph.T + K_f @ R @ K_f.T)
    return Riccati(P, K, K_f, A - K @ H, Sigma, P_filtered)
