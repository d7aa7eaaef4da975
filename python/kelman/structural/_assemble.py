# SPDX-License-Identifier: BSD-3-Clause
"""From components to the parts of a template: arrays, parameters, transforms, and the map to the entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.models import Free
from kelman.models._maps import AffineMap, Entries
from kelman.models._template_parse import Block, Parameter, Place
from kelman.models._transforms import Bounded
from kelman.structural._component import Component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman._types import Array
    from kelman.models._maps import EntryMap


def moved(name: str, place: tuple[int, ...], offset: int) -> tuple[int, ...]:
    """A place of a component in the arrays of the whole."""
    if name in ("c", "R"):
        return place
    return (place[0], place[1] + offset) if name == "H" else tuple(i + offset for i in place)


def joined(parts: tuple[Component, ...], places: Sequence[Place]) -> dict[str, Array | None]:
    """The arrays of the whole, without what the parameters add."""
    n, m = sum(part.n for part in parts), parts[0].m
    timed = [part.base["H"].shape[0] for part in parts if part.n and part.base["H"].ndim == 3]
    whole: dict[str, Array] = {name: np.zeros((n, n)) for name in ("A", "Q", "P1", "P1_inf")}
    whole |= {"H": np.zeros((*timed[:1], m, n)), "R": np.zeros((m, m)), "m1": np.zeros(n)}
    at = 0
    for part in parts:
        here = slice(at, at + part.n)
        for name in ("A", "Q", "P1", "P1_inf"):
            if name in part.base:
                whole[name][here, here] = part.base[name]
        if part.n:
            whole["H"][..., here] = part.base["H"]
        if "R" in part.base:
            whole["R"] = part.base["R"].copy()
        at += part.n
    for place in places:
        if place.field in ("b", "c"):
            whole[place.field] = np.zeros(n if place.field == "b" else m)
    result: dict[str, Array | None] = dict(whole)
    if not whole["P1_inf"].any():
        result["P1_inf"] = None
    return result


def parameters(parts: tuple[Component, ...], start: dict[str, float], prior: dict[str, Any]) -> list[Parameter]:
    rows = []
    for part in parts:
        bounds: list[tuple[float, float]] = []
        for transform in part.transforms:
            one = (transform.lower, transform.upper) if isinstance(transform, Bounded) else (-np.inf, np.inf)
            bounds += [one] * transform.size
        first = part.targets[0][0] if part.targets else ""
        for name, variance, (low, high) in zip(part.parameters, part.variances, bounds, strict=True):
            label = f"{part.name}.{name}"
            free = Free(start.get(label), low, high, name=label, prior=prior.get(label))
            begin = np.nan if free.start is None else float(free.start)
            rows.append(Parameter(label, begin, low, high, free.prior, "Q" if variance else first, variance))
    names = [row.name for row in rows]
    for word, known in (("start", start), ("prior", prior)):
        unknown = [name for name in known if name not in names]
        if unknown:
            raise KelmanError(f"{word}: no parameter {unknown[0]!r}; there are {', '.join(names)}")
    return rows


def blocks(parts: tuple[Component, ...]) -> list[Block]:
    blocks, at = [], 0
    for part in parts:
        for transform in part.transforms:
            blocks.append(Block(transform, np.arange(at, at + transform.size)))
            at += transform.size
    return blocks


def entry_map(parts: tuple[Component, ...], order: Array) -> EntryMap:
    joint = BlockMap(parts, order)
    if all(part.affine for part in parts):
        entries = joint.entries(np.ones(joint.size))
        return AffineMap(np.zeros(len(entries.values)), entries.rows, entries.cols, entries.slopes)
    return joint


@dataclass(frozen=True, eq=False)
class BlockMap:
    """The entries of each component by its own parameters, in the order of the fields."""

    parts: tuple[Component, ...]
    order: Array
    _last: dict[str, tuple[Array, Entries]] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(len(part.parameters) for part in self.parts)

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta (..., K)."""
        last = self._last.get("entries")
        if last is not None and np.array_equal(last[0], theta):
            return last[1]
        flat = theta.reshape(int(np.prod(theta.shape[:-1])), self.size)
        rows, cols = self._pattern()
        values, slopes, at = [], [], 0
        for part in self.parts:
            count = len(part.parameters)
            value, slope = part.entries(flat[:, at : at + count])
            values.append(value)
            slopes.append(slope[:, part.pattern])
            at += count
        lead = theta.shape[:-1]
        entries = Entries(
            np.concatenate(values, axis=1)[:, self.order].reshape(*lead, len(self.order)),
            rows,
            cols,
            np.concatenate(slopes, axis=1).reshape(*lead, len(rows)),
        )
        self._last["entries"] = theta.copy(), entries  # a model and its gradient are asked for one after the other
        return entries

    def _pattern(self) -> tuple[Array, Array]:
        placed = np.empty(len(self.order), dtype=np.intp)
        placed[self.order] = np.arange(len(self.order))
        rows, cols, entry, column = [], [], 0, 0
        for part in self.parts:
            own_rows, own_cols = np.nonzero(part.pattern)
            rows.append(placed[own_rows + entry])
            cols.append(own_cols + column)
            entry += len(part.targets)
            column += len(part.parameters)
        return np.concatenate(rows), np.concatenate(cols)
