# SPDX-License-Identifier: BSD-3-Clause
"""Questions that training asks of its data: units, offsets, a shorter part, how long a start is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models import Elman
from ..models._activation import ACTIVATIONS
from ..rnn._parameters import names_of
from ..rnn._problem import counted
from ._train_scaling import Scaling
from ._train_starts import offset_evidence

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Cell
    from ..rnn._problem import Problem

OFFSET_EVIDENCE = 4.0
"""Squared standard errors from zero at which a linear network gets offsets."""

FORGOTTEN = 1e-3
"""The automatic warm-up ends when the start moves the outputs by less than this part of the error that remains."""


def is_linear(net: Any) -> bool:
    """Whether a network is a linear map of its inputs."""
    return isinstance(net, Elman) and net.is_linear


def scaling_of(template: Cell, problem: Problem, offsets: bool | None) -> tuple[Scaling, bool]:
    """The scaling, and whether the network gets offsets: None asks the data, where network and start are linear."""
    linear = template.output == "identity" and template.V is not None
    movable = getattr(template, "B", None) is None  # what passes by a skip path has no offset to put a mean into
    centred = Scaling.of(problem, linear_output=linear, centred=True)
    if offsets is None:
        offsets = not (is_linear(template) and linear and movable) or bool(template.b.any() or template.c.any())
        if not offsets:
            y_mean = np.linalg.solve(centred.L, centred.y_mean)
            evidence = offset_evidence(
                centred.data(problem), centred.x_mean / centred.x_std, y_mean, template.dims.hidden
            )
            offsets = evidence > OFFSET_EVIDENCE
    if not offsets:
        return Scaling.of(problem, linear_output=linear, centred=False), offsets
    return (centred if movable else replace(centred, x_mean=np.zeros_like(centred.x_mean))), offsets


def offsets_of(template: Cell, learn_h0: bool) -> Array:
    """True where the vector of weights holds b and c."""
    names = names_of(template, learn_h0)
    sizes = [template.dims.hidden if name in template.STARTS else getattr(template, name).size for name in names]
    return np.repeat([name in ("b", "c") for name in names], sizes)


def shortened(problem: Problem, count: int) -> Problem:
    """The first steps (of the first series, where there are many) with about `count` targets."""
    n, steps, _ = problem.x.shape
    few = max(1, min(n, -(-count // steps)))
    last = min(steps, max(count + problem.warmup, 2 * problem.warmup + 2))
    lengths = None if problem.lengths is None else np.minimum(problem.lengths[:few], last)
    mask = None if problem.mask is None else problem.mask[:few, :last]
    y = cast("Array", problem.y)[:few, :last]
    c0 = None if problem.c0 is None else problem.c0[:few]
    short = replace(problem, x=problem.x[:few, :last], y=y, h0=problem.h0[:few], c0=c0, lengths=lengths, mask=mask)
    return short if counted(short).sum() >= count / 2 else problem


def fitting(problem: Problem, rnn: Any) -> Problem:
    """The problem with the starts of the first units, where the network has fewer."""
    n = rnn.dims.hidden
    return replace(problem, h0=problem.h0[:, :n], c0=None if problem.c0 is None else problem.c0[:, :n])


def warmup_bound(problem: Problem) -> int:
    """A tenth of the length of a typical series."""
    typical = problem.x.shape[1] if problem.lengths is None else float(np.median(problem.lengths))
    return int(typical) // 10


def warmup_needed(net: Any, problem: Problem, error: float, bound: int, backend: Any, threads: int) -> int:
    """Steps after which the start moves the outputs by less than FORGOTTEN of the root mean squared error."""
    enough = FORGOTTEN * (float(np.sqrt(error)) if 0 < error < 1 else 1.0)
    steps = min(problem.x.shape[1], 5000)
    c0 = None if problem.c0 is None else problem.c0[:8]
    few = replace(problem, x=problem.x[:8, :steps], h0=problem.h0[:8], c0=c0, lengths=None)
    few = replace(few, x=np.where(np.isfinite(few.x), few.x, 0.0))
    raw = backend.forward_raw(few, threads)
    if isinstance(net, Elman) and net.A is None and net.V is not None:
        return _by_slope(net, raw["h"].reshape(-1, net.dims.hidden), enough, bound)
    return _by_trial(raw, few, enough, bound, backend, threads)


def _by_slope(net: Elman, h: Array, enough: float, bound: int) -> int:
    """From the linear recursion that the network is on average."""
    h = h[np.isfinite(h).all(axis=1)]
    spread = h.std(axis=0) if len(h) else np.ones(net.dims.hidden)
    slopes = ACTIVATIONS[net.hidden].slope(h).mean(axis=0) if len(h) else np.ones(net.dims.hidden)
    F = slopes[:, None] * net.U
    effect = np.array(net.V)
    for k in range(bound):
        if np.abs(effect * spread).max() < enough:
            return k
        effect = effect @ F
    return bound


def _by_trial(raw: dict[str, Any], few: Problem, enough: float, bound: int, backend: Any, threads: int) -> int:
    """By running the network from another start, a standard deviation away in every unit."""

    def moved(start: Array, states: Array) -> Array:
        there: Array = start + np.nan_to_num(np.nanstd(states, axis=(0, 1)), posinf=1.0)
        return there

    c0 = None if few.c0 is None else moved(few.c0, raw["c"])
    other = backend.forward_raw(replace(few, h0=moved(few.h0, raw["h"]), c0=c0), threads)
    name = "h" if raw.get("y") is None else "y"
    effect: Array = np.nan_to_num(np.abs(other[name] - raw[name]), nan=np.inf).max(axis=(0, 2))
    late = np.flatnonzero(effect >= enough)
    return min(bound, int(late[-1]) + 1) if len(late) else 0
