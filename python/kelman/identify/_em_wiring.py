# SPDX-License-Identifier: BSD-3-Clause
"""A template as arrays: from many parameter vectors to models, and from gradients by entry back to parameters.

F fits go side by side: F = 1 model that all series share, or one for each series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import FLOAT64
from kelman.errors import KelmanError
from kelman.models import StateSpace
from kelman.models._maps import AffineMap
from kelman.models._meaning import START, SYSTEM

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import Template


_MOST_LAYERS = 4


@dataclass(frozen=True, eq=False)
class Field:
    """An array of the model that parameters enter: flat entry `rows` hold `slopes` times parameter `cols`, added up.

    `layers` are selections of these terms in which no entry and no parameter comes twice; where there would be many,
    `matrix` (entries, parameters) does all at once, of the entries and parameters in `touched`. `copied` tells the
    parameter of each entry where every entry is a parameter as it stands.
    """

    name: str
    constant: Array
    rows: Array
    cols: Array
    slopes: Array
    layers: tuple[Array, ...]
    matrix: Array | None
    touched: tuple[Array, Array]
    copied: Array | None

    @property
    def inner(self) -> int:
        """Number of axes without those of time and series."""
        return len((SYSTEM | START)[self.name])

    @property
    def plain(self) -> bool:
        """Whether it is constant in time and the same for all series."""
        return self.constant.ndim == self.inner

    def add_entries(self, flat: Array, theta: Array) -> None:
        """Add what the parameters (F, K) make to the entries (F, E)."""
        if self.matrix is not None:
            flat[:, self.touched[0]] += theta[:, self.touched[1]] @ self.matrix.T
            return
        for part in self.layers:
            flat[:, self.rows[part]] += self.slopes[part] * theta[:, self.cols[part]]

    def add_parameters(self, total: Array, by_entry: Array) -> None:
        """Add the derivative by entries (F, E) to that by parameters (F, K)."""
        if self.matrix is not None:
            total[:, self.touched[1]] += by_entry[:, self.touched[0]] @ self.matrix
            return
        for part in self.layers:
            total[:, self.cols[part]] += self.slopes[part] * by_entry[:, self.rows[part]]


def _field(name: str, constant: Array, rows: Array, cols: Array, slopes: Array) -> Field:
    layers: list[Array] = []
    left = list(zip(range(len(rows)), rows.tolist(), cols.tolist(), strict=True))
    while left and len(layers) <= _MOST_LAYERS:
        used_rows: set[int] = set()
        used_cols: set[int] = set()
        taken, rest = [], []
        for term in left:
            k, row, col = term
            if row in used_rows or col in used_cols:
                rest.append(term)
                continue
            used_rows.add(row)
            used_cols.add(col)
            taken.append(k)
        layers.append(np.array(taken))
        left = rest
    touched = np.unique(rows), np.unique(cols)
    matrix = None
    if left:
        matrix = np.zeros((len(touched[0]), len(touched[1])))
        np.add.at(matrix, (np.searchsorted(touched[0], rows), np.searchsorted(touched[1], cols)), slopes)
    copied = None
    if len(rows) == len(touched[0]) == constant.size and (slopes == 1).all() and not constant.any():
        copied = np.empty(constant.size, dtype=np.intp)
        copied[rows] = cols
    return Field(name, constant, rows, cols, slopes, tuple(layers), matrix, touched, copied)


class Wiring:
    """The affine map of a template, by array.

    Parameters
    ----------
    template : Template
        Whose entries are affine in its parameters.
    """

    def __init__(self, template: Template) -> None:
        entry_map = template._map
        if not isinstance(entry_map, AffineMap):
            raise KelmanError(
                "method: EM needs a template whose entries are affine in its parameters, and this one has a nonlinear map; "
                "use method='mle'"
            )
        self.template = template
        self.size = template.size
        self.fields: dict[str, Field] = {}
        self._latest: tuple[Array | None, dict[str, Array]] = (None, {})
        self._arrays: dict[str, Array | None] = {}
        """Those of the latest model, where its start follows them."""
        for place in template._places:
            base = template._base[place.field]
            assert base is not None
            flat = np.ravel_multi_index(tuple(np.asarray(axis) for axis in place.index), base.shape)
            inside = (entry_map.rows >= place.entries.start) & (entry_map.rows < place.entries.stop)
            constant = base.copy()
            constant.flat[flat] = entry_map.constant[place.entries]
            rows = np.asarray(flat)[entry_map.rows[inside] - place.entries.start]
            cols, slopes = entry_map.cols[inside], entry_map.coefficients[inside]
            if len(rows):
                self.fields[place.field] = _field(place.field, constant, rows, cols, slopes)

    def array(self, name: str, theta: Array) -> Array:
        """Return an array of the model at theta (F, K): (F, ...) if parameters enter it, else as the template has it."""
        field = self.fields.get(name)
        if field is None:
            base = self.template._base[name]
            assert base is not None
            return base
        if field.copied is not None:
            return np.asarray(theta.take(field.copied, axis=1).reshape(len(theta), *field.constant.shape))
        flat = np.repeat(field.constant.reshape(1, -1), len(theta), axis=0)
        field.add_entries(flat, theta)
        return flat.reshape(len(theta), *field.constant.shape)

    def model(self, theta: Array, shared: bool) -> StateSpace:
        """Return the model at theta (F, K), or (1, K) if one model serves all series."""
        arrays: dict[str, Array | None] = dict(self.template._base)
        made = {name: self.array(name, theta) for name in self.fields}
        self._latest = (theta, made)
        for name, field in self.fields.items():
            array = made[name]
            if shared:
                array = array[0]
            elif field.plain and name in SYSTEM:
                array = array[:, None]
            array.flags.writeable = False
            arrays[name] = array
        following = self.template._following
        if following is not None:
            arrays.update(following.start(arrays))
            self._arrays = arrays
        lag: Any = self.template._input_lag
        initial: Any = self.template._initial
        return StateSpace._trusted(arrays, FLOAT64, initial, lag)

    def known(self, name: str, theta: Array) -> Array:
        """Return `array`, kept from the latest model if that was made at the same theta, which must not have changed."""
        latest, made = self._latest
        return made[name] if latest is theta and name in made else self.array(name, theta)

    def by_entry(self, gradient: Any, count: int) -> dict[str, Array]:
        """Return the derivatives by the arrays that parameters enter, each (F, entries), of the latest model."""
        by = {name: np.asarray(gradient[name], dtype=np.float64) for name in self.fields}
        if self.template._following is not None:
            self.template._following.add(self._arrays, gradient, by)
        return {name: array.reshape(count, -1) for name, array in by.items()}

    def by_parameter(self, by_entry: dict[str, Array], count: int) -> Array:
        """Return the derivative by the parameters (F, K)."""
        total: Array = np.zeros((count, self.size))
        for name, field in self.fields.items():
            field.add_parameters(total, by_entry[name])
        return total
