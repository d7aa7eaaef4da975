# SPDX-License-Identifier: BSD-3-Clause
r"""Stationary covariances with their derivatives.

P = A P A' + Q, so that dP = A dP A' + (dA P A' + A P dA' + dQ): one equation of the same kind for each parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._lyapunov import stein_stack

if TYPE_CHECKING:
    from kelman._types import Array


def stationary(A: Array, Q: Array, dA: Array, dQ: Array) -> tuple[Array, Array]:
    """Return P (L, n, n) and derivatives (L, K, n, n) for stable A (L, n, n) and derivatives dA, dQ (L, K, n, n)."""
    At = np.swapaxes(A, 1, 2)
    P = stein_stack(A, Q, At)
    P = (P + np.swapaxes(P, 1, 2)) / 2
    half = dA @ (P @ At)[:, None]
    right = half + np.swapaxes(half, 2, 3) + dQ
    L, K, n, _ = right.shape
    many = (L, K, n, n)
    flat = (L * K, n, n)
    left = np.broadcast_to(A[:, None], many).reshape(flat)
    dP = stein_stack(left, right.reshape(flat), np.swapaxes(left, 1, 2)).reshape(many) if K else right
    return P, (dP + np.swapaxes(dP, 2, 3)) / 2
