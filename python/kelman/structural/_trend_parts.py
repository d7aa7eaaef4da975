# SPDX-License-Identifier: BSD-3-Clause
"""The components behind `level`, `trend` and `irregular`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.models._transforms import Bounded
from kelman.structural._component import Component, Signal, Slot, Target, VarianceComponent, given_variance
from kelman.structural._wide import widen

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record


def make_trend(kind: str, name: str, level_variance: float | None, slope_variance: float | None) -> Component:
    """Return the component of a trend."""
    signals = (Signal(name, np.array([[1.0, 0.0]])), Signal(f"{name} slope", np.array([[0.0, 1.0]]), additive=False))
    slots = (
        Slot("level_variance", level_variance, (("Q", (0, 0)),), 0.1),
        Slot("slope_variance", slope_variance, (("Q", (1, 1)),), 0.01),
    )
    base = {"A": np.array([[1.0, 1.0], [0.0, 1.0]]), "H": np.array([[1.0, 0.0]]), "Q": np.zeros((2, 2))}
    if kind != "damped":
        return VarianceComponent(
            kind="trend",
            name=name,
            base=base | {"P1_inf": np.eye(2)},
            slots=slots,
            roots=np.ones(2, dtype=complex),
            signals=signals,
        )
    if slope_variance == 0:
        raise KelmanError("slope_variance: a damped slope without noise is zero; use level() alone")
    base |= {"P1": np.zeros((2, 2)), "P1_inf": np.diag([1.0, 0.0])}
    return DampedTrend(
        kind="trend", name=name, base=base, slots=slots, roots=np.ones(1, dtype=complex), signals=signals
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class DampedTrend(VarianceComponent):
    """A trend whose slope returns to zero."""

    @property
    def affine(self) -> bool:
        """The stationary variance of the slope is a quotient."""
        return False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The free variances, and the damping."""
        return (*super().parameters, "damping")

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Logarithms, and the logit of the damping."""
        return (*super().transforms, Bounded(0.0, 1.0))

    @property
    def targets(self) -> tuple[Target, ...]:
        """The free variances, A[1, 1], and the stationary variance of the slope."""
        return (*super().targets, ("A", (1, 1)), ("P1", (1, 1)))

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return the variances, the damping phi and q / (1 - phi^2)."""
        values, slopes = super().entries(theta[:, :-1])
        phi = theta[:, -1]
        names = super().parameters
        rest = 1.0 - phi**2
        given = next(slot.value for slot in self.slots if slot.name == "slope_variance")
        q = theta[:, names.index("slope_variance")] if given is None else np.full(len(theta), given)
        more = np.zeros((len(theta), 2, theta.shape[1]))
        more[:, 0, -1] = 1.0
        more[:, 1, -1] = 2 * q * phi / rest**2
        if given is None:
            more[:, 1, names.index("slope_variance")] = 1.0 / rest
        wide = np.concatenate([slopes, np.zeros((*values.shape, 1))], axis=2)
        return np.column_stack([values, phi, q / rest]), np.concatenate([wide, more], axis=1)

    @property
    def pattern(self) -> Array:
        """Variances at their places, the damping and the slope's variance in the last two."""
        return np.ones((len(self.targets), len(self.parameters)), dtype=bool)

    def start(self, record: Record) -> Array:
        """Return shares of the data's variance, and a damping of 0.9."""
        return np.append(super().start(record), 0.9)


def make_irregular(variance: float | None, m: int, name: str = "irregular", covariance: str = "full") -> Component:
    """Return the component of white measurement noise."""
    one = VarianceComponent(
        kind="irregular",
        name=name,
        base={"R": np.zeros((1, 1))},
        slots=(Slot("variance", given_variance(variance, "variance"), (("R", (0, 0)),), 0.5),),
    )
    return widen(one, m, covariance)
