# SPDX-License-Identifier: BSD-3-Clause
"""The stages of a fit, and how they went."""

from __future__ import annotations

import time
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.identify._maximise import FitStep


class Stage(NamedTuple):
    """One stage of a fit: subspace, pem, EM, L-BFGS or Newton.

    Attributes
    ----------
    name : str
    iterations : int
        0 for a stage that does not iterate.
    loglik : float
        Log-likelihood where it ended, plus the log-prior where there is one.
    seconds : float
        Time that it took.
    """

    name: str
    iterations: int
    loglik: float
    seconds: float


class Clock:
    """Notes when each step of a climb ended; passed to `maximise` in place of a report, which it calls.

    Parameters
    ----------
    report : callable, optional
        Takes iteration and log-likelihood.
    """

    def __init__(self, report: Callable[[int, float], None] | None = None) -> None:
        self._report = report
        self._times = [time.perf_counter()]

    def __call__(self, iteration: int, loglik: float) -> None:
        """Note the time."""
        self._times.append(time.perf_counter())
        if self._report is not None:
            self._report(iteration, loglik)

    def stages(self, history: tuple[FitStep, ...]) -> tuple[Stage, ...]:
        """Stages of the steps that were noted, one after the other; what is left of the time belongs to the last.

        The evaluation with which a climb starts, or starts again, belongs to the stage after it.
        """
        times = [*self._times[: len(history)], time.perf_counter()]
        names = [step.stage for step in history]
        for k in reversed(range(len(names) - 1)):
            if names[k] in _STARTS:
                names[k] = names[k + 1]
        steps = zip(names, history, pairwise(times), strict=False)
        found = []
        for name, group in groupby(steps, key=lambda step: step[0]):
            own = list(group)
            count = sum(step.stage not in _STARTS for _, step, _ in own)
            label = "L-BFGS" if name in _STARTS else name  # it was at the top already
            found.append(Stage(label, count, own[-1][1].loglik, sum(b - a for _, _, (a, b) in own)))
        return tuple(found)


_STARTS = ("start", "restart")


def stage_lines(stages: tuple[Stage, ...]) -> list[str]:
    """One line of text for each stage."""
    width = max((len(stage.name) for stage in stages), default=0)
    return [
        f"  stage {stage.name:<{width}} {stage.iterations:5d} iterations, log-likelihood {stage.loglik:.4f}, {stage.seconds:.3g} s"
        for stage in stages
    ]
