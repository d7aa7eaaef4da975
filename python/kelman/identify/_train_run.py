# SPDX-License-Identifier: BSD-3-Clause
"""One training: several starts are raced, the best is polished, the scaling is folded back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models._activation import ACTIVATIONS
from ._train_adam import AdamOptions, adam
from ._train_lbfgs import lbfgs
from ._train_lm import levenberg_marquardt
from ._train_objective import Journal, Objective, StopTraining
from ._train_result import Failure, TrainResult
from ._train_scaling import Scaling
from ._train_starts import linear_start, random_start

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Elman
    from ..rnn._problem import Problem

TRIAL_ITERATIONS = 12
"""Iterations that every start gets before the best one goes on."""

FORGOTTEN = 1e-4
"""The automatic warm-up ends when the start moves the outputs by less than this part of their deviation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked options of one call."""

    method: str
    start: str
    starts: int
    warmup: int | None
    learn_h0: bool
    max_iterations: int
    tolerance: float
    max_radius: float
    adam: AdamOptions


class Trainer:
    """One call of `train`: its starts, its optimiser, and what became of them."""

    def __init__(
        self,
        template: Elman,
        problem: Problem,
        settings: Settings,
        journal: Journal,
        rng: np.random.Generator,
        backend: Any,
        threads: int,
    ) -> None:
        self.settings, self.journal, self.rng, self.threads = settings, journal, rng, threads
        self.backend = backend
        self.original = problem
        self.scaling = Scaling.of(problem, linear_output=template.output == "identity")
        self.template = self.scaling.into(template)
        self.bound = _warmup_bound(problem)
        warmup = min(60, self.bound) if settings.warmup is None else settings.warmup
        self.problem = replace(self.scaling.data(problem), warmup=warmup)
        self.failures: list[Failure] = []
        self.seen: list[Objective] = []
        self.converged, self.message = False, ""

    def run(self) -> TrainResult:
        """Race the starts, polish the best, and fold the scaling back."""
        best: Objective | None = None
        interrupted = False
        try:
            candidates = self._race()
            best = candidates[0] if candidates else None
            for objective in candidates:
                best = objective if best is None or objective.best_loss < best.best_loss else best
                if self._polish(objective):
                    best = objective
                    break
        except StopTraining as stop:
            self.message, self.converged = str(stop), False
        except KeyboardInterrupt:
            self.message, self.converged, interrupted = "interrupted", False, True
        best = self._best_seen(best)
        return self._result(best, interrupted)

    # -- the starts

    def _objective(self, rnn: Elman) -> Objective:
        s = self.settings
        return Objective(rnn, self.problem, self.backend, self.threads, s.learn_h0, s.max_radius)

    def _begin(self, k: int) -> Elman:
        """The k-th start; with several of a kind, the first is plain and the others vary."""
        kind = self.settings.start
        if kind == "subspace" and k == 0:
            return linear_start(self.template, self.problem, self.rng)
        if kind == "given" and k == 0:
            return self.template
        return random_start(self.template, self.rng)

    def _race(self) -> list[Objective]:
        """Every start after a few iterations, best first; one start alone goes straight on."""
        for k in range(self.settings.starts):
            self.journal.start = k
            objective = self._objective(self._begin(k))
            objective.number = k
            self.seen.append(objective)
            first = objective.gradient(objective.start())[0]
            if not np.isfinite(first) or not objective.is_stable(objective.start()):
                self.failures.append(Failure(k, "the start is unstable on these data"))
                continue
            objective.keep(objective.start(), first)
            if self.settings.starts > 1:
                self._optimise(objective, "trial")
        return sorted((o for o in self.seen if o.best is not None), key=lambda o: o.best_loss)

    # -- the optimisers

    def _optimise(self, objective: Objective, phase: str) -> tuple[bool, str]:
        s = self.settings
        theta = objective.start() if objective.best is None else objective.best
        iterations = TRIAL_ITERATIONS if phase == "trial" else s.max_iterations
        if s.method == "lm":
            _, done, word = levenberg_marquardt(
                objective, theta, self.journal, phase=phase, max_iterations=iterations, tolerance=s.tolerance
            )
        elif s.method == "lbfgs":
            iterations = 10 * iterations if phase == "trial" else iterations
            _, done, word = lbfgs(objective, theta, self.journal, max_iterations=iterations, tolerance=s.tolerance / 10)
        else:
            _, done, word = adam(objective, theta, self.journal, s.adam, max_iterations=iterations, rng=self.rng)
        return done, word

    def _polish(self, objective: Objective) -> bool:
        """Bring one start to the end, with a longer warm-up if its network remembers longer; False if it failed."""
        self.journal.start = objective.number
        self.converged, self.message = self._optimise(objective, self.settings.method)
        for _ in range(2):
            needed = self._warmup_needed(objective)
            if self.settings.warmup is not None or needed <= self.problem.warmup:
                break
            self.problem = replace(self.problem, warmup=needed)
            objective.problem, objective.best_loss = self.problem, np.inf
            self.converged, self.message = self._optimise(objective, self.settings.method)
        failed = objective.best is None or "stability limit" in self.message
        if failed:
            self.failures.append(Failure(objective.number, self.message))
        return not failed

    def _warmup_needed(self, objective: Objective) -> int:
        """Steps after which the start moves the (standardised) outputs by less than FORGOTTEN."""
        theta = objective.start() if objective.best is None else objective.best
        net = objective.network(theta)
        steps = min(self.problem.x.shape[1], 5000)
        few = replace(objective.at(theta), x=self.problem.x[:8, :steps], h0=self.problem.h0[:8], lengths=None)
        h = self.backend.forward_raw(few, self.threads)["h"].reshape(-1, net.dims.hidden)
        h = h[np.isfinite(h).all(axis=1)]
        spread = h.std(axis=0) if len(h) else np.ones(net.dims.hidden)
        slope = _mean_slope(net.hidden, h)
        F = slope[:, None] * net.U
        effect = np.array(net.V)
        for k in range(self.bound):
            if np.abs(effect * spread).max() < FORGOTTEN:
                return k
            effect = effect @ F
        return self.bound

    # -- the end

    def _best_seen(self, best: Objective | None) -> Objective:
        """The chosen objective, or after a stop the best one seen; never nothing."""
        seen = [o for o in self.seen if o.best is not None]
        if (
            best is not None
            and best.best is not None
            and (not seen or best.best_loss <= min(o.best_loss for o in seen))
        ):
            return best
        if seen:
            return min(seen, key=lambda o: o.best_loss)
        objective = self._objective(random_start(self.template, self.rng))
        objective.keep(objective.start(), objective.gradient(objective.start())[0])
        self.message = self.message or "every start failed"
        return objective

    def _result(self, objective: Objective, interrupted: bool) -> TrainResult:
        scaled = objective.network(objective.start() if objective.best is None else objective.best)
        rnn = self.scaling.out_of(scaled)
        final = replace(self.original.with_weights(rnn), warmup=self.problem.warmup)
        loss = float(self.backend.loss_and_grad_raw(final, self.threads)[0])
        radius = float(np.abs(np.linalg.eigvals(rnn.U)).max())
        return TrainResult(
            rnn=rnn,
            loss=loss,
            converged=self.converged,
            message=self.message,
            method=self.settings.method,
            history=tuple(self.journal.steps),
            failures=tuple(self.failures),
            starts=self.settings.starts,
            warmup=self.problem.warmup,
            radius=radius,
            marginal=rnn.hidden == "identity" and radius > 1 - 5 * (1 - self.settings.max_radius),
            interrupted=interrupted,
            seconds=self.journal.seconds(),
        )


def _warmup_bound(problem: Problem) -> int:
    """A tenth of the length of a typical series."""
    typical = problem.x.shape[1] if problem.lengths is None else float(np.median(problem.lengths))
    return int(typical) // 10


def _mean_slope(word: str, h: Array) -> Array:
    """Average slope of each unit along the states h (K, h), from its outputs."""
    if len(h) == 0:
        return np.ones(h.shape[1])
    slopes: Array = ACTIVATIONS[word].slope(h).mean(axis=0)
    return slopes
