# SPDX-License-Identifier: BSD-3-Clause
"""Standardised data for training, and the exact way of a network into their units and back.

``x_s = (x - x_mean) / x_std`` and, where the output is linear, ``y_s = L^-1 (y - y_mean)``. A network on scaled data
is one on the user's data with other weights:
``W = W_s / x_std``, ``b = b_s - W x_mean``, ``V = L V_s``, ``D = L D_s / x_std``, ``c = L c_s + y_mean - D x_mean``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..rnn._problem import Problem, counted, within

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Cell


@dataclass(frozen=True, slots=True)
class Scaling:
    """Means and scales of the inputs (i,), and mean (o,) and factor L (o, o) of the targets."""

    x_mean: Array
    x_std: Array
    y_mean: Array
    L: Array

    @classmethod
    def of(cls, problem: Problem, *, linear_output: bool, centred: bool) -> Scaling:
        """Scaling that standardises the inputs and, if the output is linear, the counted targets; means if `centred`."""
        x = problem.x.reshape(-1, problem.x.shape[2])
        if problem.lengths is not None:
            x = x[np.broadcast_to(within(problem.lengths, problem.x), (*problem.x.shape[:2], 1)).ravel()]
        outputs = cast("Array", problem.y).shape[2]
        y_mean, y_std = np.zeros(outputs), np.ones(outputs)
        if linear_output:
            y, used = cast("Array", problem.y), counted(problem) > 0
            for j in range(outputs):
                values = y[:, :, j][used[:, :, j]]
                if len(values):
                    y_mean[j], y_std[j] = values.mean(), _positive(values.std())
        keep = 1.0 if centred else 0.0
        return cls(
            keep * x.mean(axis=0), np.array([_positive(v) for v in x.std(axis=0)]), keep * y_mean, np.diag(y_std)
        )

    def data(self, problem: Problem) -> Problem:
        """The problem with scaled data."""
        y = (
            (cast("Array", problem.y) - self.y_mean) @ np.linalg.inv(self.L).T
            if len(self.L) > 1
            else (cast("Array", problem.y) - self.y_mean) / self.L[0, 0]
        )
        return replace(problem, x=(problem.x - self.x_mean) / self.x_std, y=y)

    def into(self, rnn: Any) -> Any:
        """The network on scaled data that does what `rnn` does on the user's."""
        changes = {"W": rnn.W * self.x_std, "b": rnn.b + rnn.W @ self.x_mean}
        if getattr(rnn, "B", None) is not None:
            changes["B"] = rnn.B * self.x_std
        if rnn.V is None:
            return rnn.replace(**changes)
        return rnn.replace(**changes, **self.readout_into(rnn))

    def readout_into(self, rnn: Any) -> dict[str, Any]:
        """V, c and D of `into`."""
        inverse = np.linalg.inv(self.L)
        direct = np.zeros((rnn.dims.outputs, rnn.dims.inputs)) if rnn.D is None else rnn.D
        return {
            "V": inverse @ rnn.V,
            "c": inverse @ (rnn.c - self.y_mean + direct @ self.x_mean),
            "D": None if rnn.D is None else inverse @ rnn.D * self.x_std,
        }

    def out_of(self, scaled: Any) -> Any:
        """The network on the user's data that does what `scaled` does on scaled data."""
        W = scaled.W / self.x_std
        changes = {"W": W, "b": scaled.b - W @ self.x_mean}
        if getattr(scaled, "B", None) is not None:
            changes["B"] = scaled.B / self.x_std
        if scaled.V is None:
            return scaled.replace(**changes)
        return scaled.replace(**changes, **self.readout_out_of(scaled))

    def readout_out_of(self, scaled: Any) -> dict[str, Any]:
        """V, c and D of `out_of`."""
        D = None if scaled.D is None else self.L @ scaled.D / self.x_std
        c = self.L @ scaled.c + self.y_mean
        return {"V": self.L @ scaled.V, "D": D, "c": c if D is None else c - D @ self.x_mean}


def can_centre(net: Cell) -> bool:
    """Whether means can be taken off the data and put back into the weights: not past a skip path, which has no offset."""
    return net.V is not None and getattr(net, "B", None) is None


def residual_factor(problem: Problem, predicted: Array) -> Array | None:
    """Cholesky factor of the residuals' covariance, of mean variance 1; None for one output, for residuals that are white
    and equal within 1e-3, and where outputs are missing or weighted one by one (they cannot be mixed then).
    """
    y = cast("Array", problem.y)
    outputs = y.shape[2]
    weight = counted(problem)
    if outputs == 1 or (weight != weight[:, :, :1]).any():
        return None
    used = weight[:, :, 0] > 0
    errors = (predicted - y)[used]
    share = weight[:, :, 0][used]
    covariance = (errors * share[:, None]).T @ errors / share.sum()
    covariance *= outputs / max(np.trace(covariance), 1e-300)
    if (
        len(errors) < 4 * outputs
        or np.linalg.cond(covariance) > 1e10
        or np.abs(covariance - np.eye(outputs)).max() < 1e-3
    ):
        return None
    return np.linalg.cholesky(covariance)


def _positive(scale: float) -> float:
    """The scale, or 1 for a column that does not move."""
    return float(scale) if scale > 0 else 1.0
