"""Filtered and smoothed means in 200 digits, by the textbook recursions: with differences of 1e-40 an oracle for derivatives.

A diffuse start is a covariance of 1e45, so that its limit is reached to all digits that count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

_STEP = mpmath.mpf(10) ** -40
_KAPPA = mpmath.mpf(10) ** 45
_START = ("mean", "cov", "inf", "noise_cov")

Read = Callable[..., Any]


def matrix(array: Any) -> Any:
    """An array (or a vector as a column) as a matrix of exact numbers, NaN as zero."""
    values = np.nan_to_num(np.asarray(array, dtype=np.float64))
    values = values[:, None] if values.ndim == 1 else values
    found = mpmath.matrix(*values.shape)
    for index in np.ndindex(*values.shape):
        found[index] = mpmath.mpf(float(values[index]))
    return found


def pick(whole: Any, rows: list[int], columns: list[int]) -> Any:
    """Some rows and columns of a matrix."""
    found = mpmath.matrix(len(rows), len(columns))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            found[i, j] = whole[row, column]
    return found


def means(problem: Any, i: int, smoothed: bool, read: Read) -> list[Any]:
    """Means of series i, a column for each step; `read(name, k)` gives the matrices of the problem."""
    _, T, m = problem.z.shape
    n = problem.mean.shape[1]
    has = {name: getattr(problem, name) is not None for name in ("B", "D", "b", "c", "S", "u")}
    states = list(range(n))

    def driven(x: Any, k: int) -> Any:
        if has["b"]:
            x = x + read("b", k)
        if has["B"] and has["u"] and k >= problem.input_lag:
            x = x + read("B", k) * read("u", k - problem.input_lag)
        return x

    a, P = read("mean", None), read("cov", None)
    if problem.inf.shape[-1]:
        V = read("inf", None)
        P = P + _KAPPA * V * V.T
    if problem.start_kind == 1:
        A = read("A", 0)
        a, P = driven(A * a, 0), A * P * A.T + read("noise_cov", None)
    filtered, tape = [], []
    for k in range(T):
        seen = [j for j in range(m) if not np.isnan(problem.z[i, k, j])]
        H, R = pick(read("H", k), seen, states), pick(read("R", k), seen, seen)
        A = read("A", k + 1) if k < T - 1 else mpmath.eye(n)
        moved, later, L, told = a, A * P * A.T, A, mpmath.zeros(n, 1)
        ahead = A * a
        if seen:
            e = read("z", k)
            if has["D"]:
                e = e - read("D", k) * read("u", k)
            if has["c"]:
                e = e - read("c", k)
            e = pick(e, seen, [0]) - H * a
            S = pick(read("S", k), states, seen) if has["S"] else mpmath.zeros(n, len(seen))
            Sigma = H * P * H.T + R
            W = Sigma**-1
            K = (A * P * H.T + S) * W
            moved = a + P * H.T * W * e
            ahead, later, L, told = A * a + K * e, later - K * Sigma * K.T, A - K * H, H.T * W * e
        filtered.append(moved)
        tape.append((a, P, L, told))
        if k < T - 1:
            a, P = driven(ahead, k + 1), later + read("Q", k)
    if not smoothed:
        return filtered
    r, found = mpmath.zeros(n, 1), []
    for a, P, L, told in reversed(tape):
        r = told + L.T * r
        found.append(a + P * r)
    return found[::-1]


def directional(problem: Any, g: Any, smoothed: bool, name: str, move: Any) -> float:
    """The derivative of sum(g * means) as the field `name` (as broadcast over series and time) moves along `move`."""
    total = mpmath.mpf(0)
    for i in range(len(problem.z)):

        def read(field: str, k: int | None, sign: int, i: int = i) -> Any:
            own = i if field in _START else (i, k)
            value = matrix(getattr(problem, field)[own])
            return value + sign * _STEP * matrix(move[own]) if field == name else value

        up, down = (means(problem, i, smoothed, lambda field, k, s=sign: read(field, k, s)) for sign in (1, -1))
        for k, (one, two) in enumerate(zip(up, down, strict=True)):
            for j in range(one.rows):
                total += mpmath.mpf(float(g[i, k, j])) * (one[j] - two[j])
    return float(total / (2 * _STEP))


def errors(problem: Any, g: Any, smoothed: bool, found: dict[str, Any], seed: int = 0) -> dict[str, float]:
    """Along one random direction of each field: the error of derivatives laid out as ``gradient_raw`` does, relative to the
    largest entry.
    """
    rng, errors = np.random.default_rng(seed), {}
    with mpmath.workdps(200):
        for name, value in found.items():
            field = getattr(problem, name)
            move = rng.normal(size=value.shape)
            if name in ("Q", "R", "cov", "noise_cov"):
                move = (move + move.swapaxes(-1, -2)) / 2
            if value.size == 0:
                continue
            spread = np.broadcast_to(move if move.ndim == field.ndim else move[:, None], field.shape)
            expected = directional(problem, g, smoothed, name, spread)
            got = float((value * move).sum())
            errors[name] = abs(got - expected) / max(1.0, float(np.abs(value).max()))
    return errors
