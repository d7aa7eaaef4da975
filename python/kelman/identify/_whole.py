# SPDX-License-Identifier: BSD-3-Clause
"""Where the likelihood of a whole free model begins to be climbed: a subspace estimate, of data with or without gaps."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kelman import linear
from kelman.errors import KelmanError
from kelman.identify._data import read_series
from kelman.identify._em import em
from kelman.identify._em_fit import PLATEAU
from kelman.identify._fit import innovation_fit
from kelman.identify._full import full_template, innovation_template, is_stationary
from kelman.identify._stages import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._fit import Plan
    from kelman.models import Template


def has_gaps(z: Any, u: Any) -> bool:
    """Whether a value of z is missing."""
    return any(bool(np.isnan(one).any()) for one in read_series(z, u, gaps=True)[0])


class Begun(NamedTuple):
    """A template to climb from, the stages behind it, and whether Ctrl-C ended them."""

    template: Template
    stages: tuple[Stage, ...]
    interrupted: bool = False


def begin_whole(
    z: Any, u: Any, plan: Plan, method: str, em_limit: int, threads: int | None, report: Callable[[int, float], None]
) -> Begun:
    """Template of the whole free model, begun at the subspace estimate, and how that went.

    With gaps and not for EM itself, EM goes on from there before the innovation form takes over: it finds the way where much is
    missing and the subspace estimate is far off.
    """
    plan = replace(plan, method="subspace")
    z_list, u_list = read_series(z, u, gaps=True)
    inputs = None if u is None else u_list
    gaps = any(np.isnan(one).any() for one in z_list)
    began = time.perf_counter()
    if not gaps and method != "em":
        fit = innovation_fit(z_list, inputs, plan)
        if not is_stationary(fit.model, z_list):  # prediction errors need no start, and tell whether a slow mode drifts
            fit = innovation_fit(z_list, inputs, replace(plan, method="pem", n_states=fit.order))
        template = innovation_template(fit.model, fit.K, fit.Sigma, z_list, inputs)
        loglik = float(np.sum(linear.loglik(template.model(template.start), z_list, inputs)))
        last = fit.stages[-1]
        return Begun(
            template, (*fit.stages[:-1], Stage(last.name, last.iterations, loglik, time.perf_counter() - began))
        )
    template, name, loglik = _likelier(z_list, inputs, plan, gaps)
    stages = (Stage(name, 0, loglik, time.perf_counter() - began),)
    if method == "em":
        return Begun(template, stages)
    began = time.perf_counter()
    gtol = float(np.sqrt(2 * plan.tol))
    found = em(
        template,
        template.start,
        z_list,
        inputs,
        max_iter=em_limit,
        tol=float(plan.tol),
        gtol=gtol,
        plateau=PLATEAU,
        threads=threads,
        progress=report,
    )
    if not np.isfinite(found.loglik[0]):
        raise KelmanError(f"EM {found.message[0]}; use method='subspace', or give a template")
    stage = Stage("EM", int(found.iterations[0]), float(found.loglik[0]), time.perf_counter() - began)
    model = template.model(found.theta[0])
    steady = linear.steady_state(model)
    template = innovation_template(model, steady.K, steady.innovation_cov, z_list, inputs)
    return Begun(template, (*stages, stage), "interrupted" in found.message[0])


def _likelier(z: list[Array], u: list[Array] | None, plan: Plan, gaps: bool) -> tuple[Template, str, float]:
    """Return the subspace estimate without S, what it is called and its likelihood.

    Of data with gaps there are two, from the whole windows and with the gaps bridged by straight lines: the more likely one, or
    the one that there is.
    """
    found: list[tuple[Template, str, float]] = []
    for bridged in (False, True) if gaps else (False,):
        try:
            fit = innovation_fit([_bridged(one) for one in z] if bridged else z, u, plan)
            plan = replace(plan, n_states=fit.order)
            Q, R, _ = fit.noise
            template = full_template(fit.model, Q, R, z, u)
            loglik = float(np.sum(linear.loglik(template.model(template.start), z, u)))
        except KelmanError as error:
            if not gaps or (bridged and not found):
                raise error from None
            continue
        found.append((template, "subspace, gaps bridged" if bridged else "subspace", loglik))
    return max(found, key=lambda one: one[2])


def _bridged(z: Array) -> Array:
    """A series (T, m) with its gaps bridged by straight lines: good enough to begin at."""
    filled = z.copy()
    for line in filled.T:
        seen = np.flatnonzero(~np.isnan(line))
        line[:] = np.interp(np.arange(len(line)), seen, line[seen]) if len(seen) else 0.0
    return filled
