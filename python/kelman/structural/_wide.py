# SPDX-License-Identifier: BSD-3-Clause
"""The same component for several measured values at once, its noises correlated between them (SUTSE models)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.models._transforms import Cholesky
from kelman.structural._component import POSITIVE, Component, Slot, Target, VarianceComponent

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record


@dataclass(frozen=True, eq=False, kw_only=True)
class WideComponent(Component):
    """One `VarianceComponent` for each of `width` values: each variance becomes a covariance of the values, or one for each.

    State i of the narrow component, of value j, is state ``i * width + j``.
    """

    narrow: VarianceComponent
    width: int
    diagonal: bool

    @property
    def affine(self) -> bool:
        """Covariances are the entries themselves."""
        return True

    @property
    def noisy(self) -> bool:
        """Whether this is the measurement's noise."""
        return self.narrow.noisy

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        places = range(self.width)
        return [(i, i) for i in places] if self.diagonal else [(i, j) for i in places for j in range(i + 1)]

    def _names(self, slot: Slot) -> list[str]:
        if self.diagonal:
            return [f"{i}.{slot.name}" for i, _ in self._pairs]
        return [f"{slot.name.removesuffix('variance')}cov[{i},{j}]" for i, j in self._pairs]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Lower triangles of the free covariances, row by row, or their diagonals."""
        return tuple(name for slot in self.narrow.free for name in self._names(slot))

    @property
    def variances(self) -> tuple[bool, ...]:
        """All of them grow with the square of the unit."""
        return (True,) * len(self.parameters)

    @property
    def groups(self) -> list[list[int]]:
        """Each covariance as a whole."""
        count = len(self._pairs)
        return [list(range(k * count, (k + 1) * count)) for k in range(len(self.narrow.free))]

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Cholesky factors, or logarithms."""
        one: tuple[Transform, ...] = (POSITIVE,) * self.width if self.diagonal else (Cholesky(self.width),)
        return one * len(self.narrow.free)

    def _filled(self) -> list[tuple[Target, int]]:
        """Places, and the parameter that each holds."""
        found: list[tuple[Target, int]] = []
        count = len(self._pairs)
        number = {pair: k for k, pair in enumerate(self._pairs)}
        for k, slot in enumerate(self.narrow.free):
            for name, (row, column) in slot.targets:
                for i in range(self.width):
                    for j in range(self.width):
                        pair = (max(i, j), min(i, j))
                        if pair in number:
                            place = (row * self.width + i, column * self.width + j)
                            found.append(((name, place), k * count + number[pair]))
        return found

    @property
    def targets(self) -> tuple[Target, ...]:
        """Blocks of Q or R."""
        return tuple(target for target, _ in self._filled())

    @property
    def pattern(self) -> Array:
        """Each parameter at its own places."""
        which = np.array([k for _, k in self._filled()], dtype=np.intp)
        return np.asarray(which[:, None] == np.arange(len(self.parameters)))

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return each number at its places."""
        one = self.pattern.astype(np.float64)
        return theta @ one.T, np.broadcast_to(one, (len(theta), *one.shape))

    def start(self, record: Record) -> Array:
        """Return each value's share of its own variance, uncorrelated."""
        size = np.array([record.scales[i] if i == j else 0.0 for i, j in self._pairs])
        return np.concatenate([np.zeros(0), *(slot.share * size for slot in self.narrow.free)])


def widen(narrow: Component, m: int, covariance: str = "full") -> Component:
    """Return a component for m values; itself for one."""
    if m == 1:
        return narrow
    assert isinstance(narrow, VarianceComponent)
    return WideComponent(
        kind=narrow.kind,
        name=narrow.name,
        base={name: _beside(array, m) for name, array in narrow.base.items()},
        roots=narrow.roots,
        signals=tuple(signal._replace(rows=_beside(signal.rows, m)) for signal in narrow.signals),
        narrow=narrow,
        width=m,
        diagonal=covariance == "diagonal",
    )


def _beside(array: Array, m: int) -> Array:
    """The Kronecker product of the last two axes with the identity."""
    wide = array[..., :, None, :, None] * np.eye(m)[:, None, :]
    rows, columns = array.shape[-2:]
    return np.asarray(wide.reshape(*array.shape[:-2], rows * m, columns * m))
