# SPDX-License-Identifier: BSD-3-Clause
"""Adam in passes over data that come in pieces: weights, running means, scaling and random numbers stay between calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import thread_count
from ..models import Cell
from ..rnn._compute import backend_for
from ..rnn._problem import loss_problem
from ._train_adam import Moments, adam_epoch
from ._train_journal import Clock
from ._train_run import Trainer
from ._train_settings import seeds_of, settle, template_of

if TYPE_CHECKING:
    from ._train_result import TrainResult
    from ._train_scaling import Scaling


@dataclass(frozen=True, slots=True)
class Passes:
    """Where a training in passes stands: the network reached, and what the next pass goes on with."""

    rnn: Any
    template: Any
    scaling: Scaling
    moments: Moments
    rng: np.random.Generator
    learn_h0: bool


def adam_pass(
    rnn_or_sizes: Any, x: Any, y: Any, before: Passes | None, *, rng: Any, start: str, lengths: Any = None, warmup: Any = "auto",
    learn_h0: bool = False, l2: Any = 0.0, learning_rate: Any = None, batch: Any = 32, window: Any = 128, threads: Any = None,
    inputs: Any = None, target: Any = None, **cell: Any,
) -> tuple[TrainResult, Passes]:  # fmt: skip
    """One epoch at a constant rate; the result of it, and what the next pass needs.

    Data are scaled as those of the first pass. Where the network overflows, the last good weights stay and the means begin anew.
    """
    words = {"cell": "elman", "hidden": "tanh", "output": "identity", "direct": False, "skip": False, **cell}
    template = template_of(rnn_or_sizes, x, y, **words, inputs=inputs, target=target)
    problem, _ = loss_problem(template, x, y, lengths=lengths, dtype=np.dtype(np.float64))
    settings = settle(
        template, problem, method="adam", start=start, starts=1, warmup=warmup, learn_h0=learn_h0, offsets=True, shrinkage=0,
        whiten=False, max_iterations=1, tolerance=None, max_radius=0.999, given=isinstance(rnn_or_sizes, Cell), backend=None, l2=l2,
        group_lasso=0, segment=None, last=False,
        adam={"learning_rate": learning_rate, "batch": batch, "window": window, "validation": 0, "patience": None,
              "schedule": "constant", "clip": 1.0, "carry": False},
    )  # fmt: skip
    module = backend_for(template, None, "forward", "loss_and_grad")
    trainer = Trainer(
        template, problem, settings, Clock(None, np.inf), seeds_of(rng, 1), module, thread_count(threads), False
    )
    attempt = trainer.attempts[0]
    if before is None or before.learn_h0 != settings.learn_h0:
        objective = trainer._begin(attempt)
        theta = objective.start()
        moments, numbers = Moments(theta, np.zeros_like(theta), np.zeros_like(theta)), attempt.rng
    else:
        attempt.kind, numbers = "given", before.rng
        trainer.scaling = before.scaling
        trainer.problem = replace(before.scaling.data(problem), warmup=trainer.problem.warmup)
        objective = trainer._objective(before.template)
        moments = replace(before.moments)
    attempt.objective = objective
    first = objective.gradient(moments.theta)[0]
    objective.best, objective.best_loss = moments.theta, first
    good, mean, rate = moments.theta, np.inf, settings.adam.learning_rate
    if np.isfinite(first):
        mean, rate = adam_epoch(objective, moments, settings.adam, numbers)
    last = objective.gradient(moments.theta)[0]
    if not np.isfinite(last) or moments.theta is good:  # the epoch went back to them, or must
        moments = Moments(good, np.zeros_like(good), np.zeros_like(good))
        last = first
        trainer.message = "the network overflowed: the last good weights were kept"
    objective.best, objective.best_loss = moments.theta, last
    attempt.journal.note("adam", 0, first, objective.radius(good), settings.adam.learning_rate)
    attempt.journal.note("adam", 1, mean, objective.radius(moments.theta), rate)
    attempt.raced = len(attempt.journal.steps)
    trainer.message = attempt.outcome = trainer.message or "one pass over the data"
    result = trainer._result()
    return result, Passes(result.rnn, objective.template, trainer.scaling, moments, numbers, settings.learn_h0)
