# SPDX-License-Identifier: BSD-3-Clause
"""The history of a training, who is told of it, and the file from which it can go on."""

from __future__ import annotations

import threading
import time
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._train_checkpoint import Checkpoint


class StopTraining(Exception):  # noqa: N818 - a signal, not an error
    """The time is up, or the callback asked to stop."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the history.

    Attributes
    ----------
    start : int
        Which start, from 0.
    phase : str
        "shooting", "trial", "lm", "lbfgs" or "adam".
    iteration : int
        Within the phase.
    loss : float
        Mean squared error of the standardised targets.
    radius : float
        Spectral radius of U (NaN for gated cells).
    damping : float
        Levenberg-Marquardt damping, or the learning rate of Adam; NaN for L-BFGS.
    seconds : float
        Since the call began.
    validation : float
        Loss on the held-out part; NaN without one.
    """

    start: int
    phase: str
    iteration: int
    loss: float
    radius: float
    damping: float
    seconds: float
    validation: float = float("nan")


@dataclass(slots=True)
class Clock:
    """What all starts of one call share: the time, the callback, and whether somebody asked to stop."""

    callback: Callable[[Step], Any] | None
    max_seconds: float
    began: float = field(default_factory=time.perf_counter)
    stopped: threading.Event = field(default_factory=threading.Event)

    def seconds(self) -> float:
        """Time since the call began."""
        return time.perf_counter() - self.began

    def out_of_time(self) -> bool:
        """Whether the time is up."""
        return self.seconds() > self.max_seconds


@dataclass(slots=True)
class Journal:
    """Keeps the history of one start, and the state of the optimiser that is at work."""

    clock: Clock
    start: int = 0
    store: Checkpoint | None = None
    steps: list[Step] = field(default_factory=list)
    calls: int = 0
    first: int = 0

    def note(
        self, phase: str, iteration: int, loss: float, radius: float, damping: float, validation: float = np.nan
    ) -> None:
        """Write one step; raises StopTraining when the callback returns True or the time is up."""
        step = Step(self.start, phase, iteration, loss, radius, damping, self.clock.seconds(), validation)
        self.steps.append(step)
        if self.clock.callback is not None and self.clock.callback(step) is True:
            self.clock.stopped.set()
            raise StopTraining("the callback asked to stop")
        self.check()

    def check(self) -> None:
        """Raise StopTraining when the time is up or another start was stopped."""
        if self.clock.stopped.is_set():
            raise StopTraining("the callback asked to stop")
        if self.clock.out_of_time():
            raise StopTraining(f"max_seconds={self.clock.max_seconds:g} were used up")

    # -- going on from a file

    def begin(self) -> dict[str, Any] | None:
        """Begin one call of an optimiser: what the file says of it, its lines of the history written anew; None if nothing."""
        self.calls += 1
        self.first = len(self.steps)
        record = None if self.store is None else self.store.get(self._key())
        if record is not None:
            self.steps += [Step(*row) for row in record["steps"]]
        return record

    def keep(self, state: dict[str, Any]) -> None:
        """Remember the state of the optimiser at this point: what it would go on with."""
        if self.store is not None:
            rows = [astuple(step) for step in self.steps[self.first :]]
            self.store.put(self._key(), {**state, "steps": rows})

    def _key(self) -> str:
        return f"{self.start}.{self.calls}"
