# SPDX-License-Identifier: BSD-3-Clause
r"""The recursion x_{k+1} = F x_k + v_k over long series without a Python loop over time.

Time is cut into blocks of L steps. Inside a block

.. math:: x_{i+1} = F^{i+1} x_0 + \sum_{j \le i} F^{i-j} v_j, \qquad i = 0 \dots L-1,

is one product with a block lower-triangular Toeplitz matrix of powers, the same for all blocks and all columns; the block
starts obey the same recursion with F^L, solved by the same function. Nothing is diagonalised, so defective F is as good as
any; F should not be (much) unstable, since F^L is formed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kelman.lti._check import FloatArray


def propagate(F: FloatArray, v: FloatArray, x0: FloatArray | None = None) -> FloatArray:
    """Run x_{k+1} = F x_k + v_k for all columns at once (no checks).

    Parameters
    ----------
    F : ndarray, shape (n, n)
        Transition matrix.
    v : ndarray, shape (T, n, C)
        Driving terms of C independent columns.
    x0 : ndarray, shape (n, C), optional
        Start; zero when left out.

    Returns
    -------
    ndarray, shape (T + 1, n, C)
        x_0, ..., x_T.
    """
    T, n, C = v.shape
    out = np.empty((T + 1, n, C))
    out[0] = 0.0 if x0 is None else x0
    if n == 0 or C == 0:
        return out
    if T <= 48:
        for k in range(T):
            np.matmul(F, out[k], out=out[k + 1])
            out[k + 1] += v[k]
        return out
    L = 8 if n <= 6 else 4  # short blocks keep the products in cache; levels of blocks of blocks do the rest
    blocks, rest = divmod(T, L)
    powers = _powers(F, L)
    inner = v[: blocks * L].reshape(blocks, L * n, C)
    inside = np.matmul(_toeplitz(powers, L), inner)  # zero-start answer at the L steps of each block
    starts = propagate(powers[L], inside[:, -n:], out[0])
    inside += np.matmul(powers[1:].reshape(L * n, n), starts[:-1])
    out[1 : blocks * L + 1] = inside.reshape(blocks * L, n, C)
    for k in range(T - rest, T):
        out[k + 1] = F @ out[k] + v[k]
    return out


def _powers(F: FloatArray, last: int) -> FloatArray:
    """F^0, ..., F^last."""
    powers = np.empty((last + 1, *F.shape))
    powers[0] = np.eye(len(F))
    for i in range(1, last + 1):
        powers[i] = F @ powers[i - 1]
    return powers


def _toeplitz(powers: FloatArray, L: int) -> FloatArray:
    """Block (i, j) is F^(i - j) for j <= i, else zero."""
    n = powers.shape[1]
    lag = np.arange(L)[:, None] - np.arange(L)[None, :]
    blocks = np.where((lag >= 0)[:, :, None, None], powers[np.maximum(lag, 0)], 0.0)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).reshape(L * n, L * n)
