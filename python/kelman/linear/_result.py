# SPDX-License-Identifier: BSD-3-Clause
"""What all results share: arrays kept by name with a series axis, cut to what the user gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_count, collapsed
from ..errors import KelmanError, NotKeptError

if TYPE_CHECKING:
    from .._types import Array


class Kept:
    """Base of the results: read arrays by name, one series by index, and survive pickling without growing.

    A subclass is a frozen dataclass with the fields `_arrays` (each with a leading series axis), `_batched` and `lengths`.
    """

    _arrays: dict[str, Array]
    _batched: bool
    lengths: Array | None

    _timed: frozenset[str] = frozenset()
    """Names of the arrays whose second axis is time (cut to the series' length by indexing)."""

    def _get(self, name: str) -> Any:
        array = self._arrays.get(name)
        if array is None:
            raise NotKeptError(self._why_missing(name))
        return array if self._batched else array[0]

    def _why_missing(self, name: str) -> str:
        return f"{name}: not in this {type(self).__name__}"

    def _count(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __len__(self) -> int:
        """Number of series."""
        if not self._batched:
            raise KelmanError(f"{type(self).__name__}: holds one series without a series axis, so it has no len()")
        return self._count()

    def _cut(self, i: Any) -> dict[str, Array]:
        """The arrays of one series, without the padding behind it."""
        if not self._batched:
            raise KelmanError(f"{type(self).__name__}: holds one series without a series axis, so it cannot be indexed")
        count = self._count()
        where = as_count(i + count if isinstance(i, (int, np.integer)) and i < 0 else i, "index", least=0)
        if where >= count:
            raise IndexError(f"series {i} of {count} (counted from 0)")
        stop = None if self.lengths is None else int(self.lengths[where])
        return {
            name: array[where : where + 1, :stop] if name in self._timed else array[where : where + 1]
            for name, array in self._arrays.items()
        }

    def plot(self, **options: Any) -> Any:
        """Draw the result with matplotlib (extra ``app``); options go to the function of `kelman.plotting`."""
        return _registry.plot(self, **options)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_arrays"] = {name: (collapsed(array), array.shape) for name, array in self._arrays.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {
            name: array if array.shape == shape else np.broadcast_to(array, shape)
            for name, (array, shape) in state["_arrays"].items()
        }
        for name, value in (state | {"_arrays": arrays}).items():
            object.__setattr__(self, name, value)


def pad_with_nan(arrays: dict[str, Array], timed: frozenset[str], lengths: Array | None) -> dict[str, Array]:
    """Return the arrays with NaN behind the end of each ragged series."""
    if lengths is None:
        return arrays
    padded = dict(arrays)
    for name in timed & arrays.keys():
        array = arrays[name] if arrays[name].flags.writeable else np.array(arrays[name])
        for i, length in enumerate(lengths):
            array[i, length:] = np.nan
        padded[name] = array
    return padded


def spread(values: Array) -> str:
    """Say where a set of numbers lies."""
    values = np.asarray(values).ravel()
    if values.size == 1:
        return f"{values[0]:.6g}"
    return f"{values.min():.6g} to {values.max():.6g} (median {np.median(values):.6g})"
