# SPDX-License-Identifier: BSD-3-Clause
"""From gain and innovation covariance back to Q and R, where a structure makes them unique.

A predictor fixes (A, H, K, Sigma) and nothing else. Every P that solves, with S = 0,

    P = A P A' + Q - K Sigma K',     A P H' = K Sigma,     R = Sigma - H P H'

belongs to a model with the same predictor (Faurre; Mehra 1970). With Q = sum_i theta_i Q_i both equations are linear in (P, theta).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kelman.bridge._data import FloatArray, real_array
from kelman.errors import KelmanError

__all__: list[str] = []

_WHY = (
    "The predictor fixes only the gain K ({nm} numbers) and Sigma; Q and R are not unique: the whole family of solutions of "
    "P = A P A' + Q - K Sigma K', A P H' = K Sigma gives the same filter, the same likelihood and the same forecasts"
)


def structured_noise(
    A: FloatArray, H: FloatArray, K: FloatArray, Sigma: FloatArray, structure: Any
) -> tuple[FloatArray, FloatArray]:
    """Q and R with S = 0 and Q in the span of the structure; an error says why where they are not unique or do not exist."""
    n, m = K.shape
    basis = _basis(structure, n)
    rows, cols = np.triu_indices(n)
    units = np.zeros((len(rows), n, n))
    units[np.arange(len(rows)), rows, cols] = 1.0
    units[np.arange(len(rows)), cols, rows] = 1.0
    left = [np.concatenate([(P - A @ P @ A.T).ravel(), (A @ P @ H.T).ravel()]) for P in units]
    left += [np.concatenate([-Q.ravel(), np.zeros(n * m)]) for Q in basis]
    right = np.concatenate([-(K @ Sigma @ K.T).ravel(), (K @ Sigma).ravel()])
    system = np.array(left).T
    scale = np.linalg.norm(system, axis=0)
    scale[scale == 0] = 1.0
    _, values, Vt = np.linalg.svd(system / scale)
    rank = int(np.sum(values > 1e-10 * values[0]))
    free = Vt[rank:, len(units) :]
    if free.size and np.abs(free).max() > 1e-8:
        raise KelmanError(
            f"structure: {_describe(structure)} leaves {np.linalg.matrix_rank(free, tol=1e-8)} directions of Q open. "
            f"{_WHY.format(nm=n * m)}. Give fewer free entries (for example a list of matrices that span Q), "
            'or keep structure="innovation"'
        )
    solution = np.linalg.lstsq(system / scale, right, rcond=1e-10)[0]
    miss = float(np.linalg.norm(system / scale @ solution - right)) / max(float(np.linalg.norm(right)), 1e-300)
    if miss > 1e-6:
        raise KelmanError(
            f"structure: no Q of the form {_describe(structure)} with S = 0 has this gain (relative miss {miss:.1e}). "
            'A richer structure may; structure="innovation" always does'
        )
    solution = solution / scale
    Q = np.tensordot(solution[len(units) :], basis, axes=1)
    P = np.tensordot(solution[: len(units)], units, axes=1)
    R = Sigma - H @ P @ H.T
    R = (R + R.T) / 2
    for name, value in (("Q", Q), ("R", R)):
        lowest = float(np.linalg.eigvalsh(value)[0])
        if lowest < -1e-8 * max(1.0, float(np.abs(value).max())):
            raise KelmanError(
                f"structure: the only {name} of the form {_describe(structure)} with this gain is not a covariance "
                f'(eigenvalue {lowest:.3g}); structure="innovation" always exists'
            )
    return _clip(Q), _clip(R)


def _basis(structure: Any, n: int) -> FloatArray:
    """Matrices that span the admissible Q."""
    if isinstance(structure, str):
        if structure == "scalar":
            return np.eye(n)[None]
        if structure == "diagonal":
            return np.array([np.diag(row) for row in np.eye(n)])
        if structure == "full":
            rows, cols = np.triu_indices(n)
            out = np.zeros((len(rows), n, n))
            out[np.arange(len(rows)), rows, cols] = out[np.arange(len(rows)), cols, rows] = 1.0
            return out
        raise KelmanError(
            'structure: expected "innovation", "scalar", "diagonal", "full" or matrices of shape (q, n, n) that span Q, '
            f"got {structure!r}"
        )
    basis = real_array("structure", structure)
    if basis.ndim == 2:
        basis = basis[None]
    if basis.ndim != 3 or basis.shape[1:] != (n, n) or not len(basis):
        raise KelmanError(f"structure: expected matrices of shape (q, {n}, {n}) that span Q, got shape {basis.shape}")
    if not np.allclose(basis, np.swapaxes(basis, 1, 2), rtol=0, atol=1e-10 * max(1.0, float(np.abs(basis).max()))):
        raise KelmanError("structure: expected symmetric matrices")
    return basis


def _describe(structure: Any) -> str:
    return repr(structure) if isinstance(structure, str) else "the given span"


def _clip(cov: FloatArray) -> FloatArray:
    """Nearest positive semi-definite matrix (rounding only: the caller has refused real indefiniteness)."""
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    if values[0] >= 0:
        return (cov + cov.T) / 2
    clipped: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return (clipped + clipped.T) / 2
