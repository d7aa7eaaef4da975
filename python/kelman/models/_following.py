# SPDX-License-Identifier: BSD-3-Clause
r"""A diffuse start that follows the model, so that the likelihood does not depend on the basis of the state.

The likelihood of a diffuse start with P1_inf = I changes with the units of the state, so where all of a model is free it has no
maximum. With :math:`P_{1,\infty} = (O'O)^{-1}`, O the observability matrix of n block rows, it is diffuse in units of what the
state adds to the next n measurements: a change of basis changes nothing. For one measured value it is the density of
:math:`z_{n+1}, z_{n+2}, \dots` given the first n; in general it is the marginal likelihood of M. K. Francke,
S. J. Koopman and A. F. de Vos, J. Time Ser. Anal. 31 (2010) 407, with O in place of the regressors of the whole series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._types import Array


class Following(Protocol):
    """Arrays of a start that follow from other arrays of the model."""

    def start(self, fields: Mapping[str, Array | None]) -> dict[str, Array]:
        """Return the arrays of the start."""
        ...

    def add(self, fields: Mapping[str, Array | None], gradient: Any, by: dict[str, Array]) -> None:
        """Add to `by`, the derivatives by other arrays, what they do through the start."""
        ...


class OutputDiffuse:
    """P1_inf = (O'O)^-1, from A and H: (n, n), or (N, n, n) where these are for N series."""

    def start(self, fields: Mapping[str, Array | None]) -> dict[str, Array]:
        """Return P1_inf."""
        A, H = _system(fields)
        P = _covariance(_rows(A, H))
        return {"P1_inf": P if _led(fields) else P[0]}

    def add(self, fields: Mapping[str, Array | None], gradient: Any, by: dict[str, Array]) -> None:
        """Add what A and H do through P1_inf."""
        A, H = _system(fields)
        rows = _rows(A, H)
        P = _covariance(rows)
        G = np.asarray(gradient._P1_inf, dtype=np.float64).reshape(-1, *A.shape[1:])
        n, m = A.shape[-1], H.shape[-2]
        by_O = -2 * (rows.reshape(len(rows), n * m, n) @ (P @ G @ P)).reshape(rows.shape)
        by_A, carried = np.zeros_like(by_O[:, 0], shape=A.shape), by_O[:, n - 1]
        for k in range(n - 2, -1, -1):
            by_A = by_A + np.swapaxes(rows[:, k], -1, -2) @ carried
            carried = by_O[:, k] + carried @ np.swapaxes(A, -1, -2)
        for name, value in (("A", by_A), ("H", carried)):
            if name in by:
                by[name] = by[name] + value.reshape(-1, *by[name].shape[1:]) if _led(fields) else by[name] + value[0]


def observed(A: Array, H: Array) -> Array:
    """Observability matrix of n block rows, (n m, n)."""
    rows: Array = _rows(A[None], H[None])[0].reshape(-1, A.shape[-1])
    return rows


def _system(fields: Mapping[str, Array | None]) -> tuple[Array, Array]:
    """A (N or 1, n, n) and H (N or 1, m, n)."""
    found = []
    for name in ("A", "H"):
        array = fields[name]
        assert array is not None
        found.append(array.reshape(-1, *array.shape[-2:]))
    A, H = found
    count = max(len(A), len(H))
    return np.broadcast_to(A, (count, *A.shape[1:])), np.broadcast_to(H, (count, *H.shape[1:]))


def _led(fields: Mapping[str, Array | None]) -> bool:
    """Whether A or H are for several series."""
    return any(array is not None and array.ndim > 2 for array in (fields["A"], fields["H"]))


def _rows(A: Array, H: Array) -> Array:
    """H, H A, H A^2, ..., (N, n, m, n)."""
    rows = [H]
    for _ in range(A.shape[-1] - 1):
        rows.append(rows[-1] @ A)
    return np.stack(rows, axis=1)


def _covariance(rows: Array) -> Array:
    """(O'O)^-1 by singular values, of which none counts as smaller than 1e-6 of the largest."""
    N, n, m, _ = rows.shape
    _, values, Vt = np.linalg.svd(rows.reshape(N, n * m, n), full_matrices=False)
    values = np.maximum(values, np.maximum(1e-6 * values[:, :1], 1e-150))
    half = np.swapaxes(Vt, -1, -2) / values[:, None, :]
    P: Array = half @ np.swapaxes(half, -1, -2)
    return (P + np.swapaxes(P, -1, -2)) / 2
