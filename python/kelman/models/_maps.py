# SPDX-License-Identifier: BSD-3-Clause
"""From natural parameters theta to the entries of a model that depend on them, with the Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array


class Entries(NamedTuple):
    """Values of E entries and their derivatives by K parameters, where those are not zero.

    values : (..., E). rows, cols : (J,) which entry, which parameter. slopes : (..., J) d values[rows] / d theta[cols].
    """

    values: Array
    rows: Array
    cols: Array
    slopes: Array


class EntryMap(Protocol):
    """Computes the entries of theta; works on the last axis of theta and keeps the ones before it."""

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta (..., K)."""
        ...


@dataclass(frozen=True, eq=False)
class AffineMap:
    """values = constant + coefficients at (rows, cols) times theta.

    Attributes
    ----------
    constant : ndarray, shape (E,)
    rows, cols, coefficients : ndarray, shape (J,)
        ``values[rows] += coefficients * theta[cols]``.
    """

    constant: Array
    rows: Array
    cols: Array
    coefficients: Array

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta."""
        values = np.broadcast_to(self.constant, (*theta.shape[:-1], len(self.constant))).copy()
        scatter(values, self.rows, self.coefficients * theta[..., self.cols])
        slopes = np.broadcast_to(self.coefficients, (*theta.shape[:-1], len(self.rows)))
        return Entries(values, self.rows, self.cols, slopes)


@dataclass(frozen=True, eq=False)
class FunctionMap:
    """Entries by a user's function, one parameter vector at a time; the Jacobian is the user's or by central differences."""

    function: Callable[[Array], Array]
    jacobian: Callable[[Array], Array] | None
    size: int

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta."""
        flat = theta.reshape(-1, self.size)
        values = np.array([self.function(one) for one in flat])
        slopes = np.array([self._slopes(one) for one in flat])
        count = values.shape[-1]
        rows, cols = np.divmod(np.arange(count * self.size), self.size)
        lead = theta.shape[:-1]
        return Entries(values.reshape(*lead, count), rows, cols, slopes.reshape(*lead, count * self.size))

    def _slopes(self, theta: Array) -> Array:
        if self.jacobian is not None:
            return np.asarray(self.jacobian(theta), dtype=np.float64).ravel()
        columns = []
        for k in range(self.size):
            # Five points: the error is the fourth power of the step, and rounding 1e-16 over it.
            step = 1e-3 * max(abs(theta[k]), 1e-3)
            points = []
            for shift in (-2, -1, 1, 2):
                moved = theta.copy()
                moved[k] += shift * step
                points.append(self.function(moved))
            columns.append((points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * step))
        return np.asarray(np.stack(columns, axis=-1).ravel())


def scatter(target: Array, index: Array, values: Array) -> None:
    """Do ``target[..., index] += values``, repeated indices adding up."""
    if target.ndim == 1:
        target += np.bincount(index, weights=values, minlength=len(target))
        return
    for place, number in enumerate(index):
        target[..., number] += values[..., place]
