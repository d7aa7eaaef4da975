# SPDX-License-Identifier: BSD-3-Clause
r"""Autocovariances of innovations where values are missing, for `tune` by correlation.

In a gap the gain of what is missing is zero, so it varies in time, and so do the autocovariances. They are linear in Q and R all the same: with
:math:`F_k = A - K_k H` and the covariance :math:`P_k` of the prediction error,

.. math:: P_{k+1} = F_k P_k F_k' + Q + K_k R K_k', \qquad
          E[e_k e_{k-j}'] = H F_{k-1} \cdots F_{k-j+1} (F_{k-j} P_{k-j} H' - K_{k-j} R),

and their mean over the pairs of which both are measured, component by component, is what the mean of the products estimates: the
autocovariance least squares of M. R. Rajamani and J. B. Rawlings, Automatica 45 (2009) 142, for a filter whose gain varies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman import linear
from kelman.errors import KelmanError
from kelman.identify._auxiliary import _inverse, _turned
from kelman.lti._lyapunov import stein

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._noise_block import NoiseBlock
    from kelman.models import StateSpace


def products(
    model: StateSpace, z: Array, u: Array | None, inside: Array, blocks: tuple[NoiseBlock, NoiseBlock], lags: int
) -> tuple[Array, Array, Array, Array]:
    """Mean products of innovations, the number of each, and what they are for each entry of the noise.

    Parameters
    ----------
    model : StateSpace
        Begins near its steady state, at z[:, 0].
    z, u : ndarray, shapes (N, T, m) and (N, T, p)
    inside : ndarray of bool, shape (N, T)
        Steps that count.
    blocks : tuple of NoiseBlock
        Of Q and R.
    lags : int

    Returns
    -------
    C, pairs : ndarray, shape (lags + 1, m, m)
    columns : ndarray, shape (entries, lags + 1, m, m)
    constant : ndarray, shape (lags + 1, m, m)
    """
    found = linear.filter(model, z, u, store="all", on_error="nan")
    e = np.asarray(found.innovation, dtype=np.float64)
    seen = np.isfinite(z) & np.isfinite(e)
    counts = seen & inside[..., None]
    gains = _gains(model, found, seen)
    T = z.shape[1]
    used = np.where(counts, e, 0.0)
    total, pairs = np.zeros((lags + 1, *2 * z.shape[2:])), np.zeros((lags + 1, *2 * z.shape[2:]))
    for j in range(min(lags, T - 1) + 1):
        total[j] = np.einsum("nki,nkj->ij", used[:, j:], used[:, : T - j])
        pairs[j] = np.einsum("nki,nkj->ij", counts[:, j:].astype(float), counts[:, : T - j].astype(float))
    if pairs[0].diagonal().min() < 2 * z.shape[2] or pairs[-1].max() == 0:
        raise KelmanError(f"z: too short, or with too many gaps, for {lags} lags of its autocovariances")
    expected = _expected(model, gains, counts, blocks, lags) / np.maximum(pairs, 1.0)
    return total / np.maximum(pairs, 1.0), pairs, expected[:-1], expected[-1]


def _gains(model: StateSpace, found: linear.FilterResult, seen: Array) -> Array:
    """Predictor gains (N, T, n, m), zero in the columns of what is missing."""
    P, F = (np.asarray(found._arrays[name], dtype=np.float64) for name in ("predicted_cov", "innovation_cov"))
    inverse = _inverse(np.where(np.isfinite(F), F, 0.0), seen)
    here = model.H * seen[..., None]
    gains: Array = model.A @ np.where(np.isfinite(P), P, 0.0) @ _turned(here) @ inverse
    return gains


def _expected(
    model: StateSpace, gains: Array, counts: Array, blocks: tuple[NoiseBlock, NoiseBlock], lags: int
) -> Array:
    """Sums of expected products for unit entries of Q, of R, and for what is fixed, (entries + 1, lags + 1, m, m)."""
    A, H = model.A.astype(np.float64), model.H.astype(np.float64)
    n, m = A.shape[0], H.shape[0]
    first, second = blocks
    none_Q, none_R = [np.zeros((n, n))] * second.size, [np.zeros((m, m))] * first.size
    Q = np.array([*first.basis, *none_Q, first.constant])[:, None]
    R = np.array([*none_R, *second.basis, second.constant])[:, None]
    steady = linear.steady_state(model)
    F = A - steady.K @ H
    start = np.array([stein(F, q + steady.K @ r @ steady.K.T) for q, r in zip(Q[:, 0], R[:, 0], strict=True)])
    N, T = counts.shape[:2]
    P = np.broadcast_to(start[:, None], (len(start), N, n, n))
    carried, total = np.zeros((lags, len(start), N, n, m)), np.zeros((len(start), lags + 1, m, m))
    past = np.zeros((lags, N, m), dtype=bool)
    for k in range(T):
        K, now = gains[:, k], counts[:, k]
        F = A - K @ H
        if now.any():
            both = (now[:, :, None] & now[:, None, :]).astype(float)
            total[:, 0] += ((H @ P @ H.T + R) * both).sum(axis=1)
            both = (now[None, :, :, None] & past[:, :, None, :]).astype(float)
            total[:, 1:] += ((H @ carried) * both[:, None]).sum(axis=2).swapaxes(0, 1)
        carried[1:] = F @ carried[:-1]
        carried[0] = F @ P @ H.T - K @ R
        past[1:], past[0] = past[:-1].copy(), now
        P = F @ P @ _turned(F) + Q + K @ R @ _turned(K)
    return total
