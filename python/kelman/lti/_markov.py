# SPDX-License-Identifier: BSD-3-Clause
r"""Markov parameters (the impulse response), block Hankel matrices, and realisation from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.lti._check import FloatArray, integer, matrix, real_array, square
from kelman.lti._standard import standard_form

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def markov(A: ArrayLike, B: ArrayLike, H: ArrayLike, steps: int, D: ArrayLike | None = None) -> FloatArray:
    r"""Markov parameters D, H B, H A B, ..., H A^(steps-1) B.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix.
    B : array_like, shape (n, p)
        Input matrix (or a gain K).
    H : array_like, shape (m, n)
        Measurement matrix.
    steps : int
        How many parameters after the direct one.
    D : array_like, shape (m, p), optional
        Direct term; zero when left out.

    Returns
    -------
    ndarray, shape (steps + 1, m, p)
        Entry 0 is D, entry i is H A^(i-1) B.

    Examples
    --------
    >>> from kelman.lti import markov
    >>> markov([[0.5]], [[1.0]], [[2.0]], 3).ravel().tolist()
    [0.0, 2.0, 1.0, 0.5]
    """
    A = square("A", A)
    n = A.shape[0]
    B = matrix("B", B, rows=n, why="to match A")
    H = matrix("H", H, cols=n, why="to match A")
    steps = integer("steps", steps, 0)
    out = np.empty((steps + 1, H.shape[0], B.shape[1]))
    out[0] = 0.0 if D is None else matrix("D", D, H.shape[0], B.shape[1], "to match H and B")
    column = B
    for i in range(1, steps + 1):
        out[i] = H @ column
        column = A @ column
    return out


def impulse(model: Any, steps: int) -> FloatArray:
    """Impulse response of a model from its inputs u to its measurements z.

    Parameters
    ----------
    model : StateSpace
        A time-invariant model; its ``input_lag`` is taken into account.
    steps : int
        Last lag wanted.

    Returns
    -------
    ndarray, shape (steps + 1, m, p)
        Entry i is the answer of z_{k+i} to a unit impulse in u_k.

    Examples
    --------
    >>> import kelman
    >>> from kelman.lti import impulse
    >>> model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]], B=[[4.0]])
    >>> impulse(model, 2).ravel().tolist()
    [4.0, 2.0, 1.0]
    """
    A, B, H, D = standard_form(model)
    return markov(A, B, H, steps, D)


def hankel(markov: ArrayLike, rows: int | None = None, cols: int | None = None) -> FloatArray:
    """Block Hankel matrix of Markov parameters: block (i, j) is entry i + j + 1.

    Parameters
    ----------
    markov : array_like, shape (L + 1, m, p)
        Markov parameters as `markov` returns them; entry 0 (the direct term) is not used.
    rows, cols : int, optional
        Numbers of block rows and columns; rows + cols - 1 <= L. By default as square as L allows.

    Returns
    -------
    ndarray, shape (rows m, cols p)
        The Hankel matrix.

    Examples
    --------
    >>> from kelman.lti import hankel
    >>> hankel([[[0.0]], [[1.0]], [[2.0]], [[3.0]]]).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    array = _markov_array(markov)
    last = len(array) - 1
    rows = (last + 1) // 2 if rows is None else integer("rows", rows, 1)
    cols = last + 1 - rows if cols is None else integer("cols", cols, 1)
    if rows + cols - 1 > last:
        raise KelmanError(f"rows + cols - 1 = {rows + cols - 1} Markov parameters are needed, markov holds {last}")
    index = np.arange(rows)[:, None] + np.arange(cols)[None, :] + 1
    m, p = array.shape[1:]
    return np.ascontiguousarray(array[index].transpose(0, 2, 1, 3)).reshape(rows * m, cols * p)


def _markov_array(markov: ArrayLike) -> FloatArray:
    array = real_array("markov", markov)
    if array.ndim != 3 or len(array) < 2:
        raise KelmanError(f"markov: expected shape (L + 1, m, p) with L >= 1, got {array.shape}")
    return array


@dataclass(frozen=True, slots=True)
class Realization:
    """A state-space realisation of Markov parameters, balanced over the Hankel matrix used.

    Attributes
    ----------
    A : ndarray, shape (n, n)
    B : ndarray, shape (n, p)
    H : ndarray, shape (m, n)
    D : ndarray, shape (m, p)
    singular_values : ndarray
        All singular values of the Hankel matrix, whatever the order taken.
    order : int
        The order n.
    threshold : float
        What noise of the size given stays below with probability 0.95; 0 where none was given.
    """

    A: FloatArray
    B: FloatArray
    H: FloatArray
    D: FloatArray
    singular_values: FloatArray
    order: int
    threshold: float = 0.0


