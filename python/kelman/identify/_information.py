# SPDX-License-Identifier: BSD-3-Clause
"""Covariance of estimated parameters from the curvature of the likelihood, and what the data cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._objective import Objective

_RANK = 1e-5
"""Smallest curvature, relative to the largest in units of the scales, that counts as information."""

_FLAT = 1e-3
"""Log-likelihood that a parameter at its bound may still move."""


@dataclass(frozen=True, eq=False)
class Information:
    """What the likelihood's curvature at its top tells.

    Attributes
    ----------
    factor : ndarray, shape (K, r)
        F with F F' = covariance of the natural parameters; zero rows for those held.
    null : ndarray, shape (K, K - r)
        Directions of the unconstrained parameters, in units of their scales, in which the likelihood is flat.
    held : ndarray of bool, shape (K,)
        Parameters at a bound, which have no standard error.
    uphill : bool
        Whether the likelihood bends upward in some direction: no maximum.
    """

    factor: Array
    null: Array
    held: Array
    uphill: bool


def information(objective: Objective, eta: Array, scale: Array, lowest: Array, kind: str = "hessian") -> Information:
    """Curvature at eta, inverted where it is not flat.

    kind : "hessian", the observed information; "scores", the sum of outer products of each series' score; "robust", the
    sandwich of both.
    """
    held = _at_bound(objective, eta, lowest)
    free = np.flatnonzero(~held)
    if not len(free):
        return Information(np.zeros((len(eta), 0)), np.zeros((len(eta), 0)), held, False)
    unit = scale[free]
    try:
        curvature = -objective.second(eta, scale)[np.ix_(free, free)] * np.outer(unit, unit)
    except KelmanError:  # the likelihood ends within a thousandth of a scale
        held[:] = True
        return Information(np.zeros((len(eta), 0)), np.zeros((len(eta), 0)), held, True)
    scores = None if kind == "hessian" else _scores(objective, eta)[:, free] * unit
    if kind == "scores":
        assert scores is not None
        curvature = scores.T @ scores
    values, vectors = np.linalg.eigh(curvature)
    largest = max(float(values[-1]), 1e-300)
    seen = values > _RANK * largest
    half = vectors[:, seen] / np.sqrt(values[seen])
    if kind == "robust":
        assert scores is not None
        half = half @ (half.T @ scores.T)
    whole = np.zeros((len(eta), half.shape[1]))
    whole[free] = unit[:, None] * half
    null = np.zeros((len(eta), int(np.count_nonzero(~seen))))
    null[free] = vectors[:, ~seen]
    jacobian = objective.template.constrain_jacobian(eta)
    return Information(jacobian @ whole, null, held, bool(values[0] < -1e-3 * largest))


def _at_bound(objective: Objective, eta: Array, lowest: Array) -> Array:
    """Bounded parameters that the likelihood drives to their bound, beyond which it hardly changes."""
    held = np.zeros(len(eta), dtype=bool)
    value, _ = objective(eta)
    theta, slope = objective.template.constrain(eta), np.diagonal(objective.template.constrain_jacobian(eta))
    for k, parameter in enumerate(objective.template._parameters):
        gap = np.array([theta[k] - parameter.lower, parameter.upper - theta[k]])
        if not np.isfinite(gap).any():
            continue
        if eta[k] <= lowest[k] + 1e-6:
            held[k] = True
            continue
        side = -1.0 if gap[0] <= gap[1] else 1.0
        if abs(slope[k]) > 1.0 and np.isfinite(gap).all():
            continue
        beyond = eta.copy()
        beyond[k] += 5 * side
        moved, _ = objective(beyond)
        held[k] = moved > value - _FLAT
    return held


def _scores(objective: Objective, eta: Array) -> Array:
    """Derivative of each series' log-likelihood by eta, (N, K)."""
    from kelman.linear import loglik_and_grad

    template = objective.template
    if objective.series <= template.size:
        raise KelmanError(
            f"covariance: scores of {objective.series} series cannot tell {template.size} parameters apart; use 'hessian'"
        )
    theta = np.broadcast_to(template.constrain(eta), (objective.series, template.size))
    _, by = loglik_and_grad(template._model(theta), objective.z, objective.u, threads=objective.threads)
    scores: Array = template.gradient(theta, by) @ template.constrain_jacobian(eta)
    return scores
