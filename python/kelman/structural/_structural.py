# SPDX-License-Identifier: BSD-3-Clause
"""`Structural`: components side by side, as a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_floats, require_finite
from kelman.errors import KelmanError, ModelTypeError
from kelman.models import Template
from kelman.models._template_parse import Place
from kelman.structural._assemble import blocks, entry_map, joined, moved, parameters
from kelman.structural._regression_parts import lengthened
from kelman.structural._rules import completed, merged, refuse_twins
from kelman.structural._start import start_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kelman._types import Array, ArrayLike
    from kelman.structural._component import Component


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

    def __init__(
        self,
        components: Sequence[Component],
        *,
        start: Mapping[str, float] | None = None,
        prior: Mapping[str, Any] | None = None,
    ) -> None:
        self._given = tuple(components)
        self._known = dict(start or {}), dict(prior or {})
        parts = completed(merged(self._given))
        refuse_twins(parts)
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
            index = np.array([moved(name, place, int(ends[i])) for i, place in chosen], dtype=np.intp)
            places.append(Place(name, tuple(index.T), slice(at, at + len(chosen))))
            at += len(chosen)
        self._assemble(
            joined(parts, places),
            parameters(parts, *self._known),
            blocks(parts),
            places,
            entry_map(parts, order),
            "auto",
            0,
        )

    def __add__(self, other: Any) -> Structural:
        if not isinstance(other, Structural):
            return NotImplemented
        if any(self._known) or any(other._known):
            raise KelmanError("components: add them first, then say starts and priors of the sum")
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

    def with_start(self, start: Mapping[str, float]) -> Structural:
        """Return the model with some parameters beginning where it is told, the others where the data suggest.

        Parameters
        ----------
        start : mapping of str to float
            Name of a parameter -> natural value.

        Returns
        -------
        Structural

        Raises
        ------
        KelmanError
            If there is no parameter of a name, or a value is out of its bounds.

        Examples
        --------
        >>> from kelman import structural
        >>> s = structural.level() + structural.cycle((6, 48))
        >>> s.with_start({"cycle.frequency": 0.3}).start.round(2).tolist()
        [nan, nan, 0.3, nan, nan]
        """
        return Structural(self._given, start=self._known[0] | dict(start), prior=self._known[1])

    def with_prior(self, prior: Mapping[str, Any]) -> Structural:
        """Return the model with priors of some parameters: a fit is then the posterior mode.

        Parameters
        ----------
        prior : mapping of str to object
            Name of a parameter -> prior of its natural value, as in `kelman.Free`: a distribution with a method ``logpdf``, or
            a function that returns the log-density and its derivative.

        Returns
        -------
        Structural

        Raises
        ------
        KelmanError
            If there is no parameter of a name, or a prior is neither.

        Examples
        --------
        >>> import scipy.stats
        >>> import kelman
        >>> level = kelman.structural.level().with_prior({"level.variance": scipy.stats.invgamma(3, scale=4000)})
        >>> fit = kelman.fit(kelman.datasets.nile().z, template=level)
        >>> bool(1000 < fit.theta[0] < 1400)
        True
        """
        return Structural(self._given, start=self._known[0], prior=self._known[1] | dict(prior))

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
        parts = [lengthened(part, rows[part.name]) if part.name in rows else part for part in self._given]
        return Structural(parts, start=self._known[0], prior=self._known[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._given, *self._known)


def require_structural(value: Any, name: str) -> Structural:
    """Return a structural model, or raise."""
    if not isinstance(value, Structural):
        raise ModelTypeError(f"{name}: expected a Structural (level() + ...), got a {type(value).__name__}")
    return value


def _again(parts: tuple[Component, ...], start: dict[str, float], prior: dict[str, Any]) -> Structural:
    return Structural(parts, start=start, prior=prior)
