# SPDX-License-Identifier: BSD-3-Clause
"""Where the series of a `Stepper` stand, and how they take a step.

They are in the core's handle; or, where there is none, in a state (those that have taken a step) and in starts (those that
have not, always the last rows). What a handle cannot do, steps with matrices of their own and first steps of some series
only, is a filter of one step for each group, after which the handle is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import contiguous
from .._core.stepper import StepperBase, attach
from ..errors import KelmanError
from ._outcome import IMPOSSIBLE, settle
from ._problem import Problem, assemble, fields_of
from ._start import resolve_start, resume
from ._state import FilterState, joined, state_from_raw
from ._step_arguments import Fields, StepArguments

if TYPE_CHECKING:
    from .._types import Array, DiffuseConstant, OnError
    from ..models import StateSpace


@dataclass(frozen=True, slots=True)
class Fresh:
    """Series that have taken no step yet, and where they start: at a state, or as a model says."""

    count: int
    state: FilterState | None
    model: StateSpace | None


class Tracks(StepperBase):
    """Base of `Stepper`: its series and their steps."""

    _on_error: OnError
    _diffuse_constant: DiffuseConstant
    _threads: int
    _backend: str
    _ids: Array
    _next: int
    _failed: Array
    _loglik: Array
    _taken: int
    _running: FilterState | None
    _fresh: list[Fresh]

    def _prepare(self, model: StateSpace, batched: bool) -> None:
        """Set what follows from the model and the number of series; there is no handle yet."""
        self._kernels = _registry.backend("linear", self._backend)
        self._online: Any = getattr(self._kernels, "stepper", None)  # other backends filter one step at a time
        self._handle: Any = None
        self._seen: dict[str, Any] | None = None
        self._seen_at = -1
        self._arguments = StepArguments(model, len(self._ids), batched)
        self._constant = self._arguments.fields(0) if model.dims.T is None else None

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return self._taken + (0 if self._handle is None else int(self._handle.steps))

    @property
    def state(self) -> FilterState:
        """Where the stepper stands: ``start=`` for `filter`, or for another stepper."""
        if not self.steps:
            raise KelmanError("state: no step has been taken yet")
        if self._fresh:
            waiting = self._ids[len(self._ids) - sum(group.count for group in self._fresh) :]
            raise KelmanError(f"state: the series {some(waiting)} have been added and have taken no step yet")
        state = self._running if self._handle is None else self._stated(self._raw(), self._raw().get("last_u"))
        if state is None:
            raise KelmanError("state: there are no series")
        return state

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in _DERIVED}
        if self._handle is not None:
            kept |= {"_running": self.state, "_taken": self.steps, "_loglik": self._loglik + self._raw()["loglik"]}
        return kept | {"model": self._arguments.model, "batched": self._arguments.batched}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        model, batched = state.pop("model"), state.pop("batched")
        self.__dict__.update(state)
        self._prepare(model, batched)

    def _groups(self) -> list[Fresh]:
        """All series where there is no handle, in the order of their rows."""
        running = [] if self._running is None else [Fresh(len(self._running._mean), self._running, None)]
        return running + self._fresh

    def _open(self, u: Array | None) -> None:
        """Give the series to the core, if they are of one kind and the model is good for more than one step."""
        groups, model, taken = self._groups(), self._arguments.model, self._taken
        fields, steps = self._constant, 1
        if fields is None:
            self._arguments.fields(taken)  # raises if the model has no such step
            steps = (model.dims.T or 0) - taken
            if steps > 1:
                fields = fields_of(model.window(taken, taken + steps), self._arguments.N, steps, model.dtype)
        if len(groups) != 1 or fields is None:
            return
        z = np.broadcast_to(np.zeros((1, 1, model.dims.m), dtype=model.dtype), (self._arguments.N, steps, model.dims.m))
        inputs = None if u is None else np.broadcast_to(u[:, None], (self._arguments.N, steps, self._arguments.p))
        self._handle = self._online(self._pose(groups[0], z, inputs, fields))
        self._running, self._fresh = None, []
        attach(self, self._handle, self._arguments.batched)

    def _close(self) -> None:
        """Take the series back from the core."""
        if self._handle is None:
            return
        raw = self._raw()
        self._running = self._stated(raw, raw.get("last_u"))
        self._loglik = self._loglik + raw["loglik"]
        self._taken = self.steps
        self._handle = self._seen = None
        attach(self, None, False)

    def _raw(self) -> dict[str, Any]:
        """What the core says of its series, asked once per step."""
        if self._seen is None or self._seen_at != self._handle.steps:
            self._seen, self._seen_at = self._handle.state(), self._handle.steps
        return self._seen

    def _filtered(self, z: Array, u: Array | None, measured: Array | None, matrices: dict[str, Any]) -> Array:
        """Take a step by filtering a series of one step."""
        read = self._arguments
        fields = self._constant if self._constant is not None else read.fields(self.steps, matrices)
        if matrices:
            fields = read.with_given(fields, matrices)
        if measured is not None:
            z = np.where(measured[:, None], z, read.model.dtype.type(np.nan))
        self._close()
        raws, states, first = [], [], 0
        for group in self._groups():
            rows = slice(first, first + group.count)
            inputs = None if u is None else u[rows]
            own = {name: None if array is None else array[rows] for name, array in fields.items()}
            problem = self._pose(group, z[rows, None], None if inputs is None else inputs[:, None], own)
            raws.append(self._kernels.filter_raw(problem, "last", self._threads, None, "univariate"))
            states.append(self._stated(raws[-1], inputs))
            first += group.count
        mean = np.concatenate([np.empty((0, read.model.dims.n), read.model.dtype), *(raw["mean"] for raw in raws)])
        self._taken += 1
        self._fresh = []
        if states:
            self._running = joined(states)
            self._loglik = self._loglik + np.concatenate([raw["loglik"] for raw in raws])
            self._report(np.concatenate([raw["status"] for raw in raws]), 5)
        only: Array = mean if read.batched else mean[0]
        return only

    def _pose(self, group: Fresh, z: Array, u: Array | None, fields: Fields) -> Problem:
        model, dtype = self._arguments.model, self._arguments.model.dtype
        u_before = None
        if group.state is not None:
            start = resume(group.state, dtype)
            last = group.state._last_u
            u_before = None if last is None else contiguous(last, dtype)
        else:
            begin = model if group.model is None else group.model
            if begin.dims.T is not None and 0 < self._taken < begin.dims.T:
                begin = begin.window(self._taken, begin.dims.T)
            start = resolve_start(begin, group.count, dtype, fields, u)
        return assemble(z, None, fields, u, u_before, model.input_lag, start, self._diffuse_constant)

    def _stated(self, raw: dict[str, Any], last_u: Array | None) -> FilterState:
        model = self._arguments.model
        return state_from_raw(raw, last_u if model.input_lag == 1 else None, model, self._arguments.batched)

    def _shown(self, name: str) -> Array:
        read = self._arguments
        if not self.steps:
            raise KelmanError(f"{name}: no step has been taken yet")
        if self._handle is not None:
            array: Array = self._raw()[f"state_{name}"]
        else:
            inner = (read.model.dims.n,) * (1 if name == "mean" else 2)
            waiting = np.full((sum(group.count for group in self._fresh), *inner), np.nan, read.model.dtype)
            array = waiting if self._running is None else getattr(self._running, f"_{name}")
            array = np.concatenate([array, waiting]) if len(waiting) and self._running is not None else array
        return array if read.batched else np.asarray(array[0])

    def _look(self, stacklevel: int) -> None:
        """Ask the core what went wrong in the step just taken."""
        raw = self._raw()
        self._report(np.where(raw["failed_at"] == self._handle.steps - 1, raw["status"], 0), stacklevel + 1)

    def _report(self, status: Array, stacklevel: int) -> None:
        """Speak of the series that failed in the step just taken, by their ids."""
        status = np.where(self._failed, 0, status)
        self._failed = self._failed | ((status != 0) & (status != IMPOSSIBLE))
        if status.any():
            by_id = np.zeros(self._next, dtype=status.dtype)
            by_id[self._ids] = status
            times = np.full(self._next, self.steps - 1)
            settle(by_id, times, self._on_error, lambda: self, stacklevel=stacklevel)


_DERIVED = {"_kernels", "_online", "_handle", "_seen", "_seen_at", "_arguments", "_constant"}


def some(ids: Array) -> str:
    """Name the first ids of many."""
    shown = ", ".join(str(int(i)) for i in ids[:8])
    return shown + (" and so on" if len(ids) > 8 else "") if len(ids) else "none"
