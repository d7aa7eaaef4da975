# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of state-space models, rearranged: several models as one, one series or some steps of one, shifted in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError
from ._meaning import START, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Array, Dtype
    from ._state_space import StateSpace

Fields = dict[str, "Array | None"]


def stacked(models: Sequence[StateSpace], dtype: Dtype) -> Fields:
    """Return the arrays of all models side by side, zeros where some have none."""
    for i, model in enumerate(models):
        _require_like(models[0], model, i)
    first = models[0].dims
    lengths = {"n": first.n, "m": first.m, "p": max(model.dims.p for model in models)}
    fields: Fields = {}
    for name, letters in (SYSTEM | START).items():
        arrays = [getattr(model, name) for model in models]
        if all(array is None for array in arrays):
            fields[name] = None
            continue
        blank = np.zeros([lengths[letter] for letter in letters], dtype=dtype)
        arrays = [blank if array is None else array for array in arrays]
        if name in SYSTEM:
            arrays = [array if array.ndim > len(letters) else array[None] for array in arrays]
            steps = max(array.shape[0] for array in arrays)
            arrays = [np.broadcast_to(array, (steps, *array.shape[1:])) for array in arrays]
        fields[name] = np.stack(arrays)
    return fields


def of_series(fields: Fields, i: int) -> Fields:
    """Return the arrays of series `i` without a series axis."""
    cut: Fields = {}
    for name, letters in (SYSTEM | START).items():
        array = fields[name]
        if array is not None and array.ndim == len(letters) + 1 + (name in SYSTEM):
            array = array[i if array.shape[0] > 1 else 0]
            if name in SYSTEM and array.shape[0] == 1:
                array = array[0]
        cut[name] = array
    return cut


def of_rows(fields: Fields, rows: Array) -> Fields:
    """Return the arrays of some series, in the order of `rows`."""
    cut: Fields = {}
    for name, letters in (SYSTEM | START).items():
        array = fields[name]
        by_series = array is not None and array.ndim == len(letters) + 1 + (name in SYSTEM) and array.shape[0] > 1
        cut[name] = array[rows] if array is not None and by_series else array
    return cut


def of_steps(fields: Fields, first: int, stop: int) -> Fields:
    """Return the arrays with their time axes cut."""
    cut = dict(fields)
    for name, letters in SYSTEM.items():
        array = fields[name]
        if array is not None and array.ndim > len(letters) and array.shape[-1 - len(letters)] > 1:
            index: tuple[Any, ...] = (..., slice(first, stop), *(slice(None),) * len(letters))
            cut[name] = array[index]
    return cut


def rolled(array: Array, inner: int) -> Array:
    """Return the array one step later along its time axis, if it has one; its last entry comes first."""
    varies = array.ndim > inner and array.shape[-1 - inner] > 1
    return np.roll(array, 1, axis=-1 - inner) if varies else array


def _require_like(first: StateSpace, other: StateSpace, i: int) -> None:
    if other.dims.N is not None:
        raise KelmanError(
            f"models[{i}]: has a series axis already (N = {other.dims.N}); stack takes models of one series"
        )
    for letter in ("n", "m", "p"):
        ours, theirs = getattr(first.dims, letter), getattr(other.dims, letter)
        if ours != theirs and not (letter == "p" and 0 in (ours, theirs)):
            raise KelmanError(f"models[{i}]: has {letter} = {theirs}, but models[0] has {letter} = {ours}")
    if None not in (first.dims.T, other.dims.T) and first.dims.T != other.dims.T:
        raise KelmanError(f"models[{i}]: varies over {other.dims.T} steps, but models[0] over {first.dims.T}")
    for name in ("initial", "input_lag"):
        if getattr(first, name) != getattr(other, name):
            raise KelmanError(
                f"models[{i}]: has {name} = {getattr(other, name)!r}, but models[0] has {getattr(first, name)!r}"
            )
