# SPDX-License-Identifier: BSD-3-Clause
"""EM as a way of `fit`: from where to begin to the result with its error bars."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError, NumericalWarning
from kelman.identify._em import em
from kelman.identify._maximise import FitStep, Top, maximise
from kelman.identify._mle import result
from kelman.identify._objective import Objective
from kelman.identify._progress import Progress
from kelman.identify._stages import Clock, Stage
from kelman.identify._starts import begin, floors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._em import EmResult
    from kelman.identify._parameter_fit import ParameterFit
    from kelman.models import Template

PLATEAU = 1e-6
"""Share of the log-likelihood that an iteration must gain for EM to go on."""


def expectation_maximisation(
    template: Template,
    z: Any,
    u: Any = None,
    *,
    theta: Array | None = None,
    covariance: str = "hessian",
    max_iter: int = 1000,
    tol: float = 1e-8,
    threads: int | None = None,
    progress: bool | Callable[[int, float], Any] | None = None,
    before: tuple[Stage, ...] = (),
) -> ParameterFit:
    """Fit a template by EM from `theta` (K,), or from starts that the data suggest; see `fit`.

    Where EM has come to a plateau, or to parameters that it cannot move, quasi-Newton steps finish.
    """
    objective = Objective(template, z, u, threads=threads)
    start = begin(objective)[0] if theta is None else theta
    gtol = float(np.sqrt(2 * tol))
    began = time.perf_counter()
    with Progress(progress, max_iter, "EM") as bar:
        found = em(
            template,
            start,
            z,
            u,
            max_iter=max_iter,
            tol=tol,
            gtol=gtol,
            plateau=PLATEAU,
            threads=threads,
            progress=bar.update,
        )
        if not np.isfinite(found.loglik[0]):
            raise KelmanError(f"EM {found.message[0]}; give other starts (Free(start))")
        top, lowest = _end(objective, found), floors(objective)[0]
        stays = found.held + found.restricted
        stages = (*before, Stage("EM", len(top.history), top.value, time.perf_counter() - began))
        finish = not found.converged[0] or bool(stays)
        if finish and not found.floored[0] and "interrupted" not in top.message:
            count = len(top.history)
            clock = Clock(lambda step, loglik: bar.update(count + step, loglik))
            after = maximise(objective, top.eta, lowest=lowest, max_iter=max(max_iter, 100), tol=tol, report=clock)
            if after.value >= top.value:
                stages += clock.stages(after.history)
                stopped = (
                    f"EM does not move {', '.join(stays)} freely, for lack of noise in these rows"
                    if stays
                    else f"EM ended at {top.message}"
                )
                message = f"{after.message} ({stopped}; quasi-Newton steps finished)"
                top = replace(after, message=message, history=top.history + after.history)
    if not top.converged:
        warnings.warn(f"fit: {top.message}; the best point is returned", NumericalWarning, stacklevel=3)
    return result(objective, top, lowest, covariance, "em", stages=stages)


def _end(objective: Objective, found: EmResult) -> Top:
    """Where EM ended, with its steps."""
    eta = objective.template.unconstrain(found.theta[0])
    value, gradient = objective(eta)
    scale = objective.scale(eta)
    line = found.history[0]
    steps = tuple(
        FitStep("EM", float(loglik), float(np.linalg.norm(slope * scale)))
        for loglik, slope in zip(line[np.isfinite(line)], found.slopes, strict=True)
    )
    return Top(eta, value, gradient, scale, bool(found.converged[0]), found.message[0], steps)
