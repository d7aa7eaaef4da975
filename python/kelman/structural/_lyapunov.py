# SPDX-License-Identifier: BSD-3-Clause
r"""Stationary covariances with their derivatives.

P = A P A' + Q, so that dP = A dP A' + (dA P A' + A P dA' + dQ): one equation of the same kind for each parameter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.lti._lyapunov import stein, stein_stack

if TYPE_CHECKING:
    from kelman._types import Array


def stationary(A: Array, Q: Array, dA: Array, dQ: Array) -> tuple[Array, Array]:
    """Return P (n, n) and its derivatives (K, n, n) for a stable A and derivatives dA, dQ (K, n, n)."""
    P = stein(A, Q)
    P = (P + P.T) / 2
    half = dA @ (P @ A.T)
    right = half + np.swapaxes(half, 1, 2) + dQ
    if not len(right):
        return P, right
    left = np.broadcast_to(A, right.shape)
    dP = stein_stack(left, right, np.broadcast_to(A.T, right.shape))
    return P, (dP + np.swapaxes(dP, 1, 2)) / 2
