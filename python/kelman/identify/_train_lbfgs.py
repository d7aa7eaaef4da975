# SPDX-License-Identifier: BSD-3-Clause
"""L-BFGS (scipy) with a smooth barrier at the stability limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .._types import Array
    from ._train_objective import Journal, Objective


def radius_and_slope(U: Array) -> tuple[float, Array]:
    """Spectral radius of U and its derivative: Re(conj(l)/|l| w v') for the eigenvalue l of right v and left w, w'v = 1."""
    from scipy import linalg

    values, left, right = linalg.eig(U, left=True, right=True)
    k = int(np.argmax(np.abs(values)))
    size = float(np.abs(values[k]))
    if size == 0:
        return 0.0, np.zeros_like(U)
    w, v = left[:, k], right[:, k]
    product = w.conj() @ v
    if abs(product) < 1e-12:  # a defective eigenvalue has no derivative; leave the barrier without a slope
        return size, np.zeros_like(U)
    return size, np.real(np.conj(values[k]) / size * np.outer(w.conj(), v) / product)


def lbfgs(
    objective: Objective, theta: Array, journal: Journal, *, max_iterations: int, tolerance: float
) -> tuple[Array, bool, str]:
    """Weights, whether converged, and a word why it ended. The best weights also stay in the objective."""
    from scipy import optimize

    first, _ = objective.gradient(theta)
    if not np.isfinite(first):
        return theta, False, "the network overflows at the start"
    stiffness = 1e4 * max(first, 1e-12)
    size = objective.weights(theta)["U"].size
    latest = [first]

    def value(at: Array) -> tuple[float, Array]:
        loss, gradient = objective.gradient(at)
        latest[0] = loss
        objective.keep(at, loss)
        if objective.is_guarded():
            radius, slope = radius_and_slope(at[:size].reshape(objective.template.U.shape))
            beyond = radius - 0.999 * objective.max_radius
            if not np.isfinite(loss):
                loss = 10 * first
            if beyond > 0:
                loss += stiffness * beyond**2
                gradient = gradient.copy()
                gradient[:size] += 2 * stiffness * beyond * slope.ravel()
        elif not np.isfinite(loss):
            loss = 1e3 * first
        return loss, gradient

    count = [0]

    def note(_: Array) -> None:
        count[0] += 1
        best = theta if objective.best is None else objective.best
        journal.note("lbfgs", count[0], objective.best_loss, objective.radius(best), np.nan)

    journal.note("lbfgs", 0, first, objective.radius(theta), np.nan)
    result = optimize.minimize(
        value,
        theta,
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={
            "maxiter": max_iterations,
            "maxfun": 3 * max_iterations,
            "maxcor": 30,
            "ftol": tolerance,
            "gtol": 1e-9,
        },
    )
    best = theta if objective.best is None else objective.best
    message = result.message if isinstance(result.message, str) else result.message.decode()
    return best, bool(result.success), message.lower().replace("_", " ")
