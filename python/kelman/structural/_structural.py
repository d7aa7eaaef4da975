# SPDX-License-Identifier: BSD-3-Clause
"""`Structural`: components side by side, as a template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_floats, require_finite
from kelman.errors import KelmanError, ModelTypeError
from kelman.models import Template
from kelman.models._maps import AffineMap, Entries
from kelman.models._template_parse import Block, Parameter, Place
from kelman.models._transforms import Bounded
from kelman.structural._component import Component, VarianceComponent
from kelman.structural._regression_parts import lengthened
from kelman.structural._start import start_values
from kelman.structural._trend_parts import DampedTrend, make_irregular, make_trend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman._types import Array, ArrayLike
    from kelman.models._maps import EntryMap

_SAME_ROOT = 1e-9


class Structural(Template):
    """A sum of components, as a `Template`: what `kelman.fit` takes.

    Made by the functions of `kelman.structural` and by ``+``; never changes. The states of the components stand one after the
    other: A, Q and the start are block-diagonal, the rows of H side by side.

    Attributes
    ----------
    components : tuple
        The components, each with its `name`.
    states : dict of str to slice
        Which states belong to which component.

    Examples
    --------
    >>> from kelman import structural
    >>> s = structural.trend() + structural.seasonal(12)
    >>> s
    Structural(trend + seasonal(12) + irregular; n=13, m=1; 4 free)
    >>> s.states["seasonal(12)"]
    slice(2, 13, None)
    >>> s.model([1.0, 0.1, 0.1, 2.0]).A.shape
    (13, 13)
    """

    components: tuple[Component, ...]
    states: dict[str, slice]

    def __init__(self, components: Sequence[Component]) -> None:
        self._given = tuple(components)
        parts = _completed(_merged(self._given))
        _refuse_twins(parts)
        self.components = parts
        ends = np.cumsum([0, *(part.n for part in parts)])
        self.states = {
            part.name: slice(int(first), int(stop)) for part, first, stop in zip(parts, ends, ends[1:], strict=False)
        }
        targets = [(i, name, place) for i, part in enumerate(parts) for name, place in part.targets]
        fields = sorted({name for _, name, _ in targets})
        order = np.array([k for name in fields for k, target in enumerate(targets) if target[1] == name], dtype=np.intp)
        places, at = [], 0
        for name in fields:
            chosen = [(i, place) for i, field, place in targets if field == name]
            index = np.array([_moved(name, place, int(ends[i])) for i, place in chosen], dtype=np.intp)
            places.append(Place(name, tuple(index.T), slice(at, at + len(chosen))))
            at += len(chosen)
        self._assemble(
            _joined(parts, places), _parameters(parts), _blocks(parts), places, _map(parts, order), "auto", 0
        )

    def __add__(self, other: Any) -> Structural:
        if not isinstance(other, Structural):
            return NotImplemented
        return Structural(self._given + other._given)

    def __repr__(self) -> str:
        names = " + ".join(part.name for part in self.components if part.kind != "nothing")
        return f"Structural({names}; n={self.n}, m={self.dims.m}; {self.size} free)"

    @property
    def n(self) -> int:
        """Number of states."""
        return self.dims.n

    def start_from(self, z: ArrayLike) -> Array:
        """Return start values for a fit to some data.

        Parameters
        ----------
        z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
            Measurements; NaN = missing.

        Returns
        -------
        ndarray, shape (K,)
            Natural parameters: variances in proportion to the data's, their proportions the best of a coarse search;
            coefficients by regressions; a cycle at the strongest frequency.

        Raises
        ------
        KelmanError
            If z does not fit the model.

        Examples
        --------
        >>> import kelman
        >>> level = kelman.structural.level()
        >>> theta = level.start_from(kelman.datasets.nile().z)
        >>> bool(1e2 < theta[0] < 1e5)
        True
        """
        return start_values(self, z)

    def extended(self, future: Any) -> Structural:
        """Return the model with more rows of the regression variables, as a forecast needs them.

        Parameters
        ----------
        future : array_like, shape (steps,) or (steps, k), or dict of str to array_like
            The rows of X behind the present ones; by the name of the component if there are several regressions.

        Returns
        -------
        Structural
            The same parameters; `kelman.forecast` takes its ``.model(theta)``.

        Raises
        ------
        KelmanError
            If there is no such regression, or the columns do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import kelman
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=60)
        >>> s = kelman.structural.level() + kelman.structural.regression(x[:50])
        >>> longer = s.extended(x[50:])
        >>> f = kelman.forecast(longer.model([0.1, 1.0]), 2 * x[:50] + rng.normal(size=50), 10)
        >>> f.mean.shape
        (10, 1)
        """
        present = [part.name for part in self._given if part.kind == "regression"]
        if not present:
            raise KelmanError("extended: no component of this model varies in time")
        if not isinstance(future, dict):
            if len(present) > 1:
                raise KelmanError(f"future: several regressions; give a dict with the keys {', '.join(present)}")
            future = {present[0]: future}
        if set(future) != set(present):
            raise KelmanError(f"future: expected the keys {', '.join(present)}, got {', '.join(map(str, future))}")
        rows = {}
        for name, value in future.items():
            table = as_floats(value, "future").astype(np.float64)
            rows[name] = table[:, None] if table.ndim == 1 else table
            require_finite(rows[name], "future")
        return Structural([lengthened(part, rows[part.name]) if part.name in rows else part for part in self._given])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._given,)


def require_structural(value: Any, name: str) -> Structural:
    """Return a structural model, or raise."""
    if not isinstance(value, Structural):
        raise ModelTypeError(f"{name}: expected a Structural (level() + ...), got a {type(value).__name__}")
    return value


def _merged(parts: tuple[Component, ...]) -> tuple[Component, ...]:
    """Make one trend of a level and a trend, and give components of one name numbers."""
    levels = [part for part in parts if part.kind == "level"]
    trends = [part for part in parts if part.kind == "trend"]
    if len(levels) == 1 and len(trends) == 1:
        slots = {slot.name: slot.value for part in (trends[0], levels[0]) for slot in _slots(part)}
        kind = "damped" if isinstance(trends[0], DampedTrend) else "local linear"
        joint = make_trend(kind, trends[0].name, slots["variance"], slots["slope_variance"])
        parts = tuple(joint if part is trends[0] else part for part in parts if part is not levels[0])
    names: dict[str, int] = {}
    result = []
    for part in parts:
        names[part.name] = names.get(part.name, 0) + 1
        if names[part.name] > 1:
            new = f"{part.name} {names[part.name]}"
            renamed = tuple(s._replace(name=s.name.replace(part.name, new, 1)) for s in part.signals)
            part = replace(part, name=new, signals=renamed)
        result.append(part)
    return tuple(result)


def _slots(part: Component) -> tuple[Any, ...]:
    return part.slots if isinstance(part, VarianceComponent) else ()


def _completed(parts: tuple[Component, ...]) -> tuple[Component, ...]:
    """Check that the parts measure the same values, and add measurement noise where it is not said."""
    sizes = {part.m for part in parts}
    if len(sizes) > 1:
        shown = ", ".join(f"{part.name} {part.m}" for part in parts)
        raise KelmanError(
            f"components: expected one number of measured values, got {shown}; give m= where it can be given"
        )
    noise = [part.name for part in parts if "R" in part.base]
    if len(noise) > 1:
        raise KelmanError(f"components: only one may bring measurement noise, got {' and '.join(noise)}")
    lengths = {part.base["H"].shape[0] for part in parts if part.n and part.base["H"].ndim == 3}
    if len(lengths) > 1:
        raise KelmanError(f"regression: X must have the same number of rows everywhere, got {sorted(lengths)}")
    if all(part.n == 0 for part in parts):
        zero = {"A": np.zeros((1, 1)), "H": np.zeros((parts[0].m, 1)), "P1": np.zeros((1, 1))}
        parts = (Component(kind="nothing", name="nothing", base=zero), *parts)
    return parts if any(part.noisy for part in parts) else (*parts, make_irregular(None, parts[0].m))


def _refuse_twins(parts: tuple[Component, ...]) -> None:
    """Refuse components that no data can tell apart: the same eigenvalue on the unit circle twice, or a mean beside a level."""
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            if len(one.roots) and len(other.roots):
                gap = np.abs(one.roots[:, None] - other.roots)
                if gap.min() < _SAME_ROOT:
                    angle = abs(float(np.angle(one.roots[np.unravel_index(gap.argmin(), gap.shape)[0]])))
                    what = "level" if angle < _SAME_ROOT else f"pattern of period {2 * np.pi / angle:.6g}"
                    raise KelmanError(
                        f"components: {one.name} and {other.name} both have a {what}: the data cannot tell them apart"
                    )
    flat = [part.name for part in parts if (np.abs(part.roots - 1) < _SAME_ROOT).any()]
    means = [part for part in parts if any(name == "c" for name, _ in part.targets)]
    own = [part for part in means if not any(name == "b" for name, _ in part.targets)]
    if len(means) > 1 or (own and flat):
        beside = means[1].name if len(means) > 1 else flat[0]
        raise KelmanError(f"components: the mean of {means[0].name} cannot be told from {beside}; use mean=False")


def _moved(name: str, place: tuple[int, ...], offset: int) -> tuple[int, ...]:
    """A place of a component in the arrays of the whole."""
    if name in ("c", "R"):
        return place
    return (place[0], place[1] + offset) if name == "H" else tuple(i + offset for i in place)


def _joined(parts: tuple[Component, ...], places: Sequence[Place]) -> dict[str, Array | None]:
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


def _parameters(parts: tuple[Component, ...]) -> list[Parameter]:
    rows = []
    for part in parts:
        bounds: list[tuple[float, float]] = []
        for transform in part.transforms:
            one = (transform.lower, transform.upper) if isinstance(transform, Bounded) else (-np.inf, np.inf)
            bounds += [one] * transform.size
        field = part.targets[0][0] if part.targets else ""
        for name, variance, (low, high) in zip(part.parameters, part.variances, bounds, strict=True):
            rows.append(Parameter(f"{part.name}.{name}", np.nan, low, high, None, "Q" if variance else field, variance))
    return rows


def _blocks(parts: tuple[Component, ...]) -> list[Block]:
    blocks, at = [], 0
    for part in parts:
        for transform in part.transforms:
            blocks.append(Block(transform, np.arange(at, at + transform.size)))
            at += transform.size
    return blocks


def _map(parts: tuple[Component, ...], order: Array) -> EntryMap:
    joint = BlockMap(parts, order)
    if all(type(part) is VarianceComponent or not part.parameters for part in parts):
        entries = joint.entries(np.ones(joint.size))
        return AffineMap(np.zeros(len(entries.values)), entries.rows, entries.cols, entries.slopes)
    return joint


@dataclass(frozen=True, eq=False)
class BlockMap:
    """The entries of each component by its own parameters, in the order of the fields."""

    parts: tuple[Component, ...]
    order: Array

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(len(part.parameters) for part in self.parts)

    def entries(self, theta: Array) -> Entries:
        """Return the entries of theta (..., K)."""
        flat = theta.reshape(int(np.prod(theta.shape[:-1])), self.size)
        rows, cols = self._pattern()
        values, slopes = [], []
        for one in flat:
            numbers, matrices, at = [], [], 0
            for part in self.parts:
                count = len(part.parameters)
                number, slope = part.entries(one[at : at + count])
                numbers.append(number)
                matrices.append(slope[part.pattern])
                at += count
            values.append(np.concatenate(numbers)[self.order])
            slopes.append(np.concatenate(matrices))
        lead = theta.shape[:-1]
        count = len(self.order)
        return Entries(np.array(values).reshape(*lead, count), rows, cols, np.array(slopes).reshape(*lead, len(rows)))

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
