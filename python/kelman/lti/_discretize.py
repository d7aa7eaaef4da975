# SPDX-License-Identifier: BSD-3-Clause
"""From continuous to discrete time, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._check import FloatArray, covariance, matrix, number_between, square, symmetric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Discrete:
    """The sampled system x_{k+1} = A x_k + B u_k + w_k, Cov(w_k) = Q.

    Attributes
    ----------
    A : ndarray, shape (n, n)
    B : ndarray, shape (n, p)
        Width p = 0 when no input matrix was given.
    Q : ndarray, shape (n, n)
    """

    A: FloatArray
    B: FloatArray
    Q: FloatArray


def discretize(A: ArrayLike, dt: float, *, B: ArrayLike | None = None, Q: ArrayLike | None = None) -> Discrete:
    r"""Sample dx = (A x + B u) dt + dW, Cov(dW) = Q dt, at distance dt, with u held between samples.

    .. math:: A_d = e^{A t}, \quad B_d = \int_0^{t} e^{A s} ds\, B, \quad Q_d = \int_0^{t} e^{A s} Q e^{A' s} ds

    by the block exponential of C. Van Loan (IEEE Trans. Automatic Control 23, 1978) over a short step, doubled up to dt so that
    fast stable modes neither overflow nor cancel.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Rate matrix.
    dt : float
        Sampling interval, positive.
    B : array_like, shape (n, p), optional
        Input matrix in continuous time.
    Q : array_like, shape (n, n), optional
        Intensity (spectral density) of the driving noise; zero when left out.

    Returns
    -------
    Discrete
        A, B and Q in discrete time; use them with ``StateSpace.from_shifted`` (u_k acts from sample k to k + 1).

    Examples
    --------
    Constant velocity has Q = q [[dt^3/3, dt^2/2], [dt^2/2, dt]]:

    >>> import numpy as np
    >>> from kelman.lti import discretize
    >>> print(np.round(discretize([[0, 1], [0, 0]], 0.3, Q=[[0, 0], [0, 2.0]]).Q, 12))
    [[0.018 0.09 ]
     [0.09  0.6  ]]
    """
    A = square("A", A)
    n = A.shape[0]
    B = np.zeros((n, 0)) if B is None else matrix("B", B, rows=n, why="to match A")
    Q = np.zeros((n, n)) if Q is None else covariance("Q", Q, n, "to match A")
    dt = number_between("dt", dt, 0.0, np.inf)
    from scipy.linalg import expm

    size = float(np.abs(A).sum(axis=0).max(initial=0.0)) * dt
    halvings = max(0, int(np.ceil(np.log2(size)))) if size > 1 else 0
    step = dt / 2.0**halvings
    p = B.shape[1]
    van_loan = expm(np.block([[-A, Q], [np.zeros((n, n)), A.T]]) * step)
    hold = expm(np.block([[A, B], [np.zeros((p, n + p))]]) * step)
    Ad, Bd = hold[:n, :n], hold[:n, n:]
    Qd = symmetric(van_loan[n:, n:].T @ van_loan[:n, n:])
    for _ in range(halvings):
        Qd = symmetric(Qd + Ad @ Qd @ Ad.T)
        Bd = Bd + Ad @ Bd
        Ad = Ad @ Ad
    return Discrete(np.ascontiguousarray(Ad), np.ascontiguousarray(Bd), Qd)
