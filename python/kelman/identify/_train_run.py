# SPDX-License-Identifier: BSD-3-Clause
"""One training: several starts are raced, the best is polished, the scaling is folded back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ._train_begin import CURVED, TRIAL_STEPS, Attempt, Beginning
from ._train_data import shortened, warmup_needed
from ._train_journal import StopTraining
from ._train_objective import radius_of
from ._train_result import Failure, Start, TrainResult
from ._train_scaling import residual_factor
from ._train_shooting import shoot
from ._train_spare import cost_of_unit, count_of, freedom, promising
from ._train_units import narrowed

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem
    from ._train_objective import Objective
    from ._train_penalty import Penalty

REWEIGHTINGS = 3
"""How often the weighting of several outputs is brought up to date at most."""

PAIR = 2
"""Units that are released on trial: an oscillation needs two."""


class Trainer(Beginning):
    """One call of `train`: the race of its starts, and the way of the best to the end."""

    def run(self) -> TrainResult:
        """Race the starts, polish the best, and fold the scaling back."""
        try:
            self._race()
            for attempt in self._ranked():
                if self._polish(attempt) and not self._at_the_limit(attempt):
                    break
            self._complete()
        except StopTraining as stop:
            self.message, self.converged = str(stop), False
        except KeyboardInterrupt:
            self.message, self.converged, self.interrupted = "interrupted", False, True
        finally:
            if self.store is not None:
                self.store.write()
        return self._result()

    # -- the race

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
                attempt.shooting = self._shoot(objective, attempt)
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

    def _shoot(self, objective: Objective, attempt: Attempt) -> str:
        """Multiple shooting, before the method itself; where it is interrupted, what it had reached is kept."""
        s = self.settings
        try:
            return shoot(
                objective, attempt.journal, cast("int", s.segment), attempt.rng, max_iterations=s.max_iterations,
                tolerance=s.tolerance, method=s.method, known=attempt.kind in ("given", "subspace", "subspace, free"),
            )  # fmt: skip
        except BaseException:
            objective.keep(objective.start(), objective.gradient(objective.start())[0])
            raise

    def _ranked(self) -> list[Attempt]:
        """The starts that can go on, best first."""
        able = [a for a in self.attempts if a.objective is not None and a.objective.best is not None]
        return sorted((a for a in able if a.failure is None), key=lambda a: self._score(cast("Objective", a.objective)))

    def _score(self, objective: Objective) -> float:
        """Loss after the race; where starts differ in freedom, with what its weights are worth (BIC)."""
        s = self.settings
        if not (s.adaptive or s.holds_spare) or s.starts == 1:
            return objective.best_loss
        loss, JtJ, _ = objective.normal_equations(cast("Array", objective.best))
        count = count_of(objective)
        if s.holds_spare:
            return float(loss * (1 + freedom(JtJ, objective.frozen) * np.log(count) / count))
        known = len(JtJ) if objective.prior is None else objective.prior.known(JtJ, loss, count)
        return float(loss * (1 + known * np.log(count) / count))

    # -- the end of the best

    def _polish(self, attempt: Attempt) -> bool:
        """Optimise one start on all data; False if it failed."""
        objective = cast("Objective", attempt.objective)
        if objective.prior is not None:
            objective.prior.adaptive = self.settings.adaptive
        self._move_to(objective, self.problem)
        self.polished.append(attempt)
        try:
            self._all_data(attempt, objective)
            self._released(attempt, objective)
        except np.linalg.LinAlgError as error:
            self.converged, self.message = False, f"linear algebra gave up ({error})"
            attempt.failure = self.message
        attempt.outcome, attempt.converged = self.message, self.converged
        return attempt.failure is None

    def _all_data(self, attempt: Attempt, objective: Objective) -> None:
        """Optimise on all data, with a longer warm-up if the network remembers longer."""
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

    def _released(self, attempt: Attempt, objective: Objective) -> None:
        """Release the units that were held, while one, or a pair, is worth its weights."""
        offsets, tried = self._fixed_offsets(objective.template), 0
        kept = (objective.held, objective.best, objective.best_loss, self.converged, self.message)
        while tried < PAIR and attempt.failure is None and (held := promising(objective, offsets)) is not None:
            tried += 1
            objective.freeze(held, offsets)
            self.converged, self.message = self._optimise(objective, attempt, self.settings.method)
            gain = np.log(max(kept[2], 1e-300) / max(objective.best_loss, 1e-300))
            if gain > tried * cost_of_unit(objective.template, count_of(objective)):
                kept = (objective.held, objective.best, objective.best_loss, self.converged, self.message)
                tried = 0
        if tried:
            objective.freeze(kept[0], offsets)
            objective.best, objective.best_loss, self.converged, self.message = kept[1:]

    def _at_the_limit(self, attempt: Attempt) -> bool:
        """Whether a linear recursion ended at the stability limit, where another start may have a better network."""
        objective = cast("Objective", attempt.objective)
        best = objective.best
        return best is not None and objective.is_guarded() and self._is_marginal(objective.radius(best))

    def _is_marginal(self, radius: float) -> bool:
        return radius > 1 - 5 * (1 - self.settings.max_radius)

    def _complete(self) -> None:
        """Bring the best to the end: without what a lasso has taken out, several outputs whitened."""
        attempt, s = self._chosen(), self.settings
        if attempt is None or attempt.failure is not None:
            return
        objective = cast("Objective", attempt.objective)
        self.converged, self.message = attempt.converged, attempt.outcome
        try:
            if s.group_lasso > 0:
                objective = attempt.objective = self._without_dead(objective)
                self.converged, self.message = self._optimise(objective, attempt, s.method)
            for _ in range(REWEIGHTINGS if s.whiten else 0):
                moved = self._reweighted(objective)
                if moved is None:
                    break
                objective = attempt.objective = moved
                self.converged, self.message = self._optimise(objective, attempt, s.method)
        except np.linalg.LinAlgError as error:
            self.converged, self.message = False, f"linear algebra gave up ({error})"
            attempt.failure = self.message
        attempt.outcome = self.message

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
        if not self.linear_output:
            return None
        factor = residual_factor(self.problem, objective.outputs(best))
        if factor is None:
            return None
        user = self._out_of(objective.network(best))
        self.scaling = replace(self.scaling, L=self.scaling.L @ factor)
        targets = self.scaling.data(self.original).y
        self.problem = replace(self.problem, y=targets)
        moved = self._objective(self._into(user))
        moved.number = objective.number
        moved.freeze(objective.held, moved.frozen)
        moved.keep(moved.start(), moved.gradient(moved.start())[0])
        return moved

    def _warmup_needed(self, objective: Objective) -> int:
        theta = objective.start() if objective.best is None else objective.best
        error = objective.gradient(theta)[0]
        return warmup_needed(
            objective.network(theta), objective.at(theta), error, self.bound, self.backend, self.threads
        )

    # -- the end

    def _chosen(self) -> Attempt | None:
        """The best of the polished starts, else of all; a mode at the stability limit must be worth a pair of units."""
        polished = [a for a in self.polished if a.objective is not None and np.isfinite(a.objective.best_loss)]
        seen = polished or [a for a in self.attempts if a.objective is not None and a.objective.best is not None]
        if len(polished) > 1:
            for attempt in polished:  # a later one may have had a longer warm-up
                self._move_to(cast("Objective", attempt.objective), self.problem)

        def worth(attempt: Attempt) -> float:
            objective = cast("Objective", attempt.objective)
            if len(polished) < 2 or not self._at_the_limit(attempt):
                return objective.best_loss
            return objective.best_loss * (1 + 2 * cost_of_unit(objective.template, count_of(objective)))

        return min(seen, key=worth, default=None)

    def _best(self) -> Objective:
        """The best network; never nothing."""
        attempt = self._chosen()
        if attempt is not None:
            return cast("Objective", attempt.objective)
        self.message = self.message or "every start failed"
        if self.settings.start == "given":
            return self._objective(self.template, strength=0.0)
        return self._objective(self._random(self.attempts[0].rng), strength=0.0)

    def _loss_of(self, rnn: Any, problem: Problem) -> float:
        return float(self.backend.loss_and_grad_raw(problem.with_weights(rnn), self.threads)[0])

    def _radius_of(self, rnn: Any) -> float:
        return radius_of(rnn, rnn.weights)

    def _result(self) -> TrainResult:
        objective, s, chosen = self._best(), self.settings, self._chosen()
        scaled = objective.network(objective.start() if objective.best is None else objective.best)
        rnn = self._out_of(scaled)
        loss = self._loss_of(rnn, replace(self.original, warmup=self.problem.warmup))
        radius = self._radius_of(rnn)
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
            marginal=objective.is_guarded() and self._is_marginal(radius),
            interrupted=self.interrupted,
            seconds=self.clock.seconds(),
            why=s.why,
            shooting="" if chosen is None else chosen.shooting,
            trials=tuple(
                Start(a.number, a.kind, a.trial_loss, len(a.journal.steps), a.failure or a.outcome)
                for a in self.attempts
            ),
        )
