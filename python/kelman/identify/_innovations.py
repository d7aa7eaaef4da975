# SPDX-License-Identifier: BSD-3-Clause
"""Standardised innovations, and the normalised squares of innovations and of state errors (NIS, NEES)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import linear
from kelman._arrays import as_floats
from kelman.errors import KelmanError
from kelman.linear._problem import pose

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace

_NOTHING = 1e-12
"""A component is predicted exactly if its variance given the components before it is below this part of its variance."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """A filter pass over N series as float64 arrays, and which of its steps count.

    Attributes
    ----------
    result : FilterResult
        With everything kept.
    z : ndarray, shape (N, T, m)
    u : ndarray, shape (N, T, p), or None
    lengths : ndarray, shape (N,)
    diffuse : ndarray of int, shape (N,)
        How many steps at the beginning of each series have a state that is still partly diffuse.
    opens : ndarray of bool, shape (N, T)
        Steps that see a diffuse direction for the first time: their innovations say nothing of the model.
    batched : bool
        Whether the user gave several series.
    """

    result: linear.FilterResult
    z: Array
    u: Array | None
    lengths: Array
    diffuse: Array
    opens: Array
    batched: bool

    def array(self, name: str) -> Array:
        """One array of the result, with a series axis, in float64."""
        array: Array = self.result._arrays[name]
        return array.astype(np.float64, copy=False)

    @property
    def counts(self) -> Array:
        """Which steps are within their series and behind its diffuse steps, shape (N, T)."""
        k = np.arange(self.z.shape[1])
        inside: Array = (k >= self.diffuse[:, None]) & (k < self.lengths[:, None])
        return inside

    @property
    def tells(self) -> Array:
        """Which steps have innovations that the model gives a variance, shape (N, T).

        A diffuse direction that a step does not see, as that of an intervention still to come, does not matter to it.
        """
        within: Array = np.arange(self.z.shape[1]) < self.lengths[:, None]
        return within & ~self.opens


def run(model: StateSpace, z: Any, u: Any) -> Filtered:
    """Filter, keep everything, and find the diffuse steps."""
    result = linear.filter(model, z, u, store="all")
    posed = pose(model, z, u)
    values, inputs = posed.problem.z, posed.problem.u
    lengths = np.full(posed.N, posed.T) if posed.lengths is None else posed.lengths
    start = posed.problem.rank
    diffuse, opens = _diffuse_steps(model, values, inputs, np.broadcast_to(start, (posed.N,)))
    return Filtered(result, values.astype(np.float64), inputs, lengths, diffuse, opens, posed.batched)


def _diffuse_steps(model: StateSpace, z: Array, u: Array | None, rank: Array) -> tuple[Array, Array]:
    """How many steps each series begins with some direction of the state still diffuse, and which of them see one."""
    N, T, _ = z.shape
    steps, opens = np.zeros(N, dtype=np.int64), np.zeros((N, T), dtype=bool)
    state = None
    for k in range(T):
        open_ones = rank > 0
        if not open_ones.any():
            break
        steps[open_ones] += 1
        here = None if u is None else np.ascontiguousarray(u[:, k : k + 1])
        step = np.ascontiguousarray(z[:, k : k + 1])
        state = linear.filter(model.window(k, k + 1), step, here, store="last", start=state, on_error="nan").state
        before, rank = rank, np.broadcast_to(state._rank, (N,))
        opens[:, k] = rank < before
    return steps, opens


def standardised(run: Filtered) -> Array:
    """Innovations times the inverse Cholesky factor of their covariance, (N, T, m).

    Component i is standardised given the components before it, so that all are independent with variance one if the model
    is right. NaN where nothing was measured, where a diffuse direction is first seen, and where the model predicts a component exactly.
    """
    v, F = run.array("innovation"), run.array("innovation_cov")
    seen = np.isfinite(v) & run.tells[..., None]
    m = v.shape[-1]
    e = np.where(seen, v, 0.0)
    L = np.array(np.broadcast_to(F, (*v.shape, m)))
    known = np.zeros_like(seen)
    for j in range(m):
        pivot = L[..., j, j] - np.square(L[..., j, :j]).sum(-1)
        known[..., j] = seen[..., j] & (pivot > _NOTHING * np.abs(F[..., j, j]))
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(known[..., j], 1 / np.sqrt(np.where(pivot > 0, pivot, 1.0)), 0.0)
        below = L[..., j + 1 :, j] - (L[..., j + 1 :, :j] * L[..., None, j, :j]).sum(-1)
        L[..., j + 1 :, j] = below * inverse[..., None]
        L[..., j, j] = np.where(known[..., j], np.sqrt(np.where(pivot > 0, pivot, 0.0)), 0.0)
        e[..., j] = (e[..., j] - (L[..., j, :j] * e[..., :j]).sum(-1)) * inverse
    return np.where(known, e, np.nan)


@dataclass(frozen=True, eq=False)
class NormalisedSquares:
    """Squared errors, normalised by the covariance that the model gives them: chi-square variables if it is right.

    Attributes
    ----------
    values : ndarray, shape (..., T)
        The normalised square of each step; NaN where there is none.
    dof : ndarray of int, shape (..., T)
        Degrees of freedom of each.
    lower, upper : ndarray, shape (..., T)
        Band that holds each value with the probability `level`.
    average : ndarray, shape (...)
        Sum over time divided by the degrees of freedom: near 1 if the model is right, above if it trusts itself too much.
    average_lower, average_upper : ndarray, shape (...)
        Band of the average; correlation in time, which state errors have, is allowed for.
    overall, overall_lower, overall_upper : float
        The same over all series together.
    inside : float
        Part of all values that lie in their band.
    level : float
    """

    values: Array
    dof: Array
    lower: Array
    upper: Array
    average: Array
    average_lower: Array
    average_upper: Array
    overall: float
    overall_lower: float
    overall_upper: float
    inside: float
    level: float

    @property
    def consistent(self) -> bool:
        """Whether the average over everything lies in its band."""
        return bool(self.overall_lower <= self.overall <= self.overall_upper)


def nis(e: Array, batched: bool, level: float) -> NormalisedSquares:
    """Squares of standardised innovations (N, T, m), summed over components."""
    known = np.isfinite(e)
    return _squares(np.where(known, e, 0.0), known.sum(-1), batched, level, correlated=False)


def nees(run: Filtered, states: Any, level: float) -> NormalisedSquares:
    """Errors of the filtered means against the true states, normalised by their covariances."""
    mean, cov = run.array("mean"), run.array("cov")
    truth = as_floats(states, "states").astype(np.float64)
    expected = mean.shape if run.batched else mean.shape[1:]
    if truth.shape != expected:
        raise KelmanError(f"states: expected the true states, shape {expected}, got {truth.shape}")
    error = truth.reshape(mean.shape) - mean
    counts = run.counts & np.isfinite(error).all(-1)
    k = np.arange(mean.shape[1])
    counts &= k >= run.diffuse[:, None]
    safe = np.where(counts[..., None, None], cov, 0.0)
    values, vectors = np.linalg.eigh(safe)
    big = values > _NOTHING * np.maximum(values[..., -1:], np.finfo(np.float64).tiny)
    along = (np.swapaxes(vectors, -1, -2) @ np.where(counts[..., None], error, 0.0)[..., None])[..., 0]
    scaled = np.where(big, along / np.sqrt(np.where(big, values, 1.0)), 0.0)
    return _squares(scaled, np.where(counts, big.sum(-1), 0), run.batched, level, correlated=True)


def _squares(e: Array, dof: Array, batched: bool, level: float, *, correlated: bool) -> NormalisedSquares:
    """Squares of standard normal vectors (zeros where there is none), with bands."""
    from scipy.special import chdtri

    values = np.square(e).sum(-1)
    tail = (1 - level) / 2
    table = np.maximum(np.arange(int(dof.max(initial=0)) + 1), 1)  # there are few degrees of freedom, and many steps
    lower, upper = chdtri(table, 1 - tail)[dof], chdtri(table, tail)[dof]
    used = dof > 0
    stretch = _correlation_time(values, dof) if correlated else 1.0
    total = dof.sum(-1)
    average = np.where(total > 0, values.sum(-1) / np.maximum(total, 1), np.nan)
    spread = np.maximum(total / stretch, 1e-6)
    whole = float(max(total.sum() / stretch, 1e-6))
    parts = {
        "values": np.where(used, values, np.nan),
        "dof": dof,
        "lower": np.where(used, lower, np.nan),
        "upper": np.where(used, upper, np.nan),
        "average": average,
        "average_lower": chdtri(spread, 1 - tail) / spread,
        "average_upper": chdtri(spread, tail) / spread,
    }
    inside = (values >= lower) & (values <= upper)
    return NormalisedSquares(
        **{name: part if batched else part[0] for name, part in parts.items()},
        overall=float(values.sum() / max(int(total.sum()), 1)),
        overall_lower=float(chdtri(whole, 1 - tail) / whole),
        overall_upper=float(chdtri(whole, tail) / whole),
        inside=float(inside[used].mean()) if used.any() else float("nan"),
        level=level,
    )


def _correlation_time(values: Array, dof: Array) -> float:
    """1 + 2 (sum of autocorrelations) of the normalised squares, tapered: errors of states last."""
    used = dof > 0
    away = np.where(used, values - dof, 0.0)
    own = float(np.square(away).sum())
    if own == 0:
        return 1.0
    count, total = int(used.sum()), 1.0
    lags = min(int(2 * np.sqrt(values.shape[1])), values.shape[1] - 1)
    for lag in range(1, lags + 1):
        pairs = int((used[:, lag:] & used[:, :-lag]).sum())
        if pairs:
            correlation = float((away[:, lag:] * away[:, :-lag]).sum()) / pairs / (own / count)
            total += 2 * (1 - lag / (lags + 1)) * correlation
    return max(total, 1.0)
