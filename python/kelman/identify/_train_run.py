# SPDX-License-Identifier: BSD-3-Clause
"""One training: several starts are raced, the best is polished, the scaling is folded back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models._activation import ACTIVATIONS
from ..rnn._parameters import names_of
from ..rnn._problem import counted, weights_of
from ._train_adam import AdamOptions, adam
from ._train_lbfgs import lbfgs
from ._train_lm import levenberg_marquardt
from ._train_objective import Journal, Objective, StopTraining
from ._train_prior import WEAKEST
from ._train_result import Failure, TrainResult
from ._train_scaling import Scaling, residual_factor
from ._train_starts import FREE_GAIN, fitted_readout, linear_start, offset_evidence, random_start

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Elman
    from ..rnn._problem import Problem

TRIAL_ITERATIONS = 12
"""Iterations that every start gets before the best one goes on."""

TRIAL_STEPS = 100
"""Targets per weight that the starts are raced on; the best goes on with all."""

CURVED = 3
"""How many times more iterations and targets the race has where a linear start is raced against a free one."""

REWEIGHTINGS = 3
"""How often the weighting of several outputs is brought up to date at most."""

OFFSET_EVIDENCE = 4.0
"""Squared standard errors from zero at which a linear network gets offsets."""

FORGOTTEN = 1e-3
"""The automatic warm-up ends when the start moves the outputs by less than this part of the error that remains."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked options of one call."""

    method: str
    start: str
    starts: int
    warmup: int | None
    learn_h0: bool
    offsets: bool | None
    shrinkage: float
    adaptive: bool
    whiten: bool
    max_iterations: int | None
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
        self.scaling, self.offsets = _scaling(template, problem, settings.offsets)
        self.template = self.scaling.into(template)
        self.bound = _warmup_bound(problem)
        warmup = min(60, self.bound) if settings.warmup is None else settings.warmup
        self.problem = replace(self.scaling.data(problem), warmup=warmup)
        self.frozen = None if self.offsets else _offsets_of(template, settings.learn_h0)
        self.failures: list[Failure] = []
        self.seen: list[Objective] = []
        self.polished: list[Objective] = []
        self.converged, self.message = False, ""

    def run(self) -> TrainResult:
        """Race the starts, polish the best, and fold the scaling back."""
        interrupted = False
        try:
            for objective in self._race():
                if self._polish(objective):
                    break
        except StopTraining as stop:
            self.message, self.converged = str(stop), False
        except KeyboardInterrupt:
            self.message, self.converged, interrupted = "interrupted", False, True
        return self._result(self._best(), interrupted)

    # -- the starts

    def _objective(self, rnn: Elman, *, strength: float | None = None) -> Objective:
        s = self.settings
        strength = s.shrinkage if strength is None else strength
        objective = Objective(
            rnn, self.problem, self.backend, self.threads, s.learn_h0, s.max_radius, frozen=self.frozen
        )
        if strength > 0:
            objective.hold(strength, self._noise(objective), adaptive=s.adaptive and strength > WEAKEST)
        return objective

    def _noise(self, objective: Objective) -> float:
        """Mean squared error at the start over the number of targets: what one squared standard deviation costs."""
        loss = objective.gradient(objective.start())[0]
        return (loss if np.isfinite(loss) else 1.0) / float((counted(self.problem) > 0).sum())

    def _begin(self, k: int) -> Objective:
        """The k-th start: of the wanted kind first, then (to see whether the data are curved) a free one, then random ones."""
        kind, s = self.settings.start, self.settings
        if kind == "subspace" and (k == 0 or (k == 1 and s.adaptive)):
            start = linear_start(
                self.template, self.problem, self.rng, self._states, FREE_GAIN if k else None, full=k > 0
            )
            if start is not None:
                return self._objective(start, strength=WEAKEST if k else None)
        if kind == "given" and k == 0:
            return self._objective(self.template)
        return self._objective(self._random(), strength=0.0 if kind == "subspace" else None)

    def _random(self) -> Elman:
        """A random start whose readout fits the first part of the data."""
        start = random_start(self.template, self.rng)
        few, states = self._first_states(start)
        return fitted_readout(start, few, states)

    def _first_states(self, rnn: Elman) -> tuple[Problem, Array]:
        """The first part of the data, and the states of a network there."""
        few = _shortened(self.problem, 2 * TRIAL_STEPS * rnn.U.size)
        ran = replace(few, weights=weights_of(rnn, few.x.dtype), options={"hidden": rnn.hidden})
        return few, self.backend.forward_raw(ran, self.threads)["h"]

    def _states(self, rnn: Elman) -> Array:
        """The states of a network past the warm-up, on the first part of the data (K, h)."""
        few, states = self._first_states(rnn)
        h: Array = states[:, few.warmup :].reshape(-1, rnn.dims.hidden)
        return h[np.isfinite(h).all(axis=1)]

    def _race(self) -> list[Objective]:
        """Every start after a few iterations, best first; one start alone goes straight on."""
        longer = CURVED if self.settings.adaptive else 1
        for k in range(self.settings.starts):
            self.journal.start = k
            objective = self._begin(k)
            objective.number = k
            if self.settings.starts > 1:
                objective.problem = _shortened(self.problem, longer * TRIAL_STEPS * objective.start().size)
            self.seen.append(objective)
            first = objective.gradient(objective.start())[0]
            if not np.isfinite(first) or not objective.is_stable(objective.start()):
                self.failures.append(Failure(k, "the start is unstable on these data"))
                continue
            objective.keep(objective.start(), first)
            if self.settings.starts > 1:
                self._optimise(objective, "trial")
        return sorted((o for o in self.seen if o.best is not None), key=self._score)

    def _score(self, objective: Objective) -> float:
        """Loss after the race; where starts differ in freedom, with what its weights are worth (BIC)."""
        if not self.settings.adaptive:
            return objective.best_loss
        loss, JtJ, _ = objective.normal_equations(cast("Array", objective.best))
        count = float((counted(objective.problem) > 0).sum())
        known = len(JtJ) if objective.prior is None else objective.prior.known(JtJ, loss, count)
        return float(loss * (1 + known * np.log(count) / count))

    # -- the optimisers

    def _optimise(self, objective: Objective, phase: str) -> tuple[bool, str]:
        s = self.settings
        theta = objective.start() if objective.best is None else objective.best
        iterations = (
            TRIAL_ITERATIONS * (CURVED if s.adaptive else 1)
            if phase == "trial"
            else s.max_iterations or {"lm": 100, "lbfgs": 500}.get(s.method, 0)
        )
        if s.method == "lm":
            _, done, word = levenberg_marquardt(
                objective, theta, self.journal, phase=phase, max_iterations=iterations, tolerance=s.tolerance
            )
        elif s.method == "lbfgs":
            iterations = 10 * iterations if phase == "trial" else iterations
            _, done, word = lbfgs(objective, theta, self.journal, max_iterations=iterations, tolerance=s.tolerance / 10)
        else:
            _, done, word = adam(
                objective, theta, self.journal, s.adam, max_iterations=iterations or None, rng=self.rng
            )
        return done, word

    def _polish(self, objective: Objective) -> bool:
        """Bring one start to the end, with a longer warm-up if its network remembers longer; False if it failed."""
        self.journal.start = objective.number
        if objective.prior is not None:
            objective.prior.adaptive = self.settings.adaptive
        self._move_to(objective, self.problem)
        self.polished.append(objective)
        self.converged, self.message = self._optimise(objective, self.settings.method)
        for _ in range(2):
            needed = self._warmup_needed(objective)
            if self.settings.warmup is not None or self.settings.method == "adam" or needed <= self.problem.warmup:
                break
            self.problem = replace(self.problem, warmup=needed)
            self._move_to(objective, self.problem)
            self.converged, self.message = self._optimise(objective, self.settings.method)
        failed = not np.isfinite(objective.best_loss) or "stability limit" in self.message
        if failed:
            self.failures.append(Failure(objective.number, self.message))
            return False
        for _ in range(REWEIGHTINGS if self.settings.whiten else 0):
            moved = self._reweighted(objective)
            if moved is None:
                break
            objective = self.polished[-1] = moved
            self.converged, self.message = self._optimise(objective, self.settings.method)
        return True

    def _move_to(self, objective: Objective, problem: Problem) -> None:
        """Go on with other data: the best weights stay, their loss is computed anew."""
        objective.problem = problem
        if objective.best is not None:
            objective.best_loss = objective.gradient(objective.best)[0]

    def _reweighted(self, objective: Objective) -> Objective | None:
        """The network on targets in which its residuals are white and equal; None where they nearly are, or cannot be."""
        best = cast("Array", objective.best)
        factor = residual_factor(self.problem, self.backend.forward_raw(objective.at(best), self.threads)["y"])
        if objective.template.output != "identity" or factor is None:
            return None
        user = self.scaling.out_of(objective.network(best))
        self.scaling = replace(self.scaling, L=self.scaling.L @ factor)
        self.problem = replace(self.scaling.data(self.original), warmup=self.problem.warmup)
        moved = self._objective(self.scaling.into(user))
        moved.number = objective.number
        moved.keep(moved.start(), moved.gradient(moved.start())[0])
        return moved

    def _warmup_needed(self, objective: Objective) -> int:
        """Steps after which the start moves the outputs by less than FORGOTTEN of the root mean squared error."""
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
        error = objective.gradient(theta)[0]
        enough = FORGOTTEN * (float(np.sqrt(error)) if 0 < error < 1 else 1.0)
        for k in range(self.bound):
            if np.abs(effect * spread).max() < enough:
                return k
            effect = effect @ F
        return self.bound

    # -- the end

    def _best(self) -> Objective:
        """The best of the polished starts, else of all; never nothing."""
        seen = [o for o in self.polished if np.isfinite(o.best_loss)] or [o for o in self.seen if o.best is not None]
        if seen:
            return min(seen, key=lambda o: o.best_loss)
        self.message = self.message or "every start failed"
        return self._objective(self._random())

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


