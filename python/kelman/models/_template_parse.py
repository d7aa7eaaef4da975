# SPDX-License-Identifier: BSD-3-Clause
"""Reads the arguments of a `Template`: numbers, unknowns and their places, and how each parameter is to be transformed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_floats
from ..errors import KelmanError
from ._maps import AffineMap
from ._meaning import COVARIANCES, START, SYSTEM, shapes_in_words
from ._parameters import Expression, Free, Tied, holds_unknowns
from ._transforms import Bounded, Cholesky, Contraction

if TYPE_CHECKING:
    from .._types import Array
    from ._transforms import Transform

_INFINITE = float("inf")


@dataclass(frozen=True, eq=False)
class Parameter:
    """One natural parameter: its name, start (NaN: choose), bounds, prior, the field it was first met in, and whether a
    positive value keeps every covariance that it is in positive semi-definite.
    """

    name: str
    start: float
    lower: float = -_INFINITE
    upper: float = _INFINITE
    prior: Any = None
    field: str = ""
    scales: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """A transform and the parameters (their numbers) that it makes."""

    transform: Transform
    columns: Array


@dataclass(frozen=True, eq=False)
class Place:
    """Where entries go: ``array[..., *index] = values[entries]`` in the array of a field."""

    field: str
    index: tuple[Array, ...]
    entries: slice


@dataclass(eq=False)
class Parsed:
    """A template as it is read."""

    base: dict[str, Any]
    parameters: list[Parameter] = field(default_factory=list)
    number: dict[str, int] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    terms: list[tuple[int, int, float]] = field(default_factory=list)
    waiting: list[tuple[int, str, float, str]] = field(default_factory=list)

    def map(self) -> AffineMap:
        """The affine map of what was read."""
        rows, cols, factors = zip(*self.terms, strict=True) if self.terms else ((), (), ())
        return AffineMap(
            np.array(self.constants),
            np.array(rows, dtype=np.intp),
            np.array(cols, dtype=np.intp),
            np.array(factors, dtype=np.float64),
        )


def parse(given: dict[str, Any], stable: bool) -> Parsed:
    """Read every field; see `Template`."""
    sizes = _sizes(given)
    parsed = Parsed({})
    covered: set[int] = set()
    for name in SYSTEM | START:
        value = given.get(name)
        if isinstance(value, Free):
            _whole(parsed, name, value, sizes, stable and name == "A", covered)
        elif isinstance(value, Expression):
            raise KelmanError(f"{name}: expected an array, got one {type(value).__name__}; write it into its entries")
        elif holds_unknowns(value):
            if name == "P1_inf":
                raise KelmanError("P1_inf: the diffuse part of the start is given, not estimated")
            if stable and name == "A":
                raise KelmanError(
                    "stable: needs all of A free, A=Free(...); bound single entries by lower and upper instead"
                )
            _entries(parsed, name, value, covered)
        else:
            parsed.base[name] = None if value is None and name not in "AHQR" else as_floats(value, name)
            if stable and name == "A":
                raise KelmanError("stable: needs all of A free, A=Free(...), but A is given as numbers")
    for row, tied, factor, where in parsed.waiting:
        if tied not in parsed.number:
            raise KelmanError(f"{where}: Tied({tied!r}), but no Free has this name")
        parsed.terms.append((row, parsed.number[tied], factor))
    _bound(parsed, covered)
    return parsed


def _sizes(given: dict[str, Any]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, letters in (SYSTEM | START).items():
        value = given.get(name)
        if isinstance(value, Free):
            value = value.start
        if value is None or isinstance(value, Expression):
            continue
        shape = np.shape(np.asarray(value, dtype=object))
        if len(shape) >= len(letters):
            for letter, length in zip(letters, shape[-len(letters) :], strict=True):
                sizes.setdefault(letter, length)
    return sizes


def _whole(parsed: Parsed, name: str, free: Free, sizes: dict[str, int], stable: bool, covered: set[int]) -> None:
    """A whole free array: a covariance through its Cholesky factor, anything else entry by entry."""
    letters = (SYSTEM | START)[name]
    if name == "P1_inf":
        raise KelmanError("P1_inf: the diffuse part of the start is given, not estimated")
    if any(letter not in sizes for letter in letters):
        raise KelmanError(
            f"{name}: its size cannot be told from the other arrays; give Free a start of shape ({', '.join(letters)})"
        )
    shape = tuple(sizes[letter] for letter in letters)
    if free.start is not None and free.start.shape not in ((), shape):
        raise KelmanError(f"{name}: expected a start of shape {shape}, got {free.start.shape}")
    start = np.full(shape, np.nan)
    if free.start is not None:
        start[...] = free.start if free.start.shape or name not in COVARIANCES else free.start * np.eye(shape[0])
    parsed.base[name] = np.zeros(shape)
    label = free.name or name
    if name in COVARIANCES:
        rows, cols = np.tril_indices(shape[0])
        if free.prior is not None or np.isfinite([free.lower, free.upper]).any():
            raise KelmanError(f"{name}: a whole free covariance has no bounds and no prior of its entries")
        columns = [
            _add(parsed, f"{label}[{i},{j}]", start[i, j], Free(), name) for i, j in zip(rows, cols, strict=True)
        ]
        lookup = dict(zip(zip(rows.tolist(), cols.tolist(), strict=True), columns, strict=True))
        first = len(parsed.constants)
        index = np.indices(shape).reshape(2, -1)
        for k, (i, j) in enumerate(index.T.tolist()):
            parsed.constants.append(0.0)
            parsed.terms.append((first + k, lookup[max(i, j), min(i, j)], 1.0))
        parsed.places.append(Place(name, tuple(index), slice(first, len(parsed.constants))))
        parsed.blocks.append(Block(Cholesky(shape[0]), np.array(columns)))
        covered.update(columns)
        return
    first = len(parsed.constants)
    index = np.indices(shape).reshape(len(shape), -1)
    columns = []
    for k, place in enumerate(index.T.tolist()):
        one = f"{label}[{','.join(map(str, place))}]"
        columns.append(_add(parsed, one, start[tuple(place)], free, name))
        parsed.constants.append(0.0)
        parsed.terms.append((first + k, columns[-1], 1.0))
    parsed.places.append(Place(name, tuple(index), slice(first, len(parsed.constants))))
    if stable:
        parsed.blocks.append(Block(Contraction(shape[0]), np.array(columns)))
        covered.update(columns)


def _add(parsed: Parsed, name: str, start: float, free: Free, where: str) -> int:
    if name in parsed.number:
        raise KelmanError(f"{where}: the name {name!r} is taken by another parameter; use Tied({name!r}) to share it")
    parsed.number[name] = len(parsed.parameters)
    parsed.parameters.append(Parameter(name, float(start), free.lower, free.upper, free.prior, where))
    return parsed.number[name]


def _entries(parsed: Parsed, name: str, value: Any, covered: set[int]) -> None:
    """An array of which some entries are unknown."""
    array = np.array(value, dtype=object)
    letters = (SYSTEM | START)[name]
    if not 0 <= array.ndim - len(letters) <= (1 if name in START else 2):
        raise KelmanError(f"{name}: expected shape {shapes_in_words(name, letters)}, got {array.shape}")
    if name in COVARIANCES:
        array = _lower(name, array)
    unknown = np.array([isinstance(entry, Expression) for entry in array.flat]).reshape(array.shape)
    numbers = np.where(unknown, 0.0, array)
    parsed.base[name] = as_floats(numbers.astype(np.float64), name) if _numeric(numbers) else as_floats(numbers, name)
    first = len(parsed.constants)
    index = np.argwhere(unknown)
    for place in index.tolist():
        where = f"{name}[{','.join(map(str, place))}]"
        if name in COVARIANCES and place[-1] > place[-2]:
            mirrored = (*place[:-2], place[-1], place[-2])
            parsed.constants.append(0.0)
            source = first + next(k for k, p in enumerate(index.tolist()) if tuple(p) == mirrored)
            parsed.waiting.append((-1 - source, "", float(len(parsed.constants) - 1), where))
            continue
        terms, constant = array[tuple(place)]._terms()
        row = len(parsed.constants)
        parsed.constants.append(constant)
        for atom, factor in terms:
            if isinstance(atom, Tied) or (atom.name is not None and atom.name in parsed.number):
                parsed.waiting.append((row, atom.name, factor, where))
            else:
                start = np.nan if atom.start is None else float(atom.start)
                parsed.terms.append((row, _add(parsed, atom.name or where, start, atom, name), factor))
    parsed.places.append(Place(name, tuple(index.T), slice(first, len(parsed.constants))))
    mirrors = [w for w in parsed.waiting if w[0] < 0]
    parsed.waiting = [w for w in parsed.waiting if w[0] >= 0]
    for source, _, target, _ in mirrors:
        row = -1 - source
        parsed.constants[int(target)] = parsed.constants[row]
        parsed.terms.extend([(int(target), col, factor) for r, col, factor in list(parsed.terms) if r == row])
        parsed.waiting.extend([(int(target), t, f, w) for r, t, f, w in list(parsed.waiting) if r == row])
    if name in COVARIANCES and array.ndim == 2:
        _cholesky_blocks(parsed, name, array, covered)


def _numeric(array: Array) -> bool:
    return all(isinstance(entry, (int, float, np.integer, np.floating)) for entry in array.flat)


def _lower(name: str, array: Array) -> Array:
    """The array with its lower triangle mirrored where that is unknown; the upper one must not say otherwise."""
    array = array.copy()
    if array.shape[-1] != array.shape[-2]:
        raise KelmanError(f"{name}: expected a square matrix in its last two axes, got shape {array.shape}")
    for place in np.ndindex(array.shape):
        if place[-1] >= place[-2]:
            continue
        turned = (*place[:-2], place[-1], place[-2])
        below: Any = array[place]
        above: Any = array[turned]
        if isinstance(below, Expression) or isinstance(above, Expression):
            if not (isinstance(below, Expression) and (isinstance(above, Expression) or above is None)):
                raise KelmanError(
                    f"{name}: entry {list(place)} is {_shown(below)}, but entry {list(turned)} is {_shown(above)}; a covariance is symmetric"
                )
            array[turned] = below
    return array


def _shown(entry: Any) -> str:
    return "unknown" if isinstance(entry, Expression) else f"{entry!r:.30}"


def _cholesky_blocks(parsed: Parsed, name: str, array: Array, covered: set[int]) -> None:
    """Groups of states that free off-diagonal entries connect: each must be wholly free, and goes by its Cholesky factor."""
    size = len(array)
    group = np.arange(size)
    joined = np.zeros((size, size), dtype=bool)
    for i in range(size):
        for j in range(i):
            if isinstance(array[i, j], Free):
                group[group == group[i]] = group[j]
                joined[i, j] = joined[j, i] = True
    for root in np.unique(group):
        members = np.flatnonzero(group == root)
        if len(members) == 1:
            continue
        pairs = [(i, j) for i in members for j in members if j <= i]
        if not all(isinstance(array[i, j], Free) for i, j in pairs):
            raise KelmanError(
                f"{name}: its free entries connect rows {', '.join(map(str, members))}, of which each entry must then be free; "
                f"free {name} all, or leave the off-diagonal entries zero"
            )
        columns = [parsed.number[array[i, j].name or f"{name}[{i},{j}]"] for i, j in pairs]
        if len(set(columns)) < len(columns):
            raise KelmanError(f"{name}: entries of the free block {', '.join(map(str, members))} share parameters")
        parsed.blocks.append(Block(Cholesky(len(members)), np.array(columns)))
        covered.update(columns)


def _bound(parsed: Parsed, covered: set[int]) -> None:
    """Give every other parameter its own transform; one that only scales covariances upward is positive."""
    fields: dict[int, dict[str, Array]] = {}
    for place in parsed.places:
        shape = parsed.base[place.field].shape
        for row, col, factor in parsed.terms:
            if place.entries.start <= row < place.entries.stop and col not in covered:
                part = fields.setdefault(col, {}).setdefault(place.field, np.zeros(shape))
                part[tuple(axis[row - place.entries.start] for axis in place.index)] += factor
    for col, parameter in enumerate(parsed.parameters):
        if col in covered:
            continue
        parts = [part for name, part in fields.get(col, {}).items() if name in COVARIANCES]
        scales = bool(parts) and all(
            float(np.linalg.eigvalsh(part).min()) >= -1e-12 * float(np.abs(part).max()) for part in parts
        )
        if scales:
            lower = parameter.lower if np.isfinite(parameter.lower) else 0.0
            parameter = parsed.parameters[col] = replace(parameter, lower=lower, scales=True)
        if not (np.isnan(parameter.start) or parameter.lower < parameter.start < parameter.upper):
            raise KelmanError(
                f"{parameter.name}: expected a start between {parameter.lower:g} and {parameter.upper:g}, got {parameter.start:g}"
                + ("; a variance that is to stay at zero is written as a number" if scales else "")
            )
        parsed.blocks.append(Block(Bounded(parameter.lower, parameter.upper), np.array([col])))
