# SPDX-License-Identifier: BSD-3-Clause
"""Levenberg-Marquardt on streamed normal equations.

Solve (JtJ + damping diag(d)) step = -Jtr, d the largest diagonal of JtJ seen so far (More), so that the result does not
depend on units; the change of basis that leaves the network's function alone makes JtJ singular and is held by the
damping. A step that raises the loss or that the stability guard refuses is not taken and raises the damping (Nielsen).
Converged when the loss that a full Gauss-Newton step could still gain is below `tolerance` times the loss.
The equations are dense, or those of multiple shooting (`_train_arrow.py`), which know how to solve themselves.
Reference: Nocedal and Wright, Numerical Optimization, 10.3; Nielsen, IMM-REP-1999-05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .._types import Array
    from ._train_journal import Journal
    from ._train_objective import Objective

SINGULAR = 1e-9  # directions of JtJ (scaled to unit diagonal) below this are the freedom of basis
EXACT = 1e-24  # mean squared error of standardised targets that is rounding
ADAPT = 3  # iterations between two choices of the prior's strength


def attainable(JtJ: Array, Jtr: Array) -> float:
    """Loss that a full Gauss-Newton step would gain, outside the directions that change nothing."""
    scale = np.sqrt(np.maximum(np.diag(JtJ), 1e-300))
    values, vectors = np.linalg.eigh(JtJ / np.outer(scale, scale))
    along = vectors.T @ (Jtr / scale)
    sure = values > SINGULAR * max(values[-1], 1e-300)
    return float((along[sure] ** 2 / values[sure]).sum())


@dataclass(slots=True)
class Dense:
    """Normal equations JtJ (P, P) and Jtr (P,) of a vector of weights."""

    JtJ: Array
    Jtr: Array

    def diagonal(self) -> Array:
        """The diagonal of JtJ."""
        return np.diag(self.JtJ)

    def step(self, shift: Array) -> Array:
        """Solve (JtJ + diag(shift)) step = -Jtr."""
        step: Array = np.linalg.solve(self.JtJ + np.diag(shift), -self.Jtr)
        return step

    def gain(self, step: Array, shift: Array) -> float:  # noqa: ARG002
        """What a step gains, were the residuals linear."""
        return float(-(2 * self.Jtr @ step + step @ self.JtJ @ step))

    def attainable(self) -> float:
        """Loss that a full step would gain."""
        return attainable(self.JtJ, self.Jtr)


def levenberg_marquardt(
    objective: Objective, theta: Array, journal: Journal, *, phase: str, max_iterations: int, tolerance: float
) -> tuple[Array, bool, str]:
    """Weights, whether converged, and a word why it ended. The best weights also stay in the objective."""
    record = objective.resume(journal)
    if record is not None and record["ended"]:
        return record["theta"], record["done"], record["word"]
    theta = theta if record is None else record["theta"]
    data: Any = objective.normal_equations(theta)
    loss, equations = objective.linearised(theta, data)
    if not np.isfinite(loss):
        return objective.ended(journal, theta, False, "the network overflows at the start")
    objective.keep(theta, loss)
    diagonal = equations.diagonal()
    scale = np.maximum(diagonal, 1e-12 * max(diagonal.max(), 1e-300))
    damping, growth, small, began = 1e-2, 2.0, 0, 0
    if record is not None:
        scale, damping, small, began = (record[name] for name in ("scale", "damping", "small", "iteration"))
    refused = False
    for iteration in range(began, max_iterations):
        objective.store(journal, theta, {"scale": scale, "damping": damping, "small": small, "iteration": iteration})
        journal.note(phase, iteration, loss, objective.radius(theta), damping)
        if equations.attainable() <= tolerance * loss:
            return objective.ended(journal, theta, True, "converged")
        while True:
            step = equations.step(damping * scale)
            trial = theta + step
            predicted = equations.gain(step, damping * scale)
            refused = not objective.is_stable(trial)
            new_data = None if refused else objective.normal_equations(trial)
            new = (np.inf, equations) if new_data is None else objective.linearised(trial, new_data)
            gain = (loss - new[0]) / predicted if np.isfinite(new[0]) and predicted > 0 else -1.0
            if gain > 1e-4:
                break
            damping, growth = damping * growth, growth * 2
            if damping > 1e12:
                return objective.ended(journal, theta, *_stalled(refused, small, loss))
            journal.check()
        small = small + 1 if loss - new[0] <= tolerance * loss else 0
        theta, data, (loss, equations) = trial, new_data, new
        objective.keep(theta, loss)
        if iteration % ADAPT == ADAPT - 1:
            objective.adapt(theta, data)
            loss, equations = objective.linearised(theta, data)
        scale = np.maximum(scale, equations.diagonal())
        damping, growth = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-14), 2.0
        if small >= 5:
            return objective.ended(
                journal, theta, True, "converged: five steps in a row gained less than the tolerance"
            )
    return objective.ended(journal, theta, False, f"max_iterations={max_iterations} reached")


def _stalled(refused: bool, small: int, loss: float) -> tuple[bool, str]:
    if loss < EXACT:
        return True, "converged: the targets are met to rounding"
    if refused:
        return False, "stopped at the stability limit: every further step has an unstable U"
    return small > 0, "no step lowers the loss any more (rounding)"
