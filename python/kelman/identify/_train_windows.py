# SPDX-License-Identifier: BSD-3-Clause
"""Pieces of series for stochastic training: windows with a warm-up, or lanes whose state is carried from piece to piece."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..rnn._problem import counted

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem

MANY = 20
"""From this many series on, whole series are held out; of fewer, the last part of each."""


def picked(problem: Problem, series: Array, first: Array, length: int, ends: Array) -> Problem:
    """Steps first .. first + length - 1 of some series, as series of their own; what lies past `ends` does not belong."""
    lengths = np.minimum(ends - first, length)
    changed: dict[str, Any] = {
        "x": rows_of(problem.x, series, first, length),
        "y": rows_of(cast("Array", problem.y), series, first, length),
        "mask": None if problem.mask is None else rows_of(problem.mask, series, first, length),
        "lengths": None if (lengths == length).all() else lengths.astype(np.int64),
        "h0": problem.h0[series],
        "c0": None if problem.c0 is None else problem.c0[series],
    }
    return replace(problem, **changed)


def rows_of(array: Array, series: Array, first: Array, length: int) -> Array:
    """Rows first .. first + length - 1 of some series of (N, T, values); the last row again for those past the end."""
    n, steps, columns = array.shape
    if length == steps and not first.any():
        whole: Array = array[series]
        return whole
    if (first + length > steps).any():
        clipped: Array = array[series[:, None], np.minimum(first[:, None] + np.arange(length), steps - 1)]
        return clipped
    one, step, value = array.strides  # a window is a view: it is copied as a whole, not row by row
    shape = (n, steps - length + 1, length, columns)
    windows: Array = np.lib.stride_tricks.as_strided(array, shape, (one, step, step, value), writeable=False)
    return np.ascontiguousarray(windows[series, first])


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces (series, first step) of equal length; the first `warmup` steps of each are not counted."""

    problem: Problem
    places: Array
    length: int

    def batch(self, chosen: Array) -> Problem:
        """The problem on some of the windows."""
        series, first = self.places[chosen].T
        return picked(self.problem, series, first, self.length, series_ends(self.problem)[series])


@dataclass(frozen=True, slots=True)
class Lanes:
    """Parts (series, first step, end) of series that are run through in pieces, the state carried over."""

    problem: Problem
    places: Array
    length: int

    def pieces(self, chosen: Array) -> list[tuple[Array, Problem]]:
        """For each piece in time: the lanes (among those chosen) that reach so far, and the problem on them.

        Only the first piece has the warm-up; the starts of the others are still those of their series.
        """
        series, first, end = self.places[chosen].T
        out = []
        for k in range(int(-(-(end - first).max() // self.length))):
            alive = np.flatnonzero(first + k * self.length < end)
            piece = picked(self.problem, series[alive], first[alive] + k * self.length, self.length, end[alive])
            out.append((alive, piece if k == 0 else replace(piece, warmup=0)))
        return out


def series_ends(problem: Problem) -> Array:
    """Length of every series (N,)."""
    n, steps = problem.x.shape[:2]
    return np.full(n, steps) if problem.lengths is None else problem.lengths


def cut(
    problem: Problem, length: int, validation: float, rng: np.random.Generator
) -> tuple[Windows, Windows | None, Array]:
    """Windows to train on and to check on, and where the training part of each series ends (0 where it is held out).

    Held out is the last part of each series, or whole series where there are many. At most half of a window is warm-up.
    """
    n, steps = problem.x.shape[:2]
    length = min(length, steps)
    problem = replace(problem, warmup=min(problem.warmup, length // 2))
    stride = max(1, length - problem.warmup)
    ends = series_ends(problem)
    counts = np.concatenate([np.zeros((n, 1)), counted(problem).sum(axis=2).cumsum(axis=1)], axis=1)
    train, check = [], []
    many = n >= MANY
    held = set(rng.permutation(n)[: round(validation * n)].tolist()) if many and validation > 0 else set()
    borders = np.array([_border(k, int(ends[k]), validation, many, held) for k in range(n)])
    for series in range(n):
        last = max(int(ends[series]) - length, 0)
        firsts = sorted({*range(0, last + 1, stride), last})
        border = borders[series]
        for first in firsts:
            place = (series, first)
            end, begin = min(first + length, steps), first + problem.warmup
            if begin >= end or counts[series, end] == counts[series, begin]:
                continue
            if border == 0 or (not many and validation > 0 and first + problem.warmup >= border):
                check.append(place)
            elif many or first + length <= max(border, length):
                train.append(place)
    if not train and not check:  # targets so sparse that no window holds one: whole series
        train, length = [(series, 0) for series in range(n)], steps
    checking = Windows(problem, np.array(check), length) if check else None
    return Windows(problem, np.array(train or check), length), checking, borders


def _border(series: int, end: int, validation: float, many: bool, held: set[int]) -> int:
    if many:
        return 0 if series in held else end
    return end - round(validation * end)


def held_out(problem: Problem, borders: Array) -> Problem | None:
    """Whole series in which only what lies past the borders is counted; None if nothing does."""
    steps = np.arange(problem.x.shape[1])
    late = (steps[None, :] >= borders[:, None])[:, :, None].astype(problem.x.dtype)
    checking = replace(problem, mask=late if problem.mask is None else problem.mask * late)
    return checking if (counted(checking) > 0).any() else None


def lanes(problem: Problem, length: int, borders: Array, count: int) -> Lanes:
    """The training parts of all series, long ones cut so that there are about `count` lanes, each of at least four pieces."""
    total = int(borders.sum())
    size = max(4 * length, -(-total // count))
    places = []
    for series, border in enumerate(borders):
        parts = max(1, round(int(border) / size))
        edges = np.linspace(0, int(border), parts + 1).astype(int)
        places += [(series, a, b) for a, b in pairwise(edges.tolist()) if b > a]
    return Lanes(replace(problem, warmup=min(problem.warmup, length // 2)), np.array(places), length)
