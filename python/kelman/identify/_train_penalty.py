# SPDX-License-Identifier: BSD-3-Clause
"""Penalties on the weights: squares, and a group lasso that takes whole units out.

The group of a unit is everything that goes into its state or comes out of it: its rows and its column of U, its rows of W,
its column of V. The norm of a group is smoothed, ``sqrt(|g|^2 + EPSILON^2)``, so that all methods see a smooth function;
Levenberg-Marquardt gets the quadratic that lies above it and touches it at the present weights.
References: Yuan and Lin, J. R. Stat. Soc. B 68 (2006) 49; Bemporad, IEEE Trans. Autom. Control 70 (2025) (states).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .._types import Array

EPSILON = 1e-3
"""Smoothing of a group's norm, in standardised units."""

GONE = 1e-2
"""A unit whose group's norm is below this part of the largest has been taken out."""

DECAYED = ("U", "W", "P", "A", "B", "D")
"""Arrays that one number for `l2` means: V is not among them, for a small gain in the units needs a large V."""


@dataclass(slots=True)
class Penalty:
    """Weights of the squares (P,), strength of the group lasso, and the one or two groups of every entry (-1: none)."""

    squares: Array
    lasso: float
    first: Array
    second: Array
    units: int

    @classmethod
    def on(cls, weights: dict[str, Array], units: int, l2: dict[str, float], lasso: float) -> Penalty:
        """The penalty on these weights."""
        squares = np.concatenate([np.full(value.size, l2.get(name, 0.0)) for name, value in weights.items()])
        pairs = [_groups(name, value, units) for name, value in weights.items()]
        first, second = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        return cls(squares, lasso, first, second, units)

    def norms(self, theta: Array) -> Array:
        """Norm of every unit's group (h,)."""
        squares: Array = theta**2
        total = np.zeros(self.units)
        for groups in (self.first, self.second):
            inside = groups >= 0
            total += np.bincount(groups[inside], squares[inside], minlength=self.units)
        return np.sqrt(total)

    def surviving(self, theta: Array) -> Array:
        """True for the units that the lasso has left (h,)."""
        norms = self.norms(theta)
        left: Array = norms > max(GONE * float(norms.max()), 3 * EPSILON)
        return left

    def _curvature(self, theta: Array) -> tuple[float, Array]:
        """Penalty, and half the second derivative of the quadratic above it: gradient = 2 curvature theta."""
        value, curvature = float(self.squares @ theta**2), self.squares.copy()
        if self.lasso > 0:
            smooth = np.sqrt(self.norms(theta) ** 2 + EPSILON**2)
            value += self.lasso * float(smooth.sum() - self.units * EPSILON)
            for groups in (self.first, self.second):
                inside = groups >= 0
                curvature[inside] += 0.5 * self.lasso / smooth[groups[inside]]
        return value, curvature

    def add(self, theta: Array, loss: float, gradient: Array) -> tuple[float, Array]:
        """Loss and gradient with the penalty's part."""
        value, curvature = self._curvature(theta)
        return loss + value, gradient + 2 * curvature * theta

    def add_normal(self, theta: Array, loss: float, JtJ: Array, Jtr: Array) -> tuple[float, Array, Array]:
        """Normal equations with the penalty's part."""
        value, curvature = self._curvature(theta)
        return loss + value, JtJ + np.diag(curvature), Jtr + curvature * theta


def _groups(name: str, value: Array, units: int) -> tuple[Array, Array]:
    """Units that the entries of an array belong to: by row, and by column where that is another unit."""
    none = np.full(value.size, -1)
    if name in ("U", "A"):
        row, column = (axis.ravel() for axis in np.indices(value.shape))
        row = row % units
        return row, np.where(column == row, -1, column)
    if name in ("W", "B"):
        return np.repeat(np.arange(len(value)) % units, value.shape[1]), none
    if name == "V":
        return np.tile(np.arange(units), len(value)), none
    return none, none
