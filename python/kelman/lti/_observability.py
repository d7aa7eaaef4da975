# SPDX-License-Identifier: BSD-3-Clause
"""Observability matrices, shared by those who compare bases of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kelman.lti._check import FloatArray


def observability_matrix(A: FloatArray, H: FloatArray, steps: int, damp: float = 1.0) -> FloatArray:
    """[H; H A / damp; H A^2 / damp^2; ...], (steps m, n)."""
    rows, row = [], np.asarray(H, dtype=np.float64)
    for _ in range(steps):
        rows.append(row)
        row = row @ A / damp
    stacked: FloatArray = np.vstack(rows)
    return stacked