def ho_kalman(
    markov: ArrayLike, order: int | None = None, *, rows: int | None = None, noise: ArrayLike | None = None
) -> Realization:
    r"""Realise Markov parameters by a state space of given order (Ho & Kalman 1966; ERA of Juang & Pappa 1985).

    With the Hankel matrix of entries 1.. factored as :math:`U \Sigma V'`, the order-n part gives
    :math:`O = U_n \Sigma_n^{1/2}`, :math:`C = \Sigma_n^{1/2} V_n'`, H the first block row of O, B the first block column of C and
    :math:`A = \Sigma_n^{-1/2} U_n' \mathcal{H}_{+} V_n \Sigma_n^{-1/2}` with the Hankel matrix moved by one.

    Parameters
    ----------
    markov : array_like, shape (L + 1, m, p)
        Markov parameters D, M_1, ..., M_L, exact or measured.
    order : int, optional
        Number of states. When left out: with ``noise`` the number of singular values above ``threshold``, otherwise the numerical
        rank, at 1e-10 of the largest singular value, which is for exact parameters.
    rows : int, optional
        Block rows of the Hankel matrix; by default as square as L allows.
    noise : float or array_like that broadcasts to (L + 1, m, p), optional
        Standard deviations of measured parameters, whose errors are taken to be independent and Gaussian.

    Returns
    -------
    Realization
        A, B, H, D, all singular values, the order, and the threshold.

    Raises
    ------
    KelmanError
        If there are fewer than two parameters after D, the Hankel matrix has a lower rank than order, or a standard deviation is
        negative.

    Notes
    -----
    The threshold bounds the largest singular value of the Hankel matrix of the noise alone: with v the largest sum of variances
    over a row or a column, of d rows and columns together, it exceeds t with a probability below
    :math:`d \exp(-t^2 / 2 v)` (J. A. Tropp, Found. Comput. Math. 12 (2012) 389, theorem 1.5). A state that stands below it cannot be
    told from noise.

    B. L. Ho & R. E. Kalman, Regelungstechnik 14 (1966) 545; J.-N. Juang & R. S. Pappa, J. Guidance 8 (1985) 620.

    Examples
    --------
    >>> from kelman.lti import ho_kalman, markov
    >>> found = ho_kalman(markov([[0.5]], [[1.0]], [[2.0]], 6))
    >>> found.order, round(float(found.A[0, 0]), 12)
    (1, 0.5)

    The same measured with errors of 0.01:

    >>> import numpy as np
    >>> exact = markov([[0.5]], [[1.0]], [[2.0]], 40)
    >>> measured = exact + 0.01 * np.random.default_rng(0).normal(size=exact.shape)
    >>> ho_kalman(measured, noise=0.01).order
    1
    """
    array = _markov_array(markov)
    if len(array) < 3:
        raise KelmanError(f"markov: at least 2 parameters after the direct one are needed, got {len(array) - 1}")
    last = len(array) - 1
    rows = last // 2 if rows is None else integer("rows", rows, 1)
    cols = last - rows
    if cols < 1:
        raise KelmanError(f"rows: expected at most {last - 1} for {last} Markov parameters, got {rows}")
    m, p = array.shape[1:]
    first = hankel(array, rows, cols)
    shifted = hankel(array[1:], rows, cols)
    left, values, right = np.linalg.svd(first, full_matrices=False)
    threshold = 0.0 if noise is None else _noise_threshold(noise, array.shape, rows, cols)
    if order is None:
        floor = max(threshold, 1e-10 * values[0]) if len(values) else 0.0
        order = int(np.count_nonzero(values > floor)) if len(values) and values[0] > 0 else 0
    order = integer("order", order, 0)
    if order > len(values) or (order and values[order - 1] == 0.0):
        rank = int(np.count_nonzero(values > 0))
        raise KelmanError(f"order: the Hankel matrix of these Markov parameters has rank {rank}, got {order}")
    root = np.sqrt(values[:order])
    A = (left[:, :order].T @ shifted @ right[:order].T) / np.outer(root, root)
    B = root[:, None] * right[:order, :p]
    H = left[:m, :order] * root
    return Realization(A, B, H, array[0].copy(), values, order, threshold)


def _noise_threshold(noise: ArrayLike, shape: tuple[int, ...], rows: int, cols: int) -> float:
    """What the largest singular value of the Hankel matrix of the noise stays below in 95 of 100 cases, at least."""
    std = real_array("noise", noise)
    if (std < 0).any():
        raise KelmanError("noise: expected standard deviations >= 0")
    try:
        each = np.broadcast_to(std, shape)
    except ValueError:
        raise KelmanError(
            f"noise: expected a number or an array that broadcasts to {shape}, got shape {std.shape}"
        ) from None
    variances = hankel(np.square(each), rows, cols)
    most = max(float(variances.sum(0).max()), float(variances.sum(1).max()))
    return float(np.sqrt(2 * most * np.log(sum(variances.shape) / _CHANCE)))


_CHANCE = 0.05
