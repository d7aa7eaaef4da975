# SPDX-License-Identifier: BSD-3-Clause
"""What an entry of a `Template` may be beside a number: free, tied by name, or an affine expression of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError

if TYPE_CHECKING:
    from .._types import Array

_INFINITE = float("inf")


class Expression:
    """Base of what is unknown: sums and multiples of `Free` and `Tied` are affine expressions."""

    __array_ufunc__ = None  # numpy leaves the arithmetic to us

    def _terms(self) -> tuple[tuple[tuple[Free | Tied, float], ...], float]:
        """The atoms with their factors, and the constant."""
        raise TypeError(type(self).__name__)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return _each(lambda entry: self * entry, other)
        if isinstance(other, Expression):
            raise KelmanError(
                "template: a product of two unknowns is not affine; give the map with Template.from_function"
            )
        factor = _number(other)
        if factor is None:
            return NotImplemented
        terms, constant = self._terms()
        return Affine(tuple((atom, coefficient * factor) for atom, coefficient in terms), constant * factor)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        factor = _number(other)
        if factor is None:
            return NotImplemented
        if factor == 0:
            raise KelmanError("template: an expression is divided by zero")
        return self * (1 / factor)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return _each(lambda entry: self + entry, other)
        terms, constant = self._terms()
        if isinstance(other, Expression):
            more, number = other._terms()
            return Affine((*terms, *more), constant + number)
        added = _number(other)
        return NotImplemented if added is None else Affine(terms, constant + added)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return self * -1.0

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other


@dataclass(frozen=True, eq=False)
class Free(Expression):
    """A number that the data decide: an entry of a `Template`, or a whole array of it.

    Two places of a template share a parameter only by its name; without a name every place has its own.

    Parameters
    ----------
    start : float or array_like, optional
        Where to begin. An array gives each entry of a whole free array its start. Left out, it is chosen from the data.
    lower, upper : float
        Bounds, not included. A variance has ``lower = 0`` by itself.
    name : str, optional
        Name of the parameter; by default that of its place, as ``"A[0,1]"``.
    prior : object, optional
        Prior of the natural value, used by posterior modes and sampling: an object with a method ``logpdf`` (as the frozen
        distributions of `scipy.stats`), or a function that returns the log-density and its derivative.

    Examples
    --------
    >>> import kelman
    >>> q = kelman.Free(1.0, name="q")
    >>> template = kelman.Template([[1.0]], [[1.0]], [[q]], [[4 * kelman.Tied("q")]])
    >>> template.names
    ('q',)
    >>> template.model([2.0]).R
    array([[8.]])
    """

    start: Any = None
    lower: float = -_INFINITE
    upper: float = _INFINITE
    name: str | None = field(default=None, kw_only=True)
    prior: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.start is not None:
            try:
                start = np.array(self.start, dtype=np.float64)
            except (TypeError, ValueError):
                raise KelmanError(f"start: expected a number or an array of numbers, got {self.start!r:.60}") from None
            if not np.isfinite(start).all():
                raise KelmanError(f"start: expected finite numbers, got {self.start!r:.60}")
            start.flags.writeable = False
            object.__setattr__(self, "start", start)
        lower, upper = _number(self.lower), _number(self.upper)
        if lower is None or upper is None or not lower < upper:
            raise KelmanError(
                f"lower, upper: expected two numbers, lower < upper, got {self.lower!r} and {self.upper!r}"
            )
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        if self.start is not None and not ((self.start > lower) & (self.start < upper)).all():
            raise KelmanError(f"start: {self.start} is not between lower = {lower:g} and upper = {upper:g}")
        if not (self.name is None or _is_text(self.name)):
            raise KelmanError(f"name: expected a text, got {self.name!r:.60}")
        if self.prior is not None and not callable(self.prior) and not callable(getattr(self.prior, "logpdf", None)):
            raise KelmanError(
                "prior: expected a distribution with a method logpdf, or a function that returns the log-density and its "
                f"derivative, got {self.prior!r:.60}"
            )

    def _terms(self) -> tuple[tuple[tuple[Free | Tied, float], ...], float]:
        return ((self, 1.0),), 0.0


@dataclass(frozen=True, eq=False)
class Tied(Expression):
    """The parameter of this name once more.

    Parameters
    ----------
    name : str
        The name that some `Free` of the same template has.

    Examples
    --------
    >>> import kelman
    >>> template = kelman.Template([[1.0]], [[1.0]], [[kelman.Free(name="v")]], [[kelman.Tied("v")]])
    >>> template.size
    1
    """

    name: str

    def __post_init__(self) -> None:
        """Check the name."""
        if not _is_text(self.name):
            raise KelmanError(f"name: expected a text, got {self.name!r:.60}")

    def _terms(self) -> tuple[tuple[tuple[Free | Tied, float], ...], float]:
        return ((self, 1.0),), 0.0


@dataclass(frozen=True, eq=False)
class Affine(Expression):
    """A constant plus multiples of unknowns.

    Parameters
    ----------
    terms : tuple of (Free or Tied, float)
        The unknowns with their factors.
    constant : float
        What is added.
    """

    terms: tuple[tuple[Free | Tied, float], ...]
    constant: float

    def _terms(self) -> tuple[tuple[tuple[Free | Tied, float], ...], float]:
        return self.terms, self.constant


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return float(value)


def _each(function: Any, array: Array) -> Any:
    result = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        result[place] = function(array[place])
    return result


def holds_unknowns(value: Any) -> bool:
    """Whether a value is, or an array-like holds, anything but numbers."""
    if isinstance(value, Expression):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(isinstance(entry, Expression) for entry in value.flat)
    if isinstance(value, (list, tuple)):
        return any(holds_unknowns(entry) for entry in value)
    return False
