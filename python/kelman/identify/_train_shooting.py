# SPDX-License-Identifier: BSD-3-Clause
"""Multiple shooting: the state at the start of every segment is a free variable, gaps between segments cost.

    minimise  loss(weights, starts) + mu mean_j |end of segment j - start of segment j + 1|^2
over weights and starts by L-BFGS, mu rising from stage to stage. Errors do not grow over more than one segment, so that the
loss stays smooth where the recursion is long, nearly unstable or chaotic. What follows is ordinary training.
References: Bock, 1983; Ribeiro et al., Automatica 121 (2020) 109158 (smoothness of simulation errors).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..rnn._parameters import names_of
from ..rnn._problem import counted
from ._train_lbfgs import lbfgs
from ._train_objective import Objective
from ._train_windows import picked, series_ends

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_journal import Journal

STAGES = (1.0, 10.0, 100.0, 1000.0)
"""Costs of the gaps, one after the other."""

SPREAD = 0.3
"""Deviation of the states at the start of segments to begin with."""


@dataclass(slots=True)
class Segments:
    """Series cut into segments: the problem on them, the weight of every target, and which segment each one follows.

    Segment `after[k]` begins where segment `before[k]` ends, after `last[before[k]] + 1` steps.
    """

    problem: Problem
    weight: Array
    last: Array
    before: Array
    after: Array

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
        return cls(replace(cut, mask=None), counted(cut), lengths - 1, after - 1, after)


@dataclass(slots=True)
class Shooting(Objective):
    """The loss of weights and starts, in one vector: weights first, then h (and c) at the start of every later segment."""

    segments: Any = None
    mu: float = 1.0

    def split(self, theta: Array) -> tuple[Array, dict[str, Array]]:
        """The weights, and the starts by name (segments, h)."""
        names = self.template.STARTS
        count, n = len(self.segments.after), self.template.dims.hidden
        inner = theta.size - len(names) * count * n
        starts = theta[inner:].reshape(len(names), count, n)
        return theta[:inner], dict(zip(names, starts, strict=True))

    def guarded(self, theta: Array) -> tuple[float, Array]:
        """Loss and gradient; the loss is infinite where a segment overflows or the guard refuses the weights."""
        weights, starts = self.split(theta)
        s, nothing = self.segments, (np.inf, np.zeros_like(theta))
        if not np.isfinite(theta).all() or not self.is_stable(weights):
            return nothing
        at = self.at(weights, s.problem)
        shared = {name: np.array(getattr(at, name), order="C") for name in starts}
        for name, value in starts.items():
            shared[name][s.after] = value
        at = replace(at, **cast("dict[str, Any]", shared))
        raw = self.backend.forward_raw(at, self.threads)
        if raw["status"].any():
            return nothing
        y = raw["h"] if raw.get("y") is None else raw["y"]
        error = np.where(s.weight > 0, y - np.nan_to_num(cast("Array", at.y)), 0.0)
        total = float(s.weight.sum())
        loss = float((s.weight * error**2).sum()) / total
        g_y, g_h, g_c = 2 * s.weight * error / total, np.zeros_like(raw["h"]), None
        cost = self.mu / max(1, len(s.after) * self.template.dims.hidden)
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

    def radius(self, theta: Array) -> float:
        """Spectral radius, from the weights in the vector."""
        return Objective.radius(self, theta)


def shoot(
    objective: Objective,
    journal: Journal,
    length: int,
    rng: np.random.Generator,
    *,
    max_iterations: int,
    tolerance: float,
) -> str:
    """Take the objective to weights found by multiple shooting, where they are finite over whole series; a word how it went."""
    segments = Segments.of(objective.problem, length)
    copied = ("template", "problem", "backend", "threads", "learn_h0", "max_radius", "number", "frozen", "penalty")
    shooting = Shooting(**{name: getattr(objective, name) for name in copied}, segments=segments)
    theta = objective.start()
    for name, value in objective.weights(theta).items():
        if name in objective.template.STARTS and not value.any():  # states of zero may be a point where nothing moves
            value[:] = SPREAD * rng.normal(size=value.shape)
    width = len(shooting.template.STARTS) * len(segments.after) * shooting.template.dims.hidden
    vector, word = np.concatenate([theta, SPREAD * rng.normal(size=width)]), ""
    for mu in STAGES:
        shooting.mu, shooting.best, shooting.best_loss = mu, None, np.inf
        vector, _, word = lbfgs(
            shooting, vector, journal, max_iterations=max_iterations, tolerance=tolerance, phase="shooting"
        )
        vector = shooting.found(vector)
    weights = shooting.split(vector)[0]
    objective.template = objective.network(weights)
    return word
