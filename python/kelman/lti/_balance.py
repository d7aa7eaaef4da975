# SPDX-License-Identifier: BSD-3-Clause
r"""Balanced realisations: the coordinates in which a state is as easy to reach as to see, and truncation in them.

With Gramians factored as :math:`W_c = L_c L_c'`, :math:`W_o = L_o L_o'`, the singular values of :math:`L_o' L_c` are the Hankel
singular values (square-root method; Laub, Heath, Paige & Ward 1987; Moore 1981).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.lti._check import FloatArray, covariance, integer, matrix, square
from kelman.lti._lyapunov import gramians

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Balanced:
    """A realisation in balanced coordinates, and the maps there and back.

    Attributes
    ----------
    A, B, H, D : ndarray
        The system in the new coordinates (D is unchanged).
    T : ndarray, shape (r, n)
        New state = T x old state.
    T_inv : ndarray, shape (n, r)
        Old state = T_inv x new state; T T_inv = I.
    hankel : ndarray, shape (n,)
        All Hankel singular values of the given system.
    """

    A: FloatArray
    B: FloatArray
    H: FloatArray
    D: FloatArray
    T: FloatArray
    T_inv: FloatArray
    hankel: FloatArray


def _psd_factor(W: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(W)
    factor: FloatArray = vectors * np.sqrt(np.clip(values, 0.0, None))
    return factor


def _input_factor(input_cov: ArrayLike | None, p: int) -> FloatArray:
    if input_cov is None:
        return np.eye(p)
    return _psd_factor(covariance("input_cov", input_cov, p, "to match the columns of B"))


def hankel_singular_values(
    A: ArrayLike, B: ArrayLike, H: ArrayLike, *, input_cov: ArrayLike | None = None
) -> FloatArray:
    r"""Hankel singular values :math:`\sqrt{\lambda_i(W_c W_o)}` of a stable system, largest first.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix, stable.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.
    input_cov : array_like, shape (p, p), optional
        Covariance of the (white) input by which B is weighted; the identity when left out.

    Returns
    -------
    ndarray, shape (n,)
        Independent of the basis of the state; the number of clearly non-zero ones is the order.

    Examples
    --------
    >>> from kelman.lti import hankel_singular_values
    >>> hankel_singular_values([[0.5]], [[3.0]], [[1.5]]).round(12).tolist()
    [6.0]
    """
    A = square("A", A)
    n = A.shape[0]
    B = matrix("B", B, rows=n, why="to match A")
    H = matrix("H", H, cols=n, why="to match A")
    Wc, Wo = gramians(A, B @ _input_factor(input_cov, B.shape[1]), H)
    values = np.linalg.svd(_psd_factor(Wo).T @ _psd_factor(Wc), compute_uv=False)
    return values.astype(np.float64)


def balance(
    A: ArrayLike, B: ArrayLike, H: ArrayLike, D: ArrayLike | None = None, *, input_cov: ArrayLike | None = None
) -> Balanced:
    """Balanced minimal realisation of a stable system.

    States that cannot be reached or seen (Hankel singular values below 1e-12 of the largest) are dropped: there is no balanced
    basis for them.

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
    input_cov : array_like, shape (p, p), optional
        Covariance of the white input; the identity when left out.

    Returns
    -------
    Balanced
        The system with both Gramians equal to diag(hankel), and the maps.

    Examples
    --------
    >>> import numpy as np
    >>> from kelman.lti import balance, gramians
    >>> system = balance([[0.5, 1.0], [0.0, 0.25]], [[0.0], [1.0]], [[1.0, 0.0]])
    >>> Wc, Wo = gramians(system.A, system.B, system.H)
    >>> bool(np.allclose(Wc, Wo)) and bool(np.allclose(Wc, np.diag(system.hankel)))
    True
    """
    return _reduce(A, B, H, None, D, input_cov)


def balanced_truncation(
    A: ArrayLike,
    B: ArrayLike,
    H: ArrayLike,
    order: int,
    D: ArrayLike | None = None,
    input_cov: ArrayLike | None = None,
) -> Balanced:
    r"""Keep the ``order`` states with the largest Hankel singular values.

    The reduced system is stable, and its transfer function differs from the given one by at most
    :math:`2 \sum_{i > r} \sigma_i` in the H-infinity norm (Enns; Glover 1984; Al-Saggaf & Franklin 1987 for discrete time).

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix, stable.
    B : array_like, shape (n, p)
        Input matrix.
    H : array_like, shape (m, n)
        Measurement matrix.
    order : int
        Number of states to keep; not more than the minimal order.
    D : array_like, shape (m, p), optional
        Direct term; kept.
    input_cov : array_like, shape (p, p), optional
        Covariance of the white input; the identity when left out.

    Returns
    -------
    Balanced
        The reduced system, the projections T (order, n) and T_inv (n, order), and all Hankel singular values.

    Examples
    --------
    >>> from kelman.lti import balanced_truncation
    >>> small = balanced_truncation([[0.9, 0.0], [0.0, 0.1]], [[1.0], [0.01]], [[1.0, 0.01]], 1)
    >>> small.A.shape, bool(abs(small.A[0, 0] - 0.9) < 1e-3)
    ((1, 1), True)
    """
    return _reduce(A, B, H, integer("order", order, 0), D, input_cov)


def _reduce(
    A: ArrayLike,
    B: ArrayLike,
    H: ArrayLike,
    order: int | None,
    D: ArrayLike | None,
    input_cov: ArrayLike | None,
) -> Balanced:
    A = square("A", A)
    n = A.shape[0]
    B = matrix("B", B, rows=n, why="to match A")
    H = matrix("H", H, cols=n, why="to match A")
    m, p = H.shape[0], B.shape[1]
    D = np.zeros((m, p)) if D is None else matrix("D", D, m, p, "to match H and B").copy()
    Wc, Wo = gramians(A, B @ _input_factor(input_cov, p), H)
    Lc, Lo = _psd_factor(Wc), _psd_factor(Wo)
    left, values, right = np.linalg.svd(Lo.T @ Lc)
    minimal = int(np.count_nonzero(values > 1e-12 * values[0])) if n and values[0] > 0 else 0
    if order is None:
        order = minimal
    if order > minimal:
        raise KelmanError(
            f"order: the system has only {minimal} states that can be both reached and seen, got {order}; "
            f"Hankel singular values {np.array2string(values, precision=3)}"
        )
    root = np.sqrt(values[:order])
    T = (Lo @ left[:, :order] / root).T
    T_inv = Lc @ right[:order].T / root
    return Balanced(T @ A @ T_inv, T @ B, H @ T_inv, D, T, T_inv, values)
