# SPDX-License-Identifier: BSD-3-Clause
"""Climbing to the top of a likelihood: quasi-Newton, then Newton within a trust region, one rule for when to stop.

All steps are taken in units of the distance over which the likelihood changes by a half (`Objective.scale`), so that the
units of the data do not matter; in these units a gradient of norm g promises about g^2 / 2 more likelihood.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array

_NEWTON_LIMIT = 80
"""Parameters up to which second derivatives are worth their gradients."""


INTERRUPTED = "interrupted; this is the best point so far"


class Hill(Protocol):
    """What can be climbed."""

    best: tuple[float, Array, Array] | None
    """The highest value met, where, and the gradient there."""

    def __call__(self, eta: Array) -> tuple[float, Array]:
        """Value and gradient by eta (K,)."""
        ...

    def second(self, eta: Array, scale: Array) -> Array:
        """Second derivatives (K, K), from steps in proportion to `scale`."""
        ...

    def scale(self, eta: Array, guess: Array | None = None) -> Array:
        """Distances (K,) over which the value changes by about a half."""
        ...


class FitStep(NamedTuple):
    """One iteration: the stage it belongs to, the log-likelihood (plus log-prior), the scaled norm of the gradient."""

    stage: str
    loglik: float
    gradient: float


@dataclass(frozen=True, eq=False)
class Top:
    """Where the climb ended: eta (K,), value, gradient, whether it has converged, how it ended, and its steps."""

    eta: Array
    value: float
    gradient: Array
    scale: Array
    converged: bool
    message: str
    history: tuple[FitStep, ...]


def maximise(
    objective: Hill,
    eta: Array,
    *,
    lowest: Array | None = None,
    max_iter: int = 200,
    tol: float = 1e-8,
    report: Callable[[int, float], None] | None = None,
) -> Top:
    """Climb from eta until less than about `tol` of log-likelihood is left to gain; Ctrl-C returns the best point.

    No parameter goes below `lowest` (K,); one that ends there is held while the others take Newton's steps.
    """
    lowest = np.full_like(eta, -np.inf) if lowest is None else lowest
    eta = np.maximum(eta, lowest)
    value, gradient = objective(eta)
    if not np.isfinite(value):
        raise KelmanError(
            "the log-likelihood is not finite at the start: give other starts (Free(start)), or look at the model there with "
            "kelman.filter(template.model(template.start), z)"
        )
    steps: list[FitStep] = []
    scale = np.ones_like(eta)
    held = np.zeros(len(eta), dtype=bool)

    def note(stage: str, value: float, gradient: Array) -> None:
        steps.append(FitStep(stage, value, float(np.linalg.norm((gradient * scale)[~held]))))
        if report is not None:
            report(len(steps), value)

    converged, message = False, ""
    if not len(eta):
        return Top(eta, value, gradient, scale, True, "nothing is free", ())
    try:
        goal = float(np.sqrt(2 * tol))
        for attempt in range(3):
            scale = objective.scale(eta, scale if attempt else None)
            note("start" if attempt == 0 else "restart", value, gradient)
            eta = np.maximum(eta, lowest)
            eta, value, gradient = _quasi_newton(objective, eta, scale, lowest, max_iter, goal, note)
            held = (eta <= lowest + 1e-6) & (gradient < 0)
            scale = objective.scale(eta, scale)
            if not held.all() and len(eta) <= _NEWTON_LIMIT:
                eta, value, gradient = _newton(objective, eta, scale, np.flatnonzero(~held), max_iter, goal, note)
            converged = float(np.linalg.norm((gradient * scale)[~held])) <= 10 * goal and bool((eta >= lowest).all())
            if converged or len(steps) >= max_iter:
                break
        message = "converged" if converged else f"not converged after {len(steps)} steps"
    except KeyboardInterrupt:
        message = INTERRUPTED
        if objective.best is not None and objective.best[0] > value:
            value, eta, gradient = objective.best
    return Top(eta, value, gradient, scale, converged, message, tuple(steps))


def _quasi_newton(
    objective: Hill,
    eta: Array,
    scale: Array,
    lowest: Array,
    max_iter: int,
    goal: float,
    note: Callable[[str, float, Array], None],
) -> tuple[Array, float, Array]:
    """L-BFGS in scaled parameters; where there is no model the objective turns the line search back."""
    from scipy.optimize import minimize

    origin = eta
    best: list[Any] = [*objective(eta), eta]

    def function(x: Array) -> tuple[float, Array]:
        point = origin + scale * x
        value, gradient = objective(point)
        if not np.isfinite(value):
            away = point - best[2]
            return -best[0] + 1e3 * (1 + abs(best[0])), np.asarray(away / scale) * (1 + abs(best[0]))
        if value > best[0]:
            best[:] = [value, gradient, point]
        return -value, -gradient * scale

    def callback(_: Any) -> None:
        note("L-BFGS", best[0], best[1])

    minimize(
        function,
        np.zeros_like(eta),
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        bounds=[(None if low == -np.inf else low, None) for low in (lowest - origin) / scale],
        options={"maxiter": max_iter, "gtol": goal, "ftol": 1e-13, "maxcor": 20},
    )
    return best[2], best[0], best[1]


def _newton(
    objective: Hill,
    eta: Array,
    scale: Array,
    free: Array,
    max_iter: int,
    goal: float,
    note: Callable[[str, float, Array], None],
) -> tuple[Array, float, Array]:
    """Newton's method in a trust region, second derivatives by differences of the exact gradient."""
    from scipy.optimize import minimize

    def at(x: Array) -> Array:
        point = eta.copy()
        point[free] += scale[free] * x
        return point

    best: list[Any] = [*objective(eta), eta]
    before, idle = [best[0]], [0]

    def function(x: Array) -> tuple[float, Array]:
        point = at(x)
        value, gradient = objective(point)
        if value > best[0]:
            best[:] = [value, gradient, point]
        return -value, -(gradient * scale)[free]

    def second(x: Array) -> Array:
        curvature: Array = -objective.second(at(x), scale) * np.outer(scale, scale)
        return np.asarray(curvature[np.ix_(free, free)])

    def callback(_: Any) -> None:
        note("Newton", best[0], best[1])
        gain, before[0] = best[0] - before[0], best[0]
        idle[0] = idle[0] + 1 if gain <= 1e-13 * (1 + abs(best[0])) else 0
        if idle[0] > 5:  # rounding is all that is left
            raise StopIteration
        if gain < 0.1 * goal**2 and float(np.linalg.norm((best[1] * scale)[free])) < goal:
            raise StopIteration

    with contextlib.suppress(KelmanError, np.linalg.LinAlgError), np.errstate(all="ignore"):
        minimize(
            function,
            np.zeros(len(free)),
            jac=True,
            hess=second,
            method="trust-exact",
            callback=callback,
            options={"gtol": 1e-2 * goal, "maxiter": max_iter, "initial_trust_radius": 1.0, "max_trust_radius": 100.0},
        )
    return best[2], best[0], best[1]
