# SPDX-License-Identifier: BSD-3-Clause
"""Multiple shooting: the state at the start of every segment is a free variable, gaps between segments cost.

    minimise  loss(weights, starts) + mu mean_j |end of segment j - start of segment j + 1|^2
over weights and starts, mu rising from stage to stage: by Levenberg-Marquardt on the weights jointly with all starts, the
starts eliminated (`_train_shooting_equations.py`), or by L-BFGS. Errors do not grow over more than one segment, so that the
loss stays smooth where the recursion is long, nearly unstable or chaotic. What follows is ordinary training.
References: Bock, 1983; Ribeiro et al., Automatica 121 (2020) 109158 (smoothness of simulation errors).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..rnn._parameters import names_of, pack
from ..rnn._problem import counted
from ._train_lbfgs import lbfgs
from ._train_lm import levenberg_marquardt
from ._train_objective import Objective
from ._train_shooting_equations import Assembly
from ._train_starts import fitted_readout
from ._train_windows import picked, series_ends

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_journal import Journal

STAGES = {"lm": (0.1, 10.0, 1000.0), "lbfgs": (1.0, 10.0, 100.0, 1000.0)}
"""Costs of the gaps, one after the other."""

LM_ITERATIONS, LBFGS_ITERATIONS = 50, 150
"""Iterations of every stage."""

NARROW = 0.1
"""Least deviation of a number of the starts, in parts of its size and of the largest deviation."""

VIEW = 32
"""Targets of a segment that its first state is made of at most."""

NOWHERE = 10.0
"""Multiple shooting is given up where its weights, without it, have a loss so many times that of the start."""

ENOUGH = 1e-3
"""Relative gain at which a stage of Levenberg-Marquardt ends: the next one asks for something else."""

SPREAD = 0.3
"""Deviation of the states at the start of segments to begin with."""


@dataclass(slots=True)
class Segments:
    """Series cut into segments: the problem on them, the weight of every target, and which segment each one follows.

    Segment `after[k]` begins where segment `before[k]` ends, after `last[before[k]] + 1` steps. Segment k has the steps from
    `first[k]` of `series[k]`.
    """

    problem: Problem
    weight: Array
    last: Array
    before: Array
    after: Array
    series: Array
    first: Array

    @classmethod
    def of(cls, problem: Problem, length: int) -> Segments:
        """Cut every series into segments of this length; the last may be shorter."""
        ends = series_ends(problem)
        places = [(k, int(first)) for k, end in enumerate(ends) for first in range(0, int(end), length)]
        series, first = np.array(places).T
        weighted = replace(problem, mask=counted(problem), warmup=0)
        cut = picked(weighted, series, first, min(length, problem.x.shape[1]), ends[series])
        lengths = np.minimum(ends[series] - first, length)
        after = np.flatnonzero(first > 0)
        return cls(replace(cut, mask=None), counted(cut), lengths - 1, after - 1, after, series, first)


@dataclass(slots=True)
class Shooting(Objective):
    """The loss of weights and starts, in one vector: weights first, then h (and c) at the start of every later segment."""

    segments: Any = None
    mu: float = 1.0
    spread: Array | None = None  # deviation of every number of the starts: its gaps are measured by it (s,)

    def split(self, theta: Array) -> tuple[Array, dict[str, Array]]:
        """The weights, and the starts by name (segments, h)."""
        names = self.template.STARTS
        count, n = len(self.segments.after), self.template.dims.hidden
        inner = theta.size - len(names) * count * n
        starts = theta[inner:].reshape(len(names), count, n)
        return theta[:inner], dict(zip(names, starts, strict=True))

    def placed(self, weights: Array, starts: dict[str, Array]) -> Problem:
        """The problem on the segments, with these weights and starts."""
        at = self.at(weights, self.segments.problem)
        shared = {name: np.array(getattr(at, name), order="C") for name in starts}
        for name, value in starts.items():
            shared[name][self.segments.after] = value
        return replace(at, **cast("dict[str, Any]", shared))

    def cost(self) -> float:
        """What the square of one number of one gap costs."""
        return float(self.mu) / max(1, len(self.segments.after) * int(self.template.dims.hidden))

    def normal_equations(self, theta: Array) -> Any:
        """Loss, with penalties and the cost of the gaps, and the equations by weights and starts."""
        with np.errstate(all="ignore"):  # an overflow is an infinite loss
            loss, equations = Assembly(self, theta).equations()
        return (loss if np.isfinite(loss) else np.inf), equations

    def linearised(self, theta: Array, data: Any) -> tuple[float, Any]:  # noqa: ARG002
        """The same: the penalties are in it."""
        loss, equations = data
        return loss, equations

    def guarded(self, theta: Array) -> tuple[float, Array]:
        """Loss and gradient; the loss is infinite where a segment overflows or the guard refuses the weights."""
        weights, starts = self.split(theta)
        s, nothing = self.segments, (np.inf, np.zeros_like(theta))
        if not np.isfinite(theta).all() or not self.is_stable(weights):
            return nothing
        at = self.placed(weights, starts)
        raw = self.backend.forward_raw(at, self.threads)
        if raw["status"].any():
            return nothing
        y = raw["h"] if raw.get("y") is None else raw["y"]
        error = np.where(s.weight > 0, y - np.nan_to_num(cast("Array", at.y)), 0.0)
        total = float(s.weight.sum())
        loss = float((s.weight * error**2).sum()) / total
        g_y, g_h, g_c = 2 * s.weight * error / total, np.zeros_like(raw["h"]), None
        cost = self.cost()
        pulls = {}
        for name, values in starts.items():
            ends = raw["h" if name == "h0" else "c"][s.before, s.last[s.before]]
            gap = ends - values
            loss += cost * float((gap**2).sum())
            pulls[name] = -2 * cost * gap
            if name == "h0":
                g_h[s.before, s.last[s.before]] = 2 * cost * gap
            else:
                g_c = np.zeros_like(at.h0)
                g_c[s.before] = 2 * cost * gap
        if raw.get("y") is None or "V" not in at.weights:
            g_y, g_h = None, g_h + g_y
        found = self.backend.vjp_raw(at, g_y, g_h, self.threads, g_c=g_c)
        return self._flat(theta, loss, found, pulls)

    def _flat(self, theta: Array, loss: float, found: dict[str, Array], pulls: dict[str, Array]) -> tuple[float, Array]:
        weights, _ = self.split(theta)
        first = np.ones(len(self.segments.last), dtype=bool)
        first[self.segments.after] = False
        parts = []
        for name in names_of(self.template, self.learn_h0):
            value = found[name]
            parts.append(np.ravel(value[first].sum(axis=0) if name in self.template.STARTS else value))
        inner = np.concatenate(parts)
        if self.penalty is not None:
            loss, inner = self.penalty.add(weights, loss, inner)
        if self.frozen is not None:
            inner[self.frozen] = 0
        outer = [np.ravel(found[name][self.segments.after] + pull) for name, pull in pulls.items()]
        gradient = np.concatenate([inner, *outer])
        return (loss, gradient) if np.isfinite(loss) and np.isfinite(gradient).all() else (np.inf, 0 * theta)

    def keep(self, theta: Array, loss: float) -> None:
        """Remember the vector if it is the best so far."""
        if loss < self.best_loss:
            self.best, self.best_loss = theta.copy(), float(loss)

    def found(self, otherwise: Array) -> Array:
        """The best vector, if there is one."""
        return otherwise if self.best is None else self.best


def shoot(
    objective: Objective,
    journal: Journal,
    length: int,
    rng: np.random.Generator,
    *,
    max_iterations: int | None,
    tolerance: float,
    method: str,
    known: bool,
) -> str:
    """Take the objective to weights found by multiple shooting, and tell in words what was done.

    `known` says that the states of the network at its start mean something.
    """
    segments = Segments.of(objective.problem, length)
    copied = ("template", "problem", "backend", "threads", "learn_h0", "max_radius", "number", "frozen", "penalty")
    shooting = Shooting(**{name: getattr(objective, name) for name in copied}, segments=segments)
    theta, given, before = objective.start(), objective.template, len(journal.steps)
    for name, value in objective.weights(theta).items():
        if name in objective.template.STARTS and not value.any():  # states of zero may be a point where nothing moves
            value[:] = SPREAD * rng.normal(size=value.shape)
    if method == "lm":
        vector = _first_starts(shooting, theta, rng, known=known)
    else:
        width = len(shooting.template.STARTS) * len(segments.after) * shooting.template.dims.hidden
        vector = np.concatenate([theta, SPREAD * rng.normal(size=width)])
    try:
        for mu in STAGES[method]:
            shooting.mu, shooting.best, shooting.best_loss = mu, None, np.inf
            vector = _stage(shooting, vector, journal, method, max_iterations, tolerance)
    finally:  # also where it is interrupted
        nowhere = _go_on(objective, given, shooting.split(shooting.found(vector))[0])
    way = "Levenberg-Marquardt" if method == "lm" else "L-BFGS"
    return (
        f"{len(segments.last)} segments of up to {length} steps, {len(segments.after)} of them with a free start, "
        f"by {way}: {len(journal.steps) - before} iterations"
    ) + ", given up" * nowhere


def _go_on(objective: Objective, given: Any, weights: Array) -> bool:
    """Take the weights over, unless they are useless on whole series; True if they are."""
    start = objective.gradient(objective.start())[0]
    objective.template = objective.network(weights)
    loss = objective.gradient(weights)[0] if objective.is_stable(weights) else np.inf
    nowhere = not loss < NOWHERE * start
    if nowhere:
        objective.template = given
    return nowhere


def _first_starts(shooting: Shooting, theta: Array, rng: np.random.Generator, *, known: bool) -> Array:
    """The vector to begin with: starts are the states that a known network has there. Those of another one are made of the
    targets that follow, by principal components, and its readout is fitted to them.
    """
    s, net = shooting.segments, shooting.network(theta)
    n, names = net.dims.hidden, net.STARTS
    if known:
        raw = shooting.backend.forward_raw(shooting.at(theta), shooting.threads)
        states = [
            np.nan_to_num(raw[letter][s.series, np.maximum(s.first - 1, 0)]) for letter in ("h", "c")[: len(names)]
        ]
        return np.concatenate([theta, *(np.ravel(np.clip(state, -1e3, 1e3)[s.after]) for state in states)])
    y, weight = (part[:, :VIEW].reshape(len(s.last), -1) for part in (cast("Array", s.problem.y), s.weight))
    seen = np.where(weight > 0, np.nan_to_num(y), 0.0)
    left, _, _ = np.linalg.svd(seen - seen.mean(axis=0), full_matrices=False)
    rank = min(n, left.shape[1])
    state = 0.1 * rng.normal(size=(len(seen), n))
    state[:, :rank] += np.sqrt(len(seen)) * left[:, :rank]
    state *= SPREAD
    starts = dict.fromkeys(names, state[s.after])
    h = shooting.backend.forward_raw(shooting.placed(theta, starts), shooting.threads)["h"]
    fitted = fitted_readout(net, replace(s.problem, mask=s.weight), h)
    return np.concatenate([pack(fitted, learn_h0=shooting.learn_h0), *(np.ravel(value) for value in starts.values())])


def _spread(starts: list[Array]) -> Array:
    """Deviation of every number of the starts, not much below its size nor below the others' deviations."""
    values = np.concatenate(starts, axis=1)
    if len(values) == 0:
        return np.ones(values.shape[1])
    spread: Array = np.maximum(values.std(axis=0), NARROW * np.sqrt((values**2).mean(axis=0)))
    return np.maximum(spread, max(NARROW * float(spread.max()), 1e-6))


def _stage(
    shooting: Shooting, vector: Array, journal: Journal, method: str, max_iterations: int | None, tolerance: float
) -> Array:
    if method == "lm":
        shooting.spread = _spread(list(shooting.split(vector)[1].values()))
        levenberg_marquardt(
            shooting, vector, journal, phase="shooting", max_iterations=max_iterations or LM_ITERATIONS,
            tolerance=max(tolerance, ENOUGH),
        )  # fmt: skip
    else:
        iterations = max_iterations or LBFGS_ITERATIONS
        lbfgs(shooting, vector, journal, max_iterations=iterations, tolerance=tolerance, phase="shooting")
    return shooting.found(vector)
