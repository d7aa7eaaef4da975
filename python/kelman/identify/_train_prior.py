# SPDX-License-Identifier: BSD-3-Clause
"""A Gaussian prior around the start of a training, whose strength the data choose.

Every weight has the prior N(its start, deviation^2 / strength), the deviation being the root mean square of its array.
Groups of arrays (U; W and b; V; the rest) have a strength each, which maximises the evidence: with the curvature
H = N / noise JtJ, C = (H + strength / deviation^2)^-1 and d the weights' distance from their start,
    known = count - strength sum C_ii / deviation^2,    strength <- known / sum d^2 / deviation^2
What the data do not speak of stays at the start (a linear model), what they speak of is free.
Reference: MacKay, Neural Computation 4 (1992) 415; Foresee and Hagan, Proc. ICNN 1997 (in Levenberg-Marquardt).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .._types import Array

GROUPS = {"U": 0, "A": 0, "P": 0, "W": 1, "B": 1, "b": 1, "d": 1, "V": 2, "c": 3, "D": 3, "h0": 3, "c0": 3}
ALIKE = {"U": "A", "W": "B", "P": "U", "d": "W"}  # where an array is zero, it may move as far as this other one
WEAKEST, STRONGEST = 1e-2, 1e4


@dataclass(slots=True)
class Prior:
    """Centre, deviation, group and strength of every weight; `noise` is the noise variance over the count of targets."""

    centre: Array
    deviation: Array
    group: Array
    strength: Array
    noise: float
    adaptive: bool

    @classmethod
    def around(cls, weights: dict[str, Array], strength: float, noise: float, *, adaptive: bool) -> Prior:
        """The prior around these weights."""
        size = {name: float(np.sqrt(np.mean(value**2))) for name, value in weights.items()}
        size |= {name: size.get(ALIKE[name], 0.0) for name in ALIKE if size.get(name) == 0}
        size |= {"b": size["W"], "c": 1.0, "D": 1.0, "h0": 1.0, "c0": 1.0}
        counts = [value.size for value in weights.values()]
        return cls(
            centre=np.concatenate([value.ravel() for value in weights.values()]),
            deviation=np.repeat([max(size[name], 1e-3) for name in weights], counts),
            group=np.repeat([GROUPS[name] for name in weights], counts),
            strength=np.full(sum(counts), strength),
            noise=noise,
            adaptive=adaptive,
        )

    def weight(self) -> Array:
        """What each squared distance from the centre adds to the loss."""
        result: Array = self.strength * self.noise / self.deviation**2
        return result

    def add(self, theta: Array, loss: float, gradient: Array) -> tuple[float, Array]:
        """Loss and gradient with the prior's part."""
        weight, away = self.weight(), theta - self.centre
        return loss + float(weight @ away**2), gradient + 2 * weight * away

    def add_normal(self, theta: Array, loss: float, JtJ: Array, Jtr: Array) -> tuple[float, Array, Array]:
        """Normal equations with the prior's part."""
        weight, away = self.weight(), theta - self.centre
        return loss + float(weight @ away**2), JtJ + np.diag(weight), Jtr + weight * away

    def _unknown(self, JtJ: Array, noise: float) -> Array:
        """Posterior over prior variance of every weight: 1 where the data say nothing."""
        scaled = JtJ / noise * np.outer(self.deviation, self.deviation)
        part: Array = self.strength * np.diag(np.linalg.inv(scaled + np.diag(self.strength)))
        return np.clip(part, 0, 1)

    def known(self, JtJ: Array, loss: float, count: float) -> float:
        """How many weights the data determine."""
        return float((1 - self._unknown(JtJ, loss / count)).sum())

    def adapt(self, theta: Array, JtJ: Array, loss: float, count: float) -> None:
        """Choose the strengths anew, from the normal equations of the data alone."""
        self.noise = loss / count
        known = 1 - self._unknown(JtJ, self.noise)
        away = ((theta - self.centre) / self.deviation) ** 2
        for group in np.unique(self.group):
            own = self.group == group
            wanted = float(known[own].sum()) / max(float(away[own].sum()), 1e-12)
            self.strength[own] = np.clip(wanted, WEAKEST, STRONGEST)