def _scaling(template: Elman, problem: Problem, offsets: bool | None) -> tuple[Scaling, bool]:
    """The scaling, and whether the network gets offsets: None asks the data, where network and start are linear."""
    linear = template.output == "identity"
    centred = Scaling.of(problem, linear_output=linear, centred=True)
    if offsets is None:
        offsets = not template.is_linear or bool(template.b.any() or template.c.any())
        if not offsets:
            y_mean = np.linalg.solve(centred.L, centred.y_mean)
            evidence = offset_evidence(
                centred.data(problem), centred.x_mean / centred.x_std, y_mean, template.dims.hidden
            )
            offsets = evidence > OFFSET_EVIDENCE
    return (centred if offsets else Scaling.of(problem, linear_output=linear, centred=False)), offsets


def _offsets_of(template: Elman, learn_h0: bool) -> Array:
    """True where the vector of weights holds b and c."""
    names = names_of(template, learn_h0)
    sizes = [template.dims.hidden if name == "h0" else getattr(template, name).size for name in names]
    return np.repeat([name in ("b", "c") for name in names], sizes)


def _shortened(problem: Problem, count: int) -> Problem:
    """The first steps (of the first series, where there are many) with about `count` targets."""
    n, steps, _ = problem.x.shape
    few = max(1, min(n, -(-count // steps)))
    last = min(steps, max(count + problem.warmup, 2 * problem.warmup + 2))
    lengths = None if problem.lengths is None else np.minimum(problem.lengths[:few], last)
    mask = None if problem.mask is None else problem.mask[:few, :last]
    y = cast("Array", problem.y)[:few, :last]
    short = replace(problem, x=problem.x[:few, :last], y=y, h0=problem.h0[:few], lengths=lengths, mask=mask)
    return short if counted(short).sum() >= count / 2 else problem


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
