# SPDX-License-Identifier: BSD-3-Clause
"""Adam on windows of the series: cosine schedule, minibatches, early stopping on held-out windows.

Reference: Kingma and Ba, ICLR 2015; Loshchilov and Hutter, SGDR, ICLR 2017 (schedule).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from ..rnn._problem import counted

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_objective import Journal, Objective


UPDATES = 3000
"""Updates that the default number of epochs amounts to."""


@dataclass(frozen=True, slots=True)
class AdamOptions:
    """Settings of `method="adam"`."""

    learning_rate: float
    batch: int
    window: int
    validation: float
    patience: int | None
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces (series, first step) of equal length; `warmup` steps of each are not counted, but before a series' start."""

    problem: Problem
    places: Array
    length: int

    def batch(self, chosen: Array) -> Problem:
        """The problem on some of the windows."""
        series, first = self.places[chosen].T
        steps = first[:, None] + np.arange(self.length)
        pick = (series[:, None], steps)
        mask = None if self.problem.mask is None else self.problem.mask[pick]
        lengths = (
            None if self.problem.lengths is None else np.minimum(self.problem.lengths[series] - first, self.length)
        )
        y = cast("Array", self.problem.y)[pick]
        return replace(
            self.problem, x=self.problem.x[pick], y=y, mask=mask, lengths=lengths, h0=self.problem.h0[series]
        )


def cut(problem: Problem, length: int, validation: float, rng: np.random.Generator) -> tuple[Windows, Windows | None]:
    """Windows to train on and to check on: the last part of each series, or whole series where there are many.

    At most half of a window is warm-up.
    """
    n, steps = problem.x.shape[:2]
    length = min(length, steps)
    problem = replace(problem, warmup=min(problem.warmup, length // 2))
    stride = max(1, length - problem.warmup)
    ends = np.full(n, steps) if problem.lengths is None else problem.lengths
    counts = np.concatenate([np.zeros((n, 1)), counted(problem).sum(axis=2).cumsum(axis=1)], axis=1)
    train, check = [], []
    many = n >= 20
    held = set(rng.permutation(n)[: round(validation * n)].tolist()) if many else set()
    for series in range(n):
        last = max(int(ends[series]) - length, 0)
        firsts = np.unique(np.append(np.arange(0, last + 1, stride), last))
        border = last + 1 if many else int(ends[series]) - round(validation * int(ends[series]))
        for first in firsts:
            place = (series, int(first))
            end, begin = min(first + length, steps), first + problem.warmup
            if begin >= end or counts[series, end] == counts[series, begin]:
                continue
            if series in held or (not many and validation > 0 and first + problem.warmup >= border):
                check.append(place)
            elif many or first + length <= max(border, length):
                train.append(place)
    if not train and not check:  # targets so sparse that no window holds one: whole series
        train, length = [(series, 0) for series in range(n)], steps
    checking = Windows(problem, np.array(check), length) if check else None
    return Windows(problem, np.array(train or check), length), checking


def adam(
    objective: Objective,
    theta: Array,
    journal: Journal,
    options: AdamOptions,
    *,
    max_iterations: int | None,
    rng: np.random.Generator,
) -> tuple[Array, bool, str]:
    """Weights, whether ended by early stopping or the whole schedule, and a word why. One iteration is one epoch."""
    windows, checking = cut(objective.problem, options.window, options.validation, rng)
    per_epoch = -(-len(windows.places) // options.batch)
    max_iterations = max(20, -(-UPDATES // per_epoch)) if max_iterations is None else max_iterations
    patience = max(20, max_iterations // 2) if options.patience is None else options.patience
    first_moment, second_moment = np.zeros_like(theta), np.zeros_like(theta)
    count, total = 0, max_iterations * per_epoch
    since_best, rate = 0, options.learning_rate
    score = _score(objective, theta, checking)
    objective.keep(theta, score)
    journal.note("adam", 0, _score(objective, theta, windows), objective.radius(theta), rate, score)
    for epoch in range(1, max_iterations + 1):
        order, losses = rng.permutation(len(windows.places)), []
        for at in range(0, len(order), options.batch):
            loss, gradient = _batch_gradient(objective, theta, windows, order[at : at + options.batch])
            if not np.isfinite(loss):
                theta = theta if objective.best is None else objective.best.copy()
                first_moment[:] = 0
                continue
            losses.append(loss)
            size = float(np.linalg.norm(gradient))
            gradient *= min(1.0, options.clip / max(size, 1e-300))
            count += 1
            rate = options.learning_rate * 0.5 * (1 + np.cos(np.pi * min(1.0, count / total)))
            first_moment = 0.9 * first_moment + 0.1 * gradient
            second_moment = 0.999 * second_moment + 0.001 * gradient**2
            unbiased = first_moment / (1 - 0.9**count), second_moment / (1 - 0.999**count)
            theta = _guarded(objective, theta - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8))
        score = _score(objective, theta, checking) if checking else _score(objective, theta, None)
        since_best = 0 if score < objective.best_loss else since_best + 1
        objective.keep(theta, score)
        mean = float(np.mean(losses)) if losses else np.inf
        journal.note("adam", epoch, mean, objective.radius(theta), rate, score if checking else np.nan)
        if checking and since_best >= patience:
            return _best(objective, theta), True, f"the held-out loss has not improved for {patience} epochs"
    return _best(objective, theta), True, "the whole schedule was run"


def _best(objective: Objective, theta: Array) -> Array:
    return theta if objective.best is None else objective.best


def _on(objective: Objective, theta: Array, problem: Problem) -> Problem:
    """The problem of some windows under these weights."""
    whole = objective.at(theta)
    h0 = np.broadcast_to(whole.h0[:1], problem.h0.shape) if objective.learn_h0 else problem.h0
    return replace(problem, weights=whole.weights, h0=h0)


def _batch_gradient(objective: Objective, theta: Array, windows: Windows, chosen: Array) -> tuple[float, Array]:
    return objective.gradient(theta, _on(objective, theta, windows.batch(chosen)))


def _score(objective: Objective, theta: Array, windows: Windows | None) -> float:
    """Loss on all windows, or on the whole problem."""
    if windows is None:
        return objective.gradient(theta)[0]
    return _batch_gradient(objective, theta, windows, np.arange(len(windows.places)))[0]


def _guarded(objective: Objective, theta: Array) -> Array:
    """The weights, with U shrunk to the stability limit where it is guarded."""
    if not objective.is_guarded():
        return theta
    radius = objective.radius(theta)
    if radius > objective.max_radius:
        objective.weights(theta)["U"][...] *= 0.999 * objective.max_radius / radius
    return theta
