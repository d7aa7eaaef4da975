# SPDX-License-Identifier: BSD-3-Clause
"""Checks of what a state-space model's arrays mean: sizes that agree, covariances that are covariances, one start.

Letters as everywhere: n states, m measured values, p inputs, T length, N series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._arrays import collapsed
from ..errors import KelmanError

if TYPE_CHECKING:
    from .._types import Array

SYSTEM: dict[str, tuple[str, ...]] = {
    "A": ("n", "n"),
    "H": ("m", "n"),
    "Q": ("n", "n"),
    "R": ("m", "m"),
    "B": ("n", "p"),
    "D": ("m", "p"),
    "b": ("n",),
    "c": ("m",),
    "S": ("n", "m"),
}
"""Fields that may vary in time and by series -> the letters of their inner axes."""

START: dict[str, tuple[str, ...]] = {
    "m0": ("n",),
    "P0": ("n", "n"),
    "m1": ("n",),
    "P1": ("n", "n"),
    "P1_inf": ("n", "n"),
}
"""Fields of the start, which may vary by series only."""

COVARIANCES = ("Q", "R", "P0", "P1", "P1_inf")


class Dims(NamedTuple):
    """Sizes of a model: n states, m measured values, p inputs; N series and T steps (None: the same for all)."""

    n: int
    m: int
    p: int
    N: int | None
    T: int | None


def measure(fields: dict[str, Array | None]) -> Dims:
    """Return the sizes, or raise naming the first array that does not fit."""
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for name, letters in (SYSTEM | START).items():
        array = fields[name]
        if array is None:
            continue
        _check_rank(name, array, letters)
        for letter, length in zip(letters, array.shape[-len(letters) :], strict=True):
            if letter not in sizes:
                sizes[letter], owner[letter] = length, name
            elif sizes[letter] != length:
                raise KelmanError(_disagreement(name, array, letters, sizes, owner, letter))
        if array.size == 0 and sizes.get("p", 1) != 0:
            raise KelmanError(
                f"{name}: has size zero (shape {array.shape}); a model needs at least one state and value"
            )
    lead_n, lead_t = _leading(fields)
    return Dims(sizes["n"], sizes["m"], sizes.get("p", 0), lead_n, lead_t)


def shapes_in_words(name: str, letters: tuple[str, ...]) -> str:
    """List the shapes that a field may have, with its letters."""
    inner = ", ".join(letters)
    tail = "," if len(letters) == 1 else ""
    if name in START:
        return f"({inner}{tail}) or (N, {inner})"
    return f"({inner}{tail}), (T, {inner}), (N, 1, {inner}) or (N, T, {inner})"


def _check_rank(name: str, array: Array, letters: tuple[str, ...]) -> None:
    extra = array.ndim - len(letters)
    if 0 <= extra <= (1 if name in START else 2):
        return
    message = f"{name}: expected shape {shapes_in_words(name, letters)}, got {array.shape}"
    if array.ndim == 0:
        shown = f"[{float(array)!r}]" if len(letters) == 1 else f"[[{float(array)!r}]]"
        message += f"; write {shown}"
    elif array.ndim == 1 and name == "H":
        message += "; for one measured value write H[None, :]"
    elif array.ndim == 1 and name in ("B", "D"):
        message += f"; for one input write {name}[:, None]"
    raise KelmanError(message)


def _disagreement(
    name: str, array: Array, letters: tuple[str, ...], sizes: dict[str, int], owner: dict[str, str], letter: str
) -> str:
    if owner[letter] == name:
        return f"{name}: expected a square matrix in its last two axes, got shape {array.shape}"
    known = {each: size for each, size in sizes.items() if owner[each] != name}
    shown = ", ".join(str(known.get(each, each)) for each in letters) + ("," if len(letters) == 1 else "")
    message = (
        f"{name}: expected ({shown}) in its last {'axis' if len(letters) == 1 else 'two axes'}, "
        f"as {letter} = {sizes[letter]} in {owner[letter]}, got shape {array.shape}"
    )
    turned = array.shape[-len(letters) :][::-1]
    if len(set(letters)) == 2 and all(
        known.get(each, length) == length for each, length in zip(letters, turned, strict=True)
    ):
        message += "; it looks transposed"
    return message


def _leading(fields: dict[str, Array | None]) -> tuple[int | None, int | None]:
    series: int | None = None
    series_owner = ""
    steps: int | None = None
    steps_owner = ""
    for name, letters in (SYSTEM | START).items():
        array = fields[name]
        if array is None:
            continue
        lead = array.shape[: array.ndim - len(letters)]
        own_n, own_t = (lead[0] if lead else None, 1) if name in START else (None, 1)
        if name in SYSTEM and lead:
            own_n, own_t = (lead[0] if len(lead) == 2 else None, lead[-1])
        if own_t != 1:
            if steps is not None and own_t != steps:
                cure = f"; for one per series write {name}[:, None]" if len(lead) == 1 else ""
                raise KelmanError(
                    f"{name}: its time axis has length {own_t}, which is neither 1 nor the {steps} of {steps_owner}{cure}"
                )
            steps, steps_owner = own_t, name
        if own_n is not None:
            if series not in (None, 1) and own_n not in (1, series):
                raise KelmanError(f"{name}: is for {own_n} series, but {series_owner} is for {series}")
            if series in (None, 1):
                series, series_owner = own_n, name
    return series, steps


def covariance(name: str, array: Array) -> Array:
    """Return a covariance, exactly symmetric, or raise if it is not symmetric and positive semi-definite to rounding."""
    given = collapsed(array)
    mirrored = np.swapaxes(given, -1, -2)
    gap = np.abs(given - mirrored)
    if gap.any():
        eps = float(np.finfo(given.dtype).eps)
        scale = np.max(np.abs(given), axis=(-2, -1), keepdims=True)
        wrong = gap > eps**0.5 * scale
        if wrong.any():
            place = tuple(int(index) for index in np.argwhere(wrong)[0])
            turned = (*place[:-2], place[-1], place[-2])
            raise KelmanError(
                f"{name}: must be symmetric, but entry {list(place)} is {given[place]:.6g} "
                f"and entry {list(turned)} is {given[turned]:.6g}"
            )
        given = (given + mirrored) / 2
        array = np.broadcast_to(given, array.shape)
    require_semidefinite(name, given, places=("series",) if name in START else ("series", "time"))
    return array


def joint_noise(Q: Array, R: Array, S: Array) -> None:
    """Raise unless [[Q, S], [S', R]] is a covariance wherever the three meet."""
    n, m = S.shape[-2:]
    parts = [collapsed(part) for part in (Q, S, R)]
    parts = [part.reshape((1,) * (4 - part.ndim) + part.shape) for part in parts]
    lead = np.broadcast_shapes(*(part.shape[:2] for part in parts))
    joint = np.empty((*lead, n + m, n + m), dtype=np.result_type(*parts))
    joint[..., :n, :n], joint[..., :n, n:], joint[..., n:, n:] = parts
    joint[..., n:, :n] = np.swapaxes(parts[1], -1, -2)
    require_semidefinite("S", joint, places=("series", "time"), what="the joint covariance [[Q, S], [S', R]]")


def require_semidefinite(name: str, array: Array, *, places: tuple[str, ...], what: str = "") -> None:
    """Raise unless every matrix (symmetric already) has no eigenvalue below zero, to rounding; name the eigenvalue.

    Rounding is judged twice, and one verdict is enough: against the largest eigenvalue, and, for badly scaled states,
    after scaling the diagonal to one.
    """
    try:
        np.linalg.cholesky(array)
    except np.linalg.LinAlgError:
        pass
    else:
        return
    eps = float(np.finfo(array.dtype).eps)
    wide = array.astype(np.float64)
    values = np.linalg.eigvalsh(wide)
    fine = values[..., 0] >= -4 * array.shape[-1] * eps * np.max(np.abs(values), axis=-1)
    if not fine.all():
        fine |= _scaled_minimum(wide) >= -(eps**0.5)
    if fine.all():
        return
    place = tuple(int(index) for index in np.argwhere(~fine)[0])
    words = [f"{word} {index}" for word, index in zip(places[-len(place) :], place, strict=True)] if place else []
    where = f" (at {', '.join(words)})" if np.prod(array.shape[:-2]) > 1 else ""
    subject = f"{what} must be" if what else "must be"
    raise KelmanError(
        f"{name}: {subject} positive semi-definite, but its smallest eigenvalue is {values[(*place, 0)]:.6g}{where}"
    )


def _scaled_minimum(array: Array) -> Array:
    """Smallest eigenvalue after scaling each diagonal to one; -inf where a diagonal does not allow it."""
    diagonal = np.diagonal(array, axis1=-2, axis2=-1)
    scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1)), 0)
    scaled = scale[..., :, None] * array * scale[..., None, :]
    row_is_zero = (array == 0).all(axis=-1)
    possible = ((diagonal > 0) | row_is_zero).all(axis=-1)
    smallest: Any = np.linalg.eigvalsh(scaled)[..., 0]
    return np.where(possible, smallest, -np.inf)


