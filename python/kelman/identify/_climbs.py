# SPDX-License-Identifier: BSD-3-Clause
"""Several climbs of one likelihood: a second chance for parameters that ran into an edge, and starts at random."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.identify._maximise import INTERRUPTED, FitStep, Top, maximise
from kelman.models._transforms import Bounded, StationaryAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kelman._types import Array
    from kelman.identify._objective import Objective
    from kelman.models import Template

_EDGE_AR = 3.0
"""Beyond this eta a partial autocorrelation is within half a per cent of 1: the likelihood is flat, and climbing stops."""
_EDGE_BOUNDED = 6.0
_WIDE = 10.0
"""Spread of random starts of parameters without bounds, in distances over which the likelihood changes by a half."""


def climb(
    objective: Objective,
    start: Array,
    lowest: Array,
    *,
    starts: int,
    seed: int | None,
    max_iter: int,
    tol: float,
    report: Callable[[int, float], None] | None,
) -> Top:
    """Climb from `start` (K,), from where an edge was left, and from `starts` - 1 points drawn around; return the highest end.

    Steps of later climbs are in the history under the name of their start.
    """
    top = maximise(objective, start, lowest=lowest, max_iter=max_iter, tol=tol, report=report)
    history, ends = top.history, 1
    for name, eta in _others(objective, start, top, starts, seed):
        if top.message == INTERRUPTED:
            break

        def onward(iteration: int, value: float, so_far: int = len(history)) -> None:
            if report is not None:
                report(so_far + iteration, value)

        try:
            other = maximise(objective, eta, lowest=lowest, max_iter=max_iter, tol=tol, report=onward)
        except KelmanError:  # the model is impossible there
            continue
        ends += 1
        history += tuple(FitStep(name, step.loglik, step.gradient) for step in other.history)
        if other.message == INTERRUPTED:
            better = other if other.value > top.value else top
            top = replace(better, converged=False, message=INTERRUPTED)
        elif other.value > top.value + tol:
            top = other
    message = top.message if ends == 1 or top.message == INTERRUPTED else f"{top.message}; the best of {ends} climbs"
    return replace(top, history=history, message=message)


def _others(objective: Objective, start: Array, top: Top, starts: int, seed: int | None) -> Iterator[tuple[str, Array]]:
    inner = _off_the_edge(objective.template, top.eta)
    if inner is not None:
        yield "off the edge", inner
    rng = np.random.default_rng(seed)
    spread = _spread(objective, start) if starts > 1 else np.ones_like(start)
    for k in range(2, starts + 1):
        yield f"start {k}", start + spread * rng.standard_normal(len(start))


def _off_the_edge(template: Template, eta: Array) -> Array | None:
    """Return eta with parameters at an edge put in the middle of their range; None where none is."""
    inner = eta.copy()
    for block in template._blocks:
        columns = block.columns
        if isinstance(block.transform, StationaryAR):
            edge = np.abs(eta[columns]) > _EDGE_AR
        elif isinstance(block.transform, Bounded) and np.isfinite([block.transform.lower, block.transform.upper]).all():
            edge = np.abs(eta[columns]) > _EDGE_BOUNDED
        else:
            continue
        inner[columns[edge]] = 0.0
    return None if np.array_equal(inner, eta) else inner


def _spread(objective: Objective, eta: Array) -> Array:
    """Spread (K,) of random starts: 1 where eta is a logarithm, a logit or a partial autocorrelation."""
    spread = np.ones_like(eta)
    for block in objective.template._blocks:
        transform = block.transform
        if isinstance(transform, Bounded) and not np.isfinite([transform.lower, transform.upper]).any():
            spread[block.columns] = np.nan
    loose = np.isnan(spread)
    if loose.any():
        spread[loose] = _WIDE * objective.scale(eta)[loose]
    return spread
