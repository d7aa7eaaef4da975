# SPDX-License-Identifier: BSD-3-Clause
"""One training: several starts are raced, the best is polished, the scaling is folded back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models import Elman
from ..rnn._problem import cell_problem, counted
from ._train_adam import adam
from ._train_data import fitting, offsets_of, scaling_of, shortened, warmup_bound, warmup_needed
from ._train_imitate import FREE_GAIN
from ._train_journal import Clock, Journal, StopTraining
from ._train_lbfgs import lbfgs
from ._train_lm import levenberg_marquardt
from ._train_objective import Objective, is_guarded, radius_of
from ._train_penalty import Penalty
from ._train_prior import WEAKEST
from ._train_result import Failure, Start, TrainResult
from ._train_scaling import residual_factor
from ._train_shooting import shoot
from ._train_starts import fitted_readout, linear_start, random_start
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

SHOOTING_ITERATIONS = 150
"""Iterations of every stage of multiple shooting."""

REWEIGHTINGS = 3
"""How often the weighting of several outputs is brought up to date at most."""


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


@dataclass
class Trainer:
    """One call of `train`: its starts, its optimiser, and what became of them."""

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
        self.scaling, self.offsets = scaling_of(self.given, self.original, s.offsets)
        self.template = self.scaling.into(self.given)
        self.bound = warmup_bound(self.original)
        warmup = min(60, self.bound) if s.warmup is None else s.warmup
        self.problem = replace(self.scaling.data(self.original), warmup=warmup)
        self.attempts = [
            Attempt(k, np.random.default_rng(seed), Journal(self.clock, k, self.store))
            for k, seed in enumerate(self.seeds.tolist())
        ]

    def run(self) -> TrainResult:
        """Race the starts, polish the best, and fold the scaling back."""
        try:
            self._race()
            for attempt in self._ranked():
                if self._polish(attempt):
                    break
        except StopTraining as stop:
            self.message, self.converged = str(stop), False
        except KeyboardInterrupt:
            self.message, self.converged, self.interrupted = "interrupted", False, True
        finally:
            if self.store is not None:
                self.store.write()
        return self._result()

    # -- the starts

    def _objective(self, rnn: Any, *, strength: float | None = None) -> Objective:
        s = self.settings
        strength = s.shrinkage if strength is None else strength
        objective = Objective(rnn, fitting(self.problem, rnn), self.backend, self.threads, s.learn_h0, s.max_radius)
        objective.frozen = None if self.offsets else offsets_of(rnn, s.learn_h0)
        if strength > 0:
            objective.hold(strength, self._noise(objective), adaptive=s.adaptive and strength > WEAKEST)
        if s.group_lasso > 0 or s.l2:
            weights = objective.weights(objective.start())
            objective.penalty = Penalty.on(weights, rnn.dims.hidden, s.l2, s.group_lasso)
        return objective

    def _noise(self, objective: Objective) -> float:
        """Mean squared error at the start over the number of targets: what one squared standard deviation costs."""
        loss = objective.gradient(objective.start())[0]
        return (loss if np.isfinite(loss) else 1.0) / float((counted(self.problem) > 0).sum())

    def _begin(self, attempt: Attempt) -> Objective:
        """A start: of the wanted kind first, then (to see whether the data are curved) a free one, then random ones."""
        kind, s, k = self.settings.start, self.settings, attempt.number
        if kind == "subspace" and (k == 0 or (k == 1 and s.adaptive)):
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

    def _race(self) -> None:
        """Give every start a few iterations, side by side where there are threads; one start alone goes straight on."""
        workers = min(self.threads, len(self.attempts)) if self.parallel else 1
        if workers == 1:
            for attempt in self.attempts:
                self._try(attempt)
            return
        every, self.threads = self.threads, max(1, self.threads // workers)
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._try, attempt) for attempt in self.attempts]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self.clock.stopped.set()
                raise
        self.threads = every
        for attempt in self.attempts:
            if attempt.objective is not None:
                attempt.objective.threads = every

    def _try(self, attempt: Attempt) -> None:
        """Race one start."""
        s = self.settings
        try:
            objective = attempt.objective = self._begin(attempt)
            objective.number = attempt.number
            if s.starts > 1:
                longer = CURVED if s.adaptive else 1
                objective.problem = shortened(self.problem, longer * TRIAL_STEPS * objective.start().size)
            if s.segment is not None:
                iterations = s.max_iterations or SHOOTING_ITERATIONS
                shoot(
                    objective, attempt.journal, s.segment, attempt.rng, max_iterations=iterations, tolerance=s.tolerance
                )
            first = objective.gradient(objective.start())[0]
            if not np.isfinite(first) or not objective.is_stable(objective.start()):
                attempt.failure = "the start is unstable on these data"
                return
            objective.keep(objective.start(), first)
            if s.starts > 1:
                attempt.outcome = self._optimise(objective, attempt, "trial")[1]
                attempt.trial_loss = objective.best_loss
        except np.linalg.LinAlgError as error:
            attempt.failure = f"linear algebra gave up ({error})"
        finally:
            attempt.raced = len(attempt.journal.steps)

    def _ranked(self) -> list[Attempt]:
        """The starts that can go on, best first."""
        able = [a for a in self.attempts if a.objective is not None and a.objective.best is not None]
        return sorted((a for a in able if a.failure is None), key=lambda a: self._score(cast("Objective", a.objective)))

    def _score(self, objective: Objective) -> float:
        """Loss after the race; where starts differ in freedom, with what its weights are worth (BIC)."""
        if not self.settings.adaptive or self.settings.starts == 1:
            return objective.best_loss
        loss, JtJ, _ = objective.normal_equations(cast("Array", objective.best))
        count = float((counted(objective.problem) > 0).sum())
        known = len(JtJ) if objective.prior is None else objective.prior.known(JtJ, loss, count)
        return float(loss * (1 + known * np.log(count) / count))

    # -- the optimisers

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

    def _polish(self, attempt: Attempt) -> bool:
        """Bring one start to the end; False if it failed."""
        objective = cast("Objective", attempt.objective)
        if objective.prior is not None:
            objective.prior.adaptive = self.settings.adaptive
        self._move_to(objective, self.problem)
        self.polished.append(attempt)
        try:
            self._finish(attempt, objective)
        except np.linalg.LinAlgError as error:
            self.converged, self.message = False, f"linear algebra gave up ({error})"
            attempt.failure = self.message
        attempt.outcome = self.message
        return attempt.failure is None

    def _finish(self, attempt: Attempt, objective: Objective) -> None:
        """Optimise on all data, with a longer warm-up if the network remembers longer, then without lasso, then whitened."""
        s = self.settings
        self.converged, self.message = self._optimise(objective, attempt, s.method)
        for _ in range(2 if s.warmup is None and s.method != "adam" else 0):
            needed = self._warmup_needed(objective)
            if needed <= self.problem.warmup:
                break
            self.problem = replace(self.problem, warmup=needed)
            self._move_to(objective, self.problem)
            self.converged, self.message = self._optimise(objective, attempt, s.method)
        if not np.isfinite(objective.best_loss) or "stability limit" in self.message:
            attempt.failure = self.message
            return
        if s.group_lasso > 0:
            objective = attempt.objective = self._without_dead(objective)
            self.converged, self.message = self._optimise(objective, attempt, s.method)
        for _ in range(REWEIGHTINGS if s.whiten else 0):
            moved = self._reweighted(objective)
            if moved is None:
                break
            objective = attempt.objective = moved
            self.converged, self.message = self._optimise(objective, attempt, s.method)

    def _move_to(self, objective: Objective, problem: Problem) -> None:
        """Go on with other data: the best weights stay, their loss is computed anew."""
        objective.problem = problem
        if objective.best is not None:
            objective.best_loss = objective.gradient(objective.best)[0]

    def _without_dead(self, objective: Objective) -> Objective:
        """The network of the units that the lasso has left, to be trained without it (its pull is a bias)."""
        best, penalty = cast("Array", objective.best), cast("Penalty", objective.penalty)
        alive = penalty.surviving(best)
        if not alive.any():
            alive[np.argmax(penalty.norms(best))] = True
        net = narrowed(objective.network(best), alive)
        starts = {name: getattr(self.problem, name) for name in net.STARTS}
        starts = {name: np.ascontiguousarray(start[:, alive]) for name, start in starts.items()}
        self.problem = replace(self.problem, **cast("dict[str, Any]", starts))
        self.settings = replace(self.settings, group_lasso=0.0)
        left = self._objective(net)
        left.number = objective.number
        left.keep(left.start(), left.gradient(left.start())[0])
        return left

    def _reweighted(self, objective: Objective) -> Objective | None:
        """The network on targets in which its residuals are white and equal; None where they nearly are, or cannot be."""
        best = cast("Array", objective.best)
        if objective.template.output != "identity":
            return None
        factor = residual_factor(self.problem, self.backend.forward_raw(objective.at(best), self.threads)["y"])
        if factor is None:
            return None
        user = self.scaling.out_of(objective.network(best))
        self.scaling = replace(self.scaling, L=self.scaling.L @ factor)
        targets = self.scaling.data(self.original).y
        self.problem = replace(self.problem, y=targets)
        moved = self._objective(self.scaling.into(user))
        moved.number = objective.number
        moved.keep(moved.start(), moved.gradient(moved.start())[0])
        return moved

    def _warmup_needed(self, objective: Objective) -> int:
        theta = objective.start() if objective.best is None else objective.best
        error = objective.gradient(theta)[0]
        return warmup_needed(
            objective.network(theta), objective.at(theta), error, self.bound, self.backend, self.threads
        )

    # -- the end

    def _best(self) -> Objective:
        """The best of the polished starts, else of all; never nothing."""
        polished = [a.objective for a in self.polished if a.objective is not None]
        raced = [a.objective for a in self.attempts if a.objective is not None and a.objective.best is not None]
        seen = [o for o in polished if np.isfinite(o.best_loss)] or raced
        if seen:
            return min(seen, key=lambda o: o.best_loss)
        self.message = self.message or "every start failed"
        if self.settings.start == "given":
            return self._objective(self.template, strength=0.0)
        return self._objective(self._random(self.attempts[0].rng), strength=0.0)

    def _result(self) -> TrainResult:
        objective, s = self._best(), self.settings
        scaled = objective.network(objective.start() if objective.best is None else objective.best)
        rnn = self.scaling.out_of(scaled)
        final = replace(self.original.with_weights(rnn), warmup=self.problem.warmup)
        loss = float(self.backend.loss_and_grad_raw(final, self.threads)[0])
        radius = radius_of(rnn, rnn.weights)
        history = [step for a in self.attempts for step in a.journal.steps[: a.raced]]
        history += [step for a in self.polished for step in a.journal.steps[a.raced :]]
        return TrainResult(
            rnn=rnn,
            loss=loss,
            converged=self.converged,
            message=self.message,
            method=s.method,
            history=tuple(history),
            failures=tuple(Failure(a.number, a.failure) for a in self.attempts if a.failure is not None),
            starts=s.starts,
            warmup=self.problem.warmup,
            radius=radius,
            marginal=is_guarded(rnn) and radius > 1 - 5 * (1 - s.max_radius),
            interrupted=self.interrupted,
            seconds=self.clock.seconds(),
            why=s.why,
            trials=tuple(
                Start(a.number, a.kind, a.trial_loss, len(a.journal.steps), a.failure or a.outcome)
                for a in self.attempts
            ),
        )
