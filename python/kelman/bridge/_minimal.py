# SPDX-License-Identifier: BSD-3-Clause
"""Minimal realisation by orthogonal projections: what is not reached or not seen is cut off, the rest is kept to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray

__all__: list[str] = []


def minimal(
    F: FloatArray, B: FloatArray, H: FloatArray, tol: float = 1e-10
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Reachable and observable part of (F, B, H); ``tol`` is relative to the size of F and of B or H."""
    V = _reachable(F, B, tol)
    F, B, H = V.T @ F @ V, V.T @ B, H @ V
    W = _reachable(F.T, H.T, tol)
    return W.T @ F @ W, W.T @ B, H @ W


def _reachable(F: FloatArray, B: FloatArray, tol: float) -> FloatArray:
    """Orthonormal basis of the smallest invariant subspace of F that holds the columns of B."""
    n = len(F)
    basis = np.zeros((n, 0))
    fresh, size = B, float(np.linalg.norm(B, 2)) if B.size else 0.0
    scale = max(float(np.linalg.norm(F, 2)) if n else 0.0, 1e-300)
    while size > 0 and basis.shape[1] < n:
        for _ in range(2):  # twice is enough (Kahan)
            fresh = fresh - basis @ (basis.T @ fresh)
        U, s, _ = np.linalg.svd(fresh, full_matrices=False)
        new = U[:, s > tol * size]
        if not new.shape[1]:
            break
        basis = np.linalg.qr(np.hstack([basis, new]))[0]
        fresh, size = F @ basis[:, basis.shape[1] - new.shape[1] :], scale
    return _polished(F, B, basis)


def _polished(F: FloatArray, B: FloatArray, V: FloatArray) -> FloatArray:
    """The invariant subspace that V nearly spans, to rounding: X with F21 + F22 X - X F11 = 0 corrects V by V_perp X.

    Each step of the search divides the rounding errors by the smallest direction that it accepted; this takes them back.
    A correction that lets go of B or of the invariance is not made.
    """
    from scipy.linalg import solve_sylvester

    n, r = V.shape
    if r in (0, n):
        return V
    full = np.linalg.qr(V, mode="complete")[0]
    size_F, size_B = (max(float(np.linalg.norm(M)), 1e-300) for M in (F, B))
    best, least = V, np.inf
    for _ in range(3):
        V, rest = full[:, :r], full[:, r:]
        leak = rest.T @ F @ V
        missed = max(float(np.linalg.norm(leak)) / size_F, float(np.linalg.norm(rest.T @ B)) / size_B)
        if missed >= least:
            break
        best, least = V, missed
        X = solve_sylvester(rest.T @ F @ rest, -V.T @ F @ V, -leak)
        if not np.isfinite(X).all():
            break
        full = np.linalg.qr(np.hstack([V + rest @ X, rest]))[0]
    return best
