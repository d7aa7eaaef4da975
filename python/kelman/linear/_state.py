# SPDX-License-Identifier: BSD-3-Clause
"""Where a filter stopped: everything needed to go on from there."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError

if TYPE_CHECKING:
    from .._types import Array
    from ..models import StateSpace


@dataclass(frozen=True, eq=False, repr=False)
class FilterState:
    """The end of a filter pass, for ``start=``: opaque, picklable.

    Holds for each series the moments of the last state given the data, the part of it that is still diffuse, and the
    moments of the noise that already acts on the next state (with S, part of that noise has been observed).

    Attributes
    ----------
    N : int or None
        Number of series; None for a single series without a series axis.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> first = kelman.filter(model, [1.0, 2.0])
    >>> rest = kelman.filter(model, [3.0, 4.0], start=first.state)
    >>> whole = kelman.filter(model, [1.0, 2.0, 3.0, 4.0])
    >>> bool(rest.mean[-1] == whole.mean[-1])
    True
    """

    _mean: Array
    _cov: Array
    _inf: Array
    _rank: Array
    _noise_mean: Array
    _noise_cov: Array
    _noise_cross: Array
    _last_u: Array | None
    _input_lag: int
    _measured: int
    _batched: bool

    @property
    def N(self) -> int | None:
        """Number of series; None for a single series without a series axis."""
        return len(self._mean) if self._batched else None

    @property
    def is_diffuse(self) -> bool:
        """Whether the measurements so far leave a part of some state undetermined."""
        return bool(self._rank.any())

    def series(self, i: int) -> FilterState:
        """Return the state of series `i` alone."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {name: value[i : i + 1] for name, value in parts.items() if isinstance(value, np.ndarray)}
        return replace(self, **cut, _batched=False)

    def __repr__(self) -> str:
        count = "one series" if self.N is None else f"{self.N} series"
        rest = ", partly diffuse" if self.is_diffuse else ""
        return f"FilterState({count}, {self._mean.shape[-1]} states, {self._mean.dtype}{rest})"


def rows_of(state: FilterState, rows: Array) -> FilterState:
    """Return the state of some series, in the order of `rows`."""
    parts = {f.name: getattr(state, f.name) for f in fields(state)}
    cut: dict[str, Any] = {name: value[rows] for name, value in parts.items() if isinstance(value, np.ndarray)}
    return replace(state, **cut, _batched=True)


def joined(states: list[FilterState]) -> FilterState:
    """Return the states of several groups of series as one; their diffuse parts get zero columns where they differ."""
    if len(states) == 1:
        return states[0]
    columns = max(state._inf.shape[-1] for state in states)
    parts: dict[str, Any] = {}
    for f in fields(FilterState):
        arrays = [getattr(state, f.name) for state in states]
        if f.name == "_inf":
            arrays = [np.pad(array, ((0, 0), (0, 0), (0, columns - array.shape[-1]))) for array in arrays]
        if isinstance(arrays[0], np.ndarray):
            parts[f.name] = np.concatenate(arrays)
    return replace(states[0], **parts, _batched=True)


_MOMENTS = ("mean", "cov", "inf", "rank", "noise_mean", "noise_cov", "noise_cross")


def state_from_raw(raw: dict[str, Array], last_u: Array | None, model: StateSpace, batched: bool) -> FilterState:
    """Build the state from the arrays of a backend."""
    parts = {f"_{name}": raw[f"state_{name}"] for name in _MOMENTS}
    return FilterState(**parts, _last_u=last_u, _input_lag=model.input_lag, _measured=model.dims.m, _batched=batched)


def require_state(start: Any, model: StateSpace, N: int) -> FilterState:
    """Return `start` if it is a state that goes with this model and number of series."""
    if not isinstance(start, FilterState):
        hint = "; give its .state" if hasattr(start, "loglik") else ""
        raise KelmanError(f"start: expected the .state of a filter's result, got {type(start).__name__}{hint}")
    n = start._mean.shape[-1]
    if n != model.dims.n:
        raise KelmanError(f"start: is a state of {n} components, but the model has n = {model.dims.n}")
    if len(start._mean) != N:
        raise KelmanError(f"start: is the state of {len(start._mean)} series, but z holds {N}")
    if start._input_lag != model.input_lag:
        raise KelmanError(
            f"start: comes from a model with input_lag={start._input_lag}, but this model has input_lag={model.input_lag}"
        )
    last = start._last_u
    if model.input_lag == 1 and model.B is not None and (last is None or last.shape[-1] != model.dims.p):
        got = 0 if last is None else last.shape[-1]
        raise KelmanError(f"start: comes from a model with {got} inputs, but this model has p = {model.dims.p}")
    return start
