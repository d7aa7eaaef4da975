# SPDX-License-Identifier: BSD-3-Clause
"""Maximum likelihood of a template: from where to begin to the result with its error bars."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import NumericalWarning
from kelman.identify._climbs import climb
from kelman.identify._information import Information, information
from kelman.identify._maximise import INTERRUPTED, Top
from kelman.identify._objective import Objective
from kelman.identify._parameter_fit import ParameterFit
from kelman.identify._stages import Clock
from kelman.identify._starts import begin, floors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._stages import Stage
    from kelman.models import Template


def maximum_likelihood(
    template: Template,
    z: Any,
    u: Any = None,
    *,
    theta: Array | None = None,
    covariance: str = "hessian",
    max_iter: int = 200,
    tol: float = 1e-8,
    threads: int | None = None,
    report: Callable[[int, float], None] | None = None,
    method: str = "mle",
    before: tuple[Stage, ...] = (),
    interrupted: bool = False,
    starts: int = 1,
    seed: int | None = 0,
) -> ParameterFit:
    """Fit a template from `theta` (K,), or from starts that the data suggest; see `fit`. `before` are stages behind us, `interrupted` the last."""
    objective = Objective(template, z, u, threads=threads)
    start = template.unconstrain(begin(objective)[0] if theta is None else theta)
    lowest = floors(objective)[0]
    clock = Clock(report)
    if interrupted:
        top = Top(start, *objective(start), objective.scale(start), False, INTERRUPTED, ())
    else:
        top = climb(objective, start, lowest, starts=starts, seed=seed, max_iter=max_iter, tol=tol, report=clock)
    stages = before + clock.stages(top.history)
    if not top.converged:
        warnings.warn(f"fit: {top.message}; the best point is returned", NumericalWarning, stacklevel=3)
    return result(objective, top, lowest, covariance, method, stages=stages)


def result(
    objective: Objective, top: Top, lowest: Array, covariance: str, method: str, stages: tuple[Stage, ...] = ()
) -> ParameterFit:
    """Wrap up where a climb ended."""
    template = objective.template
    theta = template.constrain(top.eta)
    if "interrupted" in top.message:
        K = len(theta)
        known = Information(np.zeros((K, 0)), np.zeros((K, 0)), np.ones(K, dtype=bool), False)
    else:
        known = information(objective, top.eta, top.scale, lowest, covariance)
    return ParameterFit(
        model=template.model(theta),
        template=template,
        theta=theta,
        loglik=objective.likelihood(theta)[0],
        nobs=objective.nobs,
        method=method,
        history=top.history,
        converged=top.converged,
        message=top.message,
        _eta=top.eta.copy(),
        _scale=top.scale.copy(),
        _lowest=lowest,
        _information=known,
        _objective=objective,
        stages=stages,
    )
