# SPDX-License-Identifier: BSD-3-Clause
"""L-BFGS with a line search that knows the stability guard.

The step satisfies the strong Wolfe conditions; trial weights that overflow or that the guard refuses count as infinitely
bad, so that the search turns back. The whole state is explicit: training can stop and go on at any iteration.
Reference: Nocedal and Wright, Numerical Optimization, 7.4 and 3.5-3.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .._types import Array
    from ._train_journal import Journal
    from ._train_objective import Objective

MEMORY = 30
"""Pairs of steps and changes of the gradient that are remembered."""

DECREASE, CURVATURE = 1e-4, 0.9
"""Constants of the Wolfe conditions."""

SEARCH = 25
"""Evaluations that one line search may take."""


@dataclass(slots=True)
class Point:
    """A step length with the loss there, its slope along the direction, and the gradient."""

    length: float
    loss: float
    slope: float
    gradient: Array


def lbfgs(
    objective: Objective,
    theta: Array,
    journal: Journal,
    *,
    max_iterations: int,
    tolerance: float,
    phase: str = "lbfgs",
) -> tuple[Array, bool, str]:
    """Weights, whether converged, and a word why it ended. The best weights also stay in the objective."""
    record = objective.resume(journal)
    if record is not None and record["ended"]:
        return record["theta"], record["done"], record["word"]
    began, small = 0, 0
    S, Y = np.empty((0, theta.size)), np.empty((0, theta.size))
    if record is not None:
        theta, S, Y = record["theta"], record["S"], record["Y"]
        began, small = record["iteration"], record["small"]
    loss, gradient = objective.guarded(theta)
    if not np.isfinite(loss):
        return objective.ended(journal, theta, False, "the network overflows at the start")
    objective.keep(theta, loss)
    for iteration in range(began, max_iterations):
        objective.store(journal, theta, {"S": S, "Y": Y, "iteration": iteration, "small": small})
        journal.note(phase, iteration, loss, objective.radius(theta), np.nan)
        if np.abs(gradient).max() <= 1e-10 * max(1.0, np.abs(theta).max()):
            return objective.ended(journal, theta, True, "converged: the gradient is zero")
        direction = -_product(S, Y, gradient)
        slope = float(gradient @ direction)
        if slope >= 0:
            S, Y = S[:0], Y[:0]
            direction, slope = -gradient, -float(gradient @ gradient)
        first = 1.0 if len(S) else min(1.0, 1.0 / max(np.abs(gradient).sum(), 1e-300))
        found = _search(objective, theta, direction, loss, slope, first)
        if found is None:
            if len(S):
                S, Y = S[:0], Y[:0]
                continue
            return objective.ended(journal, theta, small > 0 or loss < 1e-20, "no step lowers the loss any more")
        step, change = found.length * direction, found.gradient - gradient
        small = small + 1 if loss - found.loss <= tolerance * loss else 0
        theta, loss, gradient = theta + step, found.loss, found.gradient
        objective.keep(theta, loss)
        if step @ change > 1e-10 * (change @ change):
            S, Y = np.vstack([S, step])[-MEMORY:], np.vstack([Y, change])[-MEMORY:]
        if small >= 3:
            return objective.ended(
                journal, theta, True, "converged: three steps in a row gained less than the tolerance"
            )
    return objective.ended(journal, theta, False, f"max_iterations={max_iterations} reached")


def _product(S: Array, Y: Array, gradient: Array) -> Array:
    """The inverse Hessian, as the pairs tell it, times the gradient (two loops)."""
    q, weights = gradient.copy(), []
    inverse = [1.0 / float(s @ y) for s, y in zip(S, Y, strict=True)]
    for s, y, r in zip(S[::-1], Y[::-1], inverse[::-1], strict=True):
        weights.append(r * float(s @ q))
        q -= weights[-1] * y
    if len(S):
        q *= float(S[-1] @ Y[-1]) / float(Y[-1] @ Y[-1])
    for s, y, r, a in zip(S, Y, inverse, weights[::-1], strict=True):
        q += (a - r * float(y @ q)) * s
    return q


def _search(
    objective: Objective, theta: Array, direction: Array, loss: float, slope: float, first: float
) -> Point | None:
    """A step that satisfies the strong Wolfe conditions, or the best that lowers the loss enough; None if none does."""

    def at(length: float) -> Point:
        value, gradient = objective.guarded(theta + length * direction)
        return Point(length, value, float(gradient @ direction), gradient)

    def enough(point: Point) -> bool:
        return point.loss <= loss + DECREASE * point.length * slope

    low = Point(0.0, loss, slope, np.empty(0))
    high: Point | None = None
    point, best = at(first), None
    for _ in range(SEARCH):
        if not np.isfinite(point.loss) or not enough(point) or point.loss >= low.loss:
            high = point
        else:
            best = point if best is None or point.loss < best.loss else best
            if abs(point.slope) <= -CURVATURE * slope:
                return point
            if point.slope * (1.0 if high is None else high.length - low.length) >= 0:
                high = low
            low = point
        if high is None:
            point = at(2.5 * point.length)
            continue
        if abs(high.length - low.length) <= 1e-12 * max(low.length, 1e-12):
            break
        point = at(_between(low, high))
    return best


def _between(low: Point, high: Point) -> float:
    """The minimum of a parabola through both points, kept away from the ends."""
    width = high.length - low.length
    middle = 0.5
    if np.isfinite(high.loss):
        bend = high.loss - low.loss - low.slope * width
        if bend > 0:
            middle = -low.slope * width / (2 * bend)
    else:
        middle = 0.2
    return low.length + float(np.clip(middle, 0.1, 0.9)) * width
