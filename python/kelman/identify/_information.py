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

_LARGE = 50_000_000
"""Above so many numbers, derivatives of innovations are not kept."""

_SHORT = 1e-4
"""Step of their differences, in units of the scales."""

_STILL = 1e-6
"""Singular value, relative to the largest, of a direction that does not move them."""

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
    uphill = bool(values[0] < -1e-3 * max(float(values[-1]), 1e-300))
    seen = values > _RANK * max(float(values[-1]), 1e-300)
    if objective.template._loose and objective.nobs * len(free) < _LARGE:
        values, vectors = _of_loose(objective, eta, scale, free, curvature)
        seen = np.ones(len(values), dtype=bool)
    null_vectors = _rest(vectors[:, seen])
    vectors, values = vectors[:, seen], values[seen]
    half = vectors / np.sqrt(values)
    if kind == "robust":
        assert scores is not None
        half = half @ (half.T @ scores.T)
    whole = np.zeros((len(eta), half.shape[1]))
    whole[free] = unit[:, None] * half
    null = np.zeros((len(eta), null_vectors.shape[1]))
    null[free] = null_vectors
    jacobian = objective.template.constrain_jacobian(eta)
    return Information(jacobian @ whole, null, held, uphill)


def _rest(columns: Array) -> Array:
    """Orthonormal basis of what is orthogonal to orthonormal columns."""
    left, _, _ = np.linalg.svd(columns, full_matrices=True)
    rest: Array = left[:, columns.shape[1] :]
    return rest


def _of_loose(objective: Objective, eta: Array, scale: Array, free: Array, curvature: Array) -> tuple[Array, Array]:
    """Eigenvalues (r,) and vectors (k, r) of the curvature in the directions that change something.

    Those move the innovations, or bend the likelihood clearly, as a zero of the noise model on the unit circle does.
    """
    basis, expected = _moved_by(objective, eta, scale, free)
    rest = _rest(basis)
    values, vectors = np.linalg.eigh(rest.T @ curvature @ rest)
    largest = float(np.linalg.eigvalsh(curvature)[-1])
    whole = np.concatenate([basis, rest @ vectors[:, values > _RANK * largest]], axis=1)
    values, vectors = np.linalg.eigh(whole.T @ curvature @ whole)
    if whole.shape[1] and values[0] > 1e-10 * largest:
        return values, whole @ vectors
    return expected, basis


def _moved_by(objective: Objective, eta: Array, scale: Array, free: Array) -> tuple[Array, Array]:
    r"""Directions (k, r) of the free parameters, in units of their scales, that move the innovations or their covariances; and how much.

    In a whole free model a change of basis moves none. Second derivatives of the likelihood are zero there up to their own error, and
    may be hardly more along a ridge, which matters; first derivatives of the innovations tell one from the other. The information
    in these directions is the expected one, :math:`\sum dv' F^{-1} dv + tr (F^{-1} dF)^2 / 2` (R. F. Engle and M. Watson,
    J. Am. Stat. Assoc. 76 (1981) 774).
    """
    from kelman import linear
    from kelman.identify._auxiliary import _inverse
    from kelman.identify._innovations import run

    template = objective.template
    here = run(template._model(template.constrain(eta)), objective.z, objective.u)
    F = here.array("innovation_cov")
    seen = np.isfinite(here.array("innovation")) & here.counts[..., None]
    values, vectors = np.linalg.eigh(_inverse(np.where(np.isfinite(F), F, 0.0), seen))
    root = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    rows = []
    for k in free:
        sides = []
        for sign in (1.0, -1.0):
            moved = eta.copy()
            moved[k] += sign * _SHORT * scale[k]
            model = template._model(template.constrain(moved))
            found = linear.filter(
                model, objective.z, objective.u, store="all", on_error="nan", threads=objective.threads
            )
            sides.append(
                [np.asarray(found._arrays[name], dtype=np.float64) for name in ("innovation", "innovation_cov")]
            )
        dv, dF = ((up - down) / (2 * _SHORT) for up, down in zip(*sides, strict=True))
        dv = np.where(seen, dv, 0.0)[..., None, :] @ root
        dF = np.swapaxes(root, -1, -2) @ np.where(seen[..., None] & seen[..., None, :], dF, 0.0) @ root
        rows.append(np.concatenate([dv.ravel(), dF.ravel() / np.sqrt(2)]))
    _, size, right = np.linalg.svd(np.nan_to_num(np.linalg.qr(np.array(rows).T, mode="r")))
    moved_by = size > _STILL * size[0]
    return right[moved_by].T, np.square(size[moved_by])


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
