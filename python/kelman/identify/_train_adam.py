# SPDX-License-Identifier: BSD-3-Clause
"""Adam on pieces of the series: schedules, minibatches, clipped gradients, early stopping on a held-out part.

References: Kingma and Ba, ICLR 2015; Loshchilov and Hutter, SGDR, ICLR 2017 (cosine); Smith and Topin, 2019 (one cycle);
Pascanu, Mikolov and Bengio, ICML 2013 (clipping); Williams and Peng, Neural Computation 2 (1990) 490 (truncation).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..rnn._problem import counted
from ._train_journal import StopTraining
from ._train_windows import Lanes, Windows, cut, held_out, lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_journal import Journal
    from ._train_objective import Objective


UPDATES = 3000
"""Updates that the default number of epochs amounts to."""

RISE = 0.3
"""Part of the schedule "onecycle" in which the rate rises."""

SEEN = 10
"""Without a held-out part, the loss of all data is computed at most every so many epochs, and after the last."""

LOST = 3
"""Epochs without one finite loss after which training gives up."""


@dataclass(frozen=True, slots=True)
class AdamOptions:
    """Settings of `method="adam"`."""

    learning_rate: float
    batch: int
    window: int
    validation: float
    patience: int | None
    schedule: str = "cosine"
    clip: float = 1.0
    carry: bool = False


def rate_at(schedule: str, part: float) -> float:
    """Learning rate over its largest value when a part (0 to 1) of the updates is done."""
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + float(np.cos(np.pi * min(1.0, part))))
    if part < RISE:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - float(np.cos(np.pi * part / RISE)))
    return 1e-4 + (1 - 1e-4) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, (part - RISE) / (1 - RISE)))))


@dataclass(slots=True)
class Moments:
    """What Adam remembers: weights, running means of gradient and square, and the count of updates."""

    theta: Array
    mean: Array
    square: Array
    count: int = 0

    def update(self, gradient: Array, rate: float) -> None:
        """One step; arrays are made anew, never changed in place."""
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        mean, square = self.mean / (1 - 0.9**self.count), self.square / (1 - 0.999**self.count)
        self.theta = self.theta - rate * mean / (np.sqrt(square) + 1e-8)


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
    record = objective.resume(journal)
    if record is not None and record["ended"]:
        return record["theta"], record["done"], record["word"]
    windows, checking, borders = cut(objective.problem, options.window, options.validation, rng)
    pieces = None
    check = None if checking is None else checking.batch(np.arange(len(checking.places)))
    if options.carry:
        pieces = lanes(objective.problem, windows.length, borders, options.batch)
        check = held_out(objective.problem, borders)
    per_epoch = _updates(windows, pieces, options.batch)
    max_iterations = max(20, -(-UPDATES // per_epoch)) if max_iterations is None else max_iterations
    patience = max(20, max_iterations // 2) if options.patience is None else options.patience
    total = max_iterations * per_epoch
    every = 1 if check else min(SEEN, max(1, max_iterations // 5))
    moments = Moments(theta, np.zeros_like(theta), np.zeros_like(theta))
    since_best, lost, began, score = 0, 0, 1, np.inf
    if record is None:
        known = check is None and theta is objective.best
        score = objective.best_loss if known else _score(objective, theta, check)
        objective.keep(theta, score)
        first = _score(objective, theta, windows.batch(np.arange(len(windows.places)))) if check else score
        journal.note("adam", 0, first, objective.radius(theta), options.learning_rate, score if check else np.nan)
    else:
        moments = Moments(record["theta"], record["mean"], record["square"], record["count"])
        since_best, lost, began = record["since_best"], record["lost"], record["epoch"]
        rng.bit_generator.state = json.loads(record["rng"])
    try:
        for epoch in range(began, max_iterations + 1):
            objective.store(journal, moments.theta, _state(moments, epoch, since_best, lost, rng))
            batches = _gradients(objective, moments, windows, pieces, options.batch, rng)
            mean, rate = _epoch(objective, moments, batches, options, total)
            lost = lost + 1 if mean == np.inf else 0
            if epoch % every == 0 or epoch == max_iterations:
                score = _score(objective, moments.theta, check)
                since_best = 0 if score < objective.best_loss else since_best + 1
                objective.keep(moments.theta, score)
            radius = objective.radius(moments.theta)
            journal.note("adam", epoch, mean, radius, rate, score if check else np.nan)
            if lost >= LOST:
                word = f"the network overflowed in {LOST} whole epochs"
                return objective.ended(journal, _best(objective, theta), False, word)
            if check and since_best >= patience:
                word = f"the held-out loss has not improved for {patience} epochs"
                return objective.ended(journal, _best(objective, theta), True, word)
    except (StopTraining, KeyboardInterrupt):
        if every > 1:
            objective.keep(moments.theta, _score(objective, moments.theta, check))
        raise
    return objective.ended(journal, _best(objective, theta), True, "the whole schedule was run")


def adam_epoch(
    objective: Objective, moments: Moments, options: AdamOptions, rng: np.random.Generator
) -> tuple[float, float]:
    """One epoch over all data at a constant rate, in windows; `moments` go on. Mean loss (inf if none is finite), and the rate."""
    windows, _, _ = cut(objective.problem, options.window, 0.0, rng)
    batches = _gradients(objective, moments, windows, None, options.batch, rng)
    return _epoch(objective, moments, batches, options, 1)


def _epoch(
    objective: Objective,
    moments: Moments,
    batches: Iterator[tuple[float, Array]],
    options: AdamOptions,
    total: int,
) -> tuple[float, float]:
    """One update for each batch with a finite loss; their mean loss (inf if there is none), and the last learning rate."""
    losses, rate = [], 0.0
    for loss, gradient in batches:
        if not np.isfinite(loss):
            if objective.best is not None:
                moments.theta = objective.best
            moments.mean = np.zeros_like(moments.theta)
            continue
        losses.append(loss)
        clipped = gradient * min(1.0, options.clip / max(float(np.sqrt(gradient @ gradient)), 1e-300))
        rate = options.learning_rate * rate_at(options.schedule, (moments.count + 1) / total)
        moments.update(clipped, rate)
        moments.theta = objective.shrunk(moments.theta)
    return float(np.mean(losses)) if losses else np.inf, rate


def _state(moments: Moments, epoch: int, since_best: int, lost: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "mean": moments.mean,
        "square": moments.square,
        "count": moments.count,
        "epoch": epoch,
        "since_best": since_best,
        "lost": lost,
        "rng": json.dumps(rng.bit_generator.state),
    }


def _updates(windows: Windows, pieces: Lanes | None, batch: int) -> int:
    """Updates of one epoch."""
    if pieces is None:
        return -(-len(windows.places) // batch)
    everything = np.arange(len(pieces.places))
    return sum(len(pieces.pieces(everything[at : at + batch])) for at in range(0, len(everything), batch))


def _gradients(
    objective: Objective, moments: Moments, windows: Windows, pieces: Lanes | None, batch: int, rng: np.random.Generator
) -> Iterator[tuple[float, Array]]:
    """Loss and gradient of every batch of an epoch, at the weights as they are by then."""
    if pieces is None:
        order = rng.permutation(len(windows.places))
        for at in range(0, len(order), batch):
            yield _on(objective, moments.theta, windows.batch(order[at : at + batch]))
        return
    order = rng.permutation(len(pieces.places))
    for at in range(0, len(order), batch):
        state: dict[str, Array] = {}
        for alive, piece in pieces.pieces(order[at : at + batch]):
            changed: dict[str, Any] = {name: value[alive] for name, value in state.items()}
            problem = objective.at(moments.theta, replace(piece, **changed))
            state = _carried(objective, problem, alive, len(order[at : at + batch]))
            if _counts(problem):
                yield objective.gradient(moments.theta, problem)


def _counts(problem: Problem) -> bool:
    """Whether a piece holds a target at all."""
    return bool((counted(problem) > 0).any())


def _carried(objective: Objective, problem: Problem, alive: Array, lanes: int) -> dict[str, Array]:
    """The state of every lane after a piece; zeros where a lane has ended or overflowed."""
    raw = objective.backend.forward_raw(problem, objective.threads)
    steps = problem.x.shape[1]
    last = np.full(len(alive), steps) if problem.lengths is None else problem.lengths
    state = {}
    for name, values in (("h0", "h"), ("c0", "c")):
        if name == "c0" and problem.c0 is None:
            continue
        ends = raw[values][np.arange(len(alive)), last - 1]
        state[name] = np.zeros((lanes, ends.shape[1]))
        state[name][alive] = np.where(np.isfinite(ends), ends, 0)
    return state


def _best(objective: Objective, theta: Array) -> Array:
    return theta if objective.best is None else objective.best


def _on(objective: Objective, theta: Array, problem: Problem) -> tuple[float, Array]:
    return objective.gradient(theta, objective.at(theta, problem))


def _score(objective: Objective, theta: Array, problem: Problem | None) -> float:
    """Loss on some of the data, or on all."""
    return objective.gradient(theta)[0] if problem is None else _on(objective, theta, problem)[0]
