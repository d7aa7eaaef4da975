# SPDX-License-Identifier: BSD-3-Clause
"""Q or R as a function of a few free numbers: full by Cholesky factor, diagonal, one scale, or fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import one_of
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array

WORDS = ("full", "diagonal", "scale", "fixed")
_WIDEST = 23.0
"""Logarithms of standard deviations stay within so much of those at the start (a factor of 1e10)."""

_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class NoiseBlock:
    """One covariance and what is free of it; components without variance at the start keep none.

    Attributes
    ----------
    name : str
        "Q" or "R".
    word : str
        One of `WORDS`.
    base : ndarray, shape (n, n)
        The covariance at the start.
    """

    name: str
    word: str
    base: Array

    @property
    def rows(self) -> Array:
        """Components that have a variance."""
        return np.flatnonzero(np.diagonal(self.base) > 0)

    @property
    def units(self) -> Array:
        """Standard deviations at the start, of the components that have one."""
        units: Array = np.sqrt(np.diagonal(self.base)[self.rows])
        return units

    @property
    def places(self) -> list[tuple[int, int]]:
        """Which entries are free, lower triangle; of "scale" none in particular."""
        rows = self.rows.tolist()
        if self.word == "diagonal":
            return [(i, i) for i in rows]
        if self.word == "full":
            return [(i, j) for a, i in enumerate(rows) for j in rows[: a + 1]]
        return []

    @property
    def size(self) -> int:
        """Number of free parameters."""
        return {"fixed": 0, "scale": 1}.get(self.word, len(self.places))

    @property
    def names(self) -> list[str]:
        """What the free entries are called."""
        if self.word == "scale":
            return [f"scale of {self.name}"]
        return [f"{self.name}[{i},{j}]" for i, j in self.places]

    @property
    def basis(self) -> Array:
        """Symmetric matrices that the covariance is a sum of, in units of the start, (size, n, n)."""
        if self.word == "scale":
            return self.base[None]
        size = np.sqrt(np.diagonal(self.base))
        out = np.zeros((self.size, *self.base.shape))
        for one, (i, j) in zip(out, self.places, strict=True):
            one[i, j] = one[j, i] = size[i] * size[j]
        return out

    @property
    def coordinate_units(self) -> Array:
        """What one unit of each basis matrix is in the entry it is named after."""
        if self.word == "scale":
            return np.ones(1)
        return np.array([np.sqrt(self.base[i, i] * self.base[j, j]) for i, j in self.places])

    @property
    def constant(self) -> Array:
        """The part that is not free."""
        return self.base if self.word == "fixed" else np.zeros_like(self.base)

    def start(self, factor: float = 1.0, value: Array | None = None) -> Array:
        """Parameters of `value` (the base when left out), times a factor."""
        value = self.base if value is None else value
        move = 0.5 * float(np.log(factor))
        if self.word == "fixed":
            return np.zeros(0)
        if self.word == "scale":
            return np.array([move + 0.5 * float(np.log(np.trace(value) / np.trace(self.base)))])
        rows, units = self.rows, self.units
        unit = value[np.ix_(rows, rows)] / np.outer(units, units)
        if self.word == "diagonal":
            log: Array = 0.5 * np.log(np.maximum(np.diagonal(unit), 1e-12)) + move
            return log
        least = float(np.linalg.eigvalsh(unit)[0])
        L = np.linalg.cholesky(unit + max(0.0, _RIDGE - least) * np.eye(len(rows)))
        L *= np.exp(move)
        diagonal = np.arange(len(rows))
        L[diagonal, diagonal] = np.log(L[diagonal, diagonal])
        flat: Array = L[np.tril_indices(len(rows))]
        return flat

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Bounds of the parameters: of logarithms only."""
        if self.word != "full":
            return [(-_WIDEST, _WIDEST)] * self.size
        return [(-_WIDEST, _WIDEST) if i == j else (None, None) for i, j in self.places]

    def matrix(self, theta: Array) -> Array:
        """The covariance at parameters."""
        if self.word == "fixed":
            return self.base
        if self.word == "scale":
            scaled: Array = self.base * np.exp(2 * theta[0])
            return scaled
        out, rows = np.zeros_like(self.base), self.rows
        root = self.units[:, None] * self._factor(theta)
        out[np.ix_(rows, rows)] = root @ root.T
        return out

    def _factor(self, theta: Array) -> Array:
        k = len(self.rows)
        if self.word == "diagonal":
            return np.diag(np.exp(theta))
        L, diagonal = np.zeros((k, k)), np.arange(k)
        L[np.tril_indices(k)] = theta
        L[diagonal, diagonal] = np.exp(L[diagonal, diagonal])
        return L

    def gradient(self, theta: Array, by_matrix: Array) -> Array:
        """Derivative by the parameters of what has the symmetric derivative `by_matrix` by the covariance."""
        if self.word == "fixed":
            return np.zeros(0)
        if self.word == "scale":
            return np.array([2 * float((by_matrix * self.matrix(theta)).sum())])
        units, rows = self.units, self.rows
        L = self._factor(theta)
        by_factor = 2 * (np.outer(units, units) * by_matrix[np.ix_(rows, rows)]) @ L
        if self.word == "diagonal":
            logs: Array = np.diagonal(by_factor) * np.diagonal(L)
            return logs
        diagonal = np.arange(len(rows))
        by_factor[diagonal, diagonal] *= np.diagonal(L)
        flat: Array = by_factor[np.tril_indices(len(rows))]
        return flat


def block(name: str, word: Any, base: Array) -> NoiseBlock:
    """Check what was asked for one covariance."""
    one_of(word, name, WORDS)
    if base.ndim != 2:
        raise KelmanError(
            f"{name}: varies in time or by series in this model; tune finds one that is the same throughout"
        )
    base = base.astype(np.float64)
    if word != "fixed" and not np.trace(base) > 0:
        raise KelmanError(
            f"{name}: is zero in this model; give a first guess by model.replace({name}=...), or {name}='fixed'"
        )
    return NoiseBlock(name, word, base)