def start_kind(fields: dict[str, Array | None], initial: str) -> str:
    """Return the kind of start ("x0", "x1" or the word in `initial`), or raise if it is given in two ways or in half."""
    before = [name for name in ("m0", "P0") if fields[name] is not None]
    first = [name for name in ("m1", "P1", "P1_inf") if fields[name] is not None]
    if before and first:
        raise KelmanError(
            f"start: given in two ways, {' and '.join(before)} (the state before the first transition) and "
            f"{' and '.join(first)} (the state at the first measurement); give one of them"
        )
    given = before or first
    if not given:
        if initial in ("x0", "x1"):
            pair = "m0 and P0" if initial == "x0" else "m1 and P1"
            raise KelmanError(f"initial: {initial!r} needs {pair}; or use 'stationary', 'diffuse' or 'auto'")
        return initial
    kind = "x0" if before else "x1"
    if initial not in ("auto", kind):
        raise KelmanError(
            f"start: given in two ways, {' and '.join(given)} and initial={initial!r}; leave one of them out"
        )
    if len(before) == 1:
        missing = "P0" if before == ["m0"] else "m0"
        raise KelmanError(f"start: {before[0]} was given without {missing}; give both")
    if first and "P1_inf" not in first and len(first) == 1:
        missing = "P1" if first == ["m1"] else "m1"
        raise KelmanError(f"start: {first[0]} was given without {missing}; give both (P1 of zeros: known exactly)")
    return kind
