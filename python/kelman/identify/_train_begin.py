# SPDX-License-Identifier: BSD-3-Clause
"""What a training begins with: scaled data, the objective of every start, and one call of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import Elman
from ..rnn._problem import cell_problem, counted
from ._train_adam import adam
from ._train_data import fitting, offsets_of, scaling_of, shortened, warmup_bound
from ._train_imitate import FREE_GAIN
from ._train_journal import Clock, Journal
from ._train_lbfgs import lbfgs
from ._train_lm import levenberg_marquardt
from ._train_objective import Objective
from ._train_penalty import Penalty
from ._train_prior import WEAKEST
from ._train_spare import spare_units
from ._train_starts import fitted_readout, linear_start, past_regression, random_start
from ._train_units import narrowed, widened

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_checkpoint import Checkpoint
    from ._train_settings import Settings

TRIAL_ITERATIONS = 12
"""Iterations that every start gets before the best one goes on."""
TRIAL_STEPS = 100
"""Targets per weight that the starts are raced on; the best goes on with all."""

CURVED = 3
"""How many times more iterations and targets the race has where a linear start is raced against a free one."""


@dataclass(slots=True)
class Attempt:
    """One start: its random numbers, its history, and what became of it."""

    number: int
    rng: np.random.Generator
    journal: Journal
    kind: str = ""
    objective: Objective | None = None
    raced: int = 0
    outcome: str = ""
    failure: str | None = None
    trial_loss: float = np.inf
    converged: bool = False
    shooting: str = ""


@dataclass
class Beginning:
    """One call of `train`: its data, starts and optimiser, and what became of them."""

    given: Any
    original: Problem
    settings: Settings
    clock: Clock
    seeds: Array
    backend: Any
    threads: int
    parallel: bool
    store: Checkpoint | None = None
    attempts: list[Attempt] = field(default_factory=list)
    polished: list[Attempt] = field(default_factory=list)
    converged: bool = False
    message: str = ""
    interrupted: bool = False

    def __post_init__(self) -> None:
        s = self.settings
        self._scale()
        self.template = self._into(self.given)
        self.bound = warmup_bound(self.original)
        warmup = min(60, self.bound) if s.warmup is None else s.warmup
        self.problem = replace(self.scaling.data(self.original), warmup=warmup)
        self.regression = past_regression(self.template, self.problem) if s.holds_spare else None
        self.attempts = [
            Attempt(k, np.random.default_rng(seed), Journal(self.clock, k, self.store))
            for k, seed in enumerate(self.seeds.tolist())
        ]

    def _scale(self) -> None:
        """How the data are scaled, and whether offsets are learnt and the output is linear."""
        self.scaling, self.offsets = scaling_of(self.given, self.original, self.settings.offsets)
        self.linear_output = self.given.output == "identity"

    def _into(self, net: Any) -> Any:
        """The network on scaled data that does what `net` does on the user's."""
        return self.scaling.into(net)

    def _out_of(self, net: Any) -> Any:
        """The network on the user's data that does what `net` does on scaled data."""
        return self.scaling.out_of(net)

    # -- the starts

    def _objective(self, rnn: Any, *, strength: float | None = None) -> Objective:
        s = self.settings
        strength = s.shrinkage if strength is None else strength
        objective = Objective(rnn, fitting(self.problem, rnn), self.backend, self.threads, s.learn_h0, s.max_radius)
        objective.frozen = self._fixed_offsets(rnn)
        if strength > 0:
            objective.hold(strength, self._noise(objective), adaptive=s.adaptive and strength > WEAKEST)
        if s.group_lasso > 0 or s.l2:
            weights = objective.weights(objective.start())
            objective.penalty = Penalty.on(weights, rnn.dims.hidden, s.l2, s.group_lasso)
        return objective

    def _fixed_offsets(self, rnn: Any) -> Array | None:
        """Where the vector of weights has offsets that are not learnt."""
        return None if self.offsets else offsets_of(rnn, self.settings.learn_h0)

    def _noise(self, objective: Objective) -> float:
        """Mean squared error at the start over the number of targets: what one squared standard deviation costs."""
        loss = objective.gradient(objective.start())[0]
        return (loss if np.isfinite(loss) else 1.0) / float((counted(self.problem) > 0).sum())

    def _begin(self, attempt: Attempt) -> Objective:
        """A start: of the wanted kind first, then (to see whether the data are curved) a free one, then random ones."""
        kind, s, k = self.settings.start, self.settings, attempt.number
        if kind == "subspace" and s.holds_spare:
            found = self._identified(attempt)
            if found is not None:
                return found
        elif kind == "subspace" and (k == 0 or (k == 1 and s.adaptive)):
            free = k > 0
            start = linear_start(
                self.template, self.problem, attempt.rng, self._states, FREE_GAIN if free else None, full=free
            )
            if start is not None:
                attempt.kind = "subspace, free" if free else "subspace"
                return self._objective(start, strength=WEAKEST if free else None)
        if kind == "given" and k == 0:
            attempt.kind = "given"
            return self._objective(self.template)
        if kind == "grow":
            attempt.kind = "grown"
            return self._grown(attempt)
        attempt.kind = "random"
        return self._objective(self._random(attempt.rng), strength=0.0 if kind == "subspace" else None)

    def _identified(self, attempt: Attempt) -> Objective | None:
        """The linear model of the data as a linear network, with as many states as the data show, one more, or all."""
        k, shared = attempt.number, (self.template, self.problem, attempt.rng, self._states)
        if k > 2 or self.regression is None:
            return None
        start = linear_start(*shared, more=min(k, 1), unread=True, regression=self.regression)
        if start is None or (k == 2 and not spare_units(start).any()):
            return None
        if k == 2:
            start = linear_start(*shared, full=True, regression=self.regression)
        attempt.kind = "subspace"
        objective = self._objective(start)
        spare = spare_units(start)
        if spare.any():
            attempt.kind = f"subspace, {int((~spare).sum())} units"
            objective.freeze(spare, objective.frozen)
        return objective

    def _random(self, rng: np.random.Generator) -> Any:
        """A random start whose readout fits the first part of the data."""
        start = random_start(self.template, rng, learn_h0=self.settings.learn_h0)
        return fitted_readout(start, *self._first_states(start))

    def _grown(self, attempt: Attempt) -> Objective:
        """A start that has grown unit by unit from one, each size trained for a while on part of the data."""
        whole = self.template
        one = narrowed(whole, np.arange(whole.dims.hidden) < 1)
        start = random_start(one, attempt.rng, learn_h0=self.settings.learn_h0)
        while True:
            objective = self._objective(fitted_readout(start, *self._first_states(start)))
            if start.dims.hidden == whole.dims.hidden:
                return objective
            objective.problem = shortened(objective.problem, TRIAL_STEPS * objective.start().size)
            self._optimise(objective, attempt, "trial")
            best = objective.start() if objective.best is None else objective.best
            start = widened(objective.network(best), attempt.rng)

    def _first_states(self, rnn: Any) -> tuple[Problem, Array]:
        """The first part of the data, and the states of a network there."""
        few = shortened(self.problem, 2 * TRIAL_STEPS * rnn.U.size)
        ran = cell_problem(rnn.replace(**dict.fromkeys(rnn.STARTS)), few.x, few.lengths)
        if rnn.dims.hidden == few.h0.shape[1]:
            ran = replace(ran, h0=few.h0, c0=few.c0 if "c0" in rnn.STARTS else None)
        return few, self.backend.forward_raw(ran, self.threads)["h"]

    def _states(self, rnn: Elman) -> Array:
        """The states of a network past the warm-up, on the first part of the data (K, h)."""
        few, states = self._first_states(rnn)
        h: Array = states[:, few.warmup :].reshape(-1, rnn.dims.hidden)
        return h[np.isfinite(h).all(axis=1)]

    def _optimise(self, objective: Objective, attempt: Attempt, phase: str) -> tuple[bool, str]:
        s, journal, tolerance = self.settings, attempt.journal, self.settings.tolerance
        if phase == "trial" and s.adaptive:  # a quarter of what one weight must be worth
            count = float((counted(objective.problem) > 0).sum())
            tolerance = max(tolerance, 0.25 * np.log(count + 1) / count)
        theta = objective.start() if objective.best is None else objective.best
        iterations = (
            TRIAL_ITERATIONS * (CURVED if s.adaptive else 1)
            if phase == "trial"
            else s.max_iterations or {"lm": 100, "lbfgs": 500}.get(s.method, 0)
        )
        if s.method == "lm":
            _, done, word = levenberg_marquardt(
                objective, theta, journal, phase=phase, max_iterations=iterations, tolerance=tolerance
            )
        elif s.method == "lbfgs":
            iterations = 10 * iterations if phase == "trial" else iterations
            _, done, word = lbfgs(objective, theta, journal, max_iterations=iterations, tolerance=s.tolerance / 10)
        else:
            _, done, word = adam(objective, theta, journal, s.adam, max_iterations=iterations or None, rng=attempt.rng)
        return done, word
