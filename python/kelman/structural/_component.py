# SPDX-License-Identifier: BSD-3-Clause
"""What a part of a structural model is: blocks of arrays, parameters, the entries they move, and what can be seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kelman.errors import KelmanError
from kelman.models._transforms import Bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman._types import Array
    from kelman.models._transforms import Transform
    from kelman.structural._data import Record

Target = tuple[str, tuple[int, ...]]
"""A field of the model and a place in it: ("Q", (0, 0)), ("c", (1,))."""

POSITIVE = Bounded(0.0, np.inf)


class Signal(NamedTuple):
    """Something to extract: rows (k, n) or (T, k, n) of the component's states, and whether it is a summand of z."""

    name: str
    rows: Array
    additive: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Component:
    """One summand of the measurements.

    Attributes
    ----------
    kind, name : str
        What it is, and what it is called; parameters are called ``name.parameter``.
    base : dict of str to ndarray
        A (n, n), H (m, n) or (T, m, n), Q, R (m, m), P1, P1_inf, c and b, where they are not zero, with every number that no
        parameter moves.
    roots : ndarray of complex
        Eigenvalues of A on the unit circle, those of the exactly diffuse states.
    signals : tuple of Signal
        What `components` extracts.
    """

    kind: str
    name: str
    base: dict[str, Array]
    roots: Array = field(default_factory=lambda: np.zeros(0, dtype=complex))
    signals: tuple[Signal, ...] = ()

    @property
    def n(self) -> int:
        """Number of states."""
        return len(self.base["A"]) if "A" in self.base else 0

    @property
    def m(self) -> int:
        """Number of measured values."""
        return int((self.base["H"] if "H" in self.base else self.base["R"]).shape[-2])

    @property
    def noisy(self) -> bool:
        """Whether the component brings the measurement's noise, or needs none."""
        return False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        return ()

    @property
    def variances(self) -> tuple[bool, ...]:
        """Whether each parameter is a variance, so that it grows with the square of the data's unit."""
        return tuple(name.endswith("variance") for name in self.parameters)

    @property
    def groups(self) -> list[list[int]]:
        """Numbers of the parameters that a search for proportions of variances moves together."""
        return [[k] for k, variance in enumerate(self.variances) if variance]

    @property
    def affine(self) -> bool:
        """Whether the entries are affine functions of the parameters."""
        return not self.parameters

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """How each block of parameters is freed of its bounds."""
        return ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Places of the block that parameters move."""
        return ()

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return the numbers at the targets, (L, E), and their derivatives by theta (L, K), (L, E, K), of L vectors."""
        return np.zeros((len(theta), 0)), np.zeros((len(theta), 0, theta.shape[1]))

    @property
    def pattern(self) -> Array:
        """Which derivatives may differ from zero, (E, K)."""
        return np.ones((len(self.targets), len(self.parameters)), dtype=bool)

    def start(self, record: Record) -> Array:  # noqa: ARG002
        """Return start values of the parameters for a record."""
        return np.zeros(0)


class Slot(NamedTuple):
    """A variance: its name, its value (None: free), the places that it fills, and its share of the data's variance."""

    name: str
    value: float | None
    targets: tuple[Target, ...]
    share: float


@dataclass(frozen=True, eq=False, kw_only=True)
class VarianceComponent(Component):
    """A component whose only parameters are variances, each filling some places of Q or R."""

    slots: tuple[Slot, ...] = ()

    def __post_init__(self) -> None:
        """Write the variances that are given into the arrays."""
        filled = {name: array.copy() for name, array in self.base.items()}
        for slot in self.slots:
            for name, place in slot.targets:
                if slot.value is not None:
                    filled[name][place] = slot.value
        object.__setattr__(self, "base", filled)

    @property
    def noisy(self) -> bool:
        """Whether this is the measurement's noise."""
        return self.kind == "irregular"

    @property
    def affine(self) -> bool:
        """Variances are the entries themselves."""
        return True

    @property
    def free(self) -> tuple[Slot, ...]:
        """The variances that are not given."""
        return tuple(slot for slot in self.slots if slot.value is None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the free variances."""
        return tuple(slot.name for slot in self.free)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """Logarithms."""
        return (POSITIVE,) * len(self.free)

    @property
    def targets(self) -> tuple[Target, ...]:
        """Places of the free variances."""
        return tuple(target for slot in self.free for target in slot.targets)

    def entries(self, theta: Array) -> tuple[Array, Array]:
        """Return each variance at its places."""
        L, K = theta.shape
        which = self._which
        one = (which[:, None] == np.arange(K)).astype(np.float64)
        return theta[:, which], np.broadcast_to(one, (L, *one.shape))

    @property
    def _which(self) -> Array:
        return np.array([k for k, slot in enumerate(self.free) for _ in slot.targets], dtype=np.intp)

    @property
    def pattern(self) -> Array:
        """Each variance at its own places."""
        return np.asarray(self._which[:, None] == np.arange(len(self.free)))

    def start(self, record: Record) -> Array:
        """Return each variance as its share of the data's."""
        return np.array([slot.share * record.scale for slot in self.free])


def given_variance(value: Any, name: str) -> float | None:
    """Return a variance that is given, or None for a free one."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise KelmanError(f"{name}: expected None (free) or a number of at least 0, got {value!r:.60}")
    if not (np.isfinite(value) and value >= 0):
        raise KelmanError(f"{name}: expected None (free) or a finite number of at least 0, got {value!r:.60}")
    return float(value)


def called(value: Any, default: str) -> str:
    """Return the name of a component."""
    if value is None:
        return default
    if not isinstance(value, str) or not value:
        raise KelmanError(f"name: expected a text, got {value!r:.60}")
    return value


def square_places(field_name: str, rows: Sequence[int]) -> tuple[Target, ...]:
    """Places of a whole square block, row by row."""
    return tuple((field_name, (i, j)) for i in rows for j in rows)
