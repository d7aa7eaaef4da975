# SPDX-License-Identifier: BSD-3-Clause
"""The loss of a network as a function of one vector of weights, as the optimisers see it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..rnn._parameters import names_of, pack, unpack
from ..rnn._problem import counted
from ._train_prior import Prior

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Elman
    from ..rnn._problem import Problem


class StopTraining(Exception):  # noqa: N818 - a signal, not an error
    """The time is up, or the callback asked to stop."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the history.

    Attributes
    ----------
    start : int
        Which start, from 0.
    phase : str
        "trial", "lm", "lbfgs" or "adam".
    iteration : int
        Within the phase.
    loss : float
        Mean squared error of the standardised targets.
    radius : float
        Spectral radius of U.
    damping : float
        Levenberg-Marquardt damping, or the learning rate of Adam; NaN for L-BFGS.
    seconds : float
        Since the call began.
    validation : float
        Loss on the held-out part; NaN without one.
    """

    start: int
    phase: str
    iteration: int
    loss: float
    radius: float
    damping: float
    seconds: float
    validation: float = float("nan")


@dataclass(slots=True)
class Journal:
    """Keeps the history, tells the callback, and knows when the time is up."""

    callback: Any
    max_seconds: float
    began: float = field(default_factory=time.perf_counter)
    steps: list[Step] = field(default_factory=list)
    start: int = 0

    def seconds(self) -> float:
        """Time since the call began."""
        return time.perf_counter() - self.began

    def out_of_time(self) -> bool:
        """Whether the time is up."""
        return self.seconds() > self.max_seconds

    def note(
        self, phase: str, iteration: int, loss: float, radius: float, damping: float, validation: float = np.nan
    ) -> None:
        """Write one step; raises StopTraining when the callback returns True or the time is up."""
        step = Step(self.start, phase, iteration, loss, radius, damping, self.seconds(), validation)
        self.steps.append(step)
        if self.callback is not None and self.callback(step) is True:
            raise StopTraining("the callback asked to stop")
        if self.out_of_time():
            raise StopTraining(f"max_seconds={self.max_seconds:g} were used up")


@dataclass(slots=True)
class Objective:
    """Loss, gradient and normal equations at a vector of weights; remembers the best vector it was told of.

    Where `frozen` is True the vector is not moved: gradients are zero there. `prior` is a
    quadratic penalty that is part of the loss and of the gradient, and of the normal equations by `penalised`.
    """

    template: Elman
    problem: Problem
    backend: Any
    threads: int
    learn_h0: bool
    max_radius: float
    number: int = 0
    frozen: Array | None = None
    prior: Prior | None = None
    best: Array | None = None
    best_loss: float = np.inf

    def weights(self, theta: Array) -> dict[str, Array]:
        """Views of the vector by name."""
        views, at = {}, 0
        for name in names_of(self.template, self.learn_h0):
            shape = (self.template.dims.hidden,) if name == "h0" else getattr(self.template, name).shape
            count = int(np.prod(shape))
            views[name] = theta[at : at + count].reshape(shape)
            at += count
        return views

    def at(self, theta: Array) -> Problem:
        """The problem under these weights."""
        weights = self.weights(np.ascontiguousarray(theta))
        h0 = weights.pop("h0", None)
        series = self.problem.h0 if h0 is None else np.broadcast_to(h0, self.problem.h0.shape)
        return replace(self.problem, weights=weights, h0=series)

    def start(self) -> Array:
        """The template's own weights."""
        return pack(self.template, learn_h0=self.learn_h0).astype(np.float64)

    def network(self, theta: Array) -> Elman:
        """The template with these weights."""
        return unpack(self.template, theta, learn_h0=self.learn_h0)

    def hold(self, strength: float, noise: float, *, adaptive: bool) -> None:
        """Hold the weights to the start by a Gaussian prior."""
        self.prior = Prior.around(self.weights(self.start()), strength, noise, adaptive=adaptive)

    def penalised(self, theta: Array, data: tuple[float, Array, Array]) -> tuple[float, Array, Array]:
        """Normal equations of the data with the prior's part."""
        return data if self.prior is None else self.prior.add_normal(theta, *data)

    def adapt(self, theta: Array, data: tuple[float, Array, Array]) -> None:
        """Let the data choose the strength of an adaptive prior; the loss of the best weights changes with it."""
        if self.prior is not None and self.prior.adaptive:
            self.prior.adapt(theta, data[1], data[0], float((counted(self.problem) > 0).sum()))
            self.best, self.best_loss = theta.copy(), self.penalised(theta, data)[0]

    def radius(self, theta: Array) -> float:
        """Spectral radius of U."""
        U = self.weights(theta)["U"]
        return float(np.abs(np.linalg.eigvals(U)).max()) if np.isfinite(U).all() else np.inf

    def is_guarded(self) -> bool:
        """Whether U is held below `max_radius`: where nothing else bounds the state."""
        return self.template.hidden == "identity"

    def is_stable(self, theta: Array) -> bool:
        """Whether the guard lets these weights pass."""
        return bool(np.isfinite(theta).all()) and (not self.is_guarded() or self.radius(theta) <= self.max_radius)

    def normal_equations(self, theta: Array) -> tuple[float, Array, Array]:
        """Loss, JtJ and Jtr of the data alone; the loss is infinite where the network overflows."""
        loss, _, JtJ, Jtr = self.backend.gauss_newton_raw(self.at(theta), self.threads, learn_h0=self.learn_h0)
        finite = np.isfinite(loss) and np.isfinite(JtJ).all() and np.isfinite(Jtr).all()
        if self.frozen is not None:
            JtJ[self.frozen], JtJ[:, self.frozen], Jtr[self.frozen] = 0, 0, 0
            JtJ[self.frozen, self.frozen] = 1
        return float(loss) if finite else np.inf, JtJ, Jtr

    def gradient(self, theta: Array, problem: Problem | None = None) -> tuple[float, Array]:
        """Loss and gradient; the loss is infinite where the network overflows."""
        at = self.at(theta) if problem is None else problem
        loss, _, gradients = self.backend.loss_and_grad_raw(at, self.threads)
        if self.learn_h0:
            gradients["h0"] = gradients["h0"].sum(axis=0)
        flat = np.concatenate([np.ravel(gradients[name]) for name in names_of(self.template, self.learn_h0)])
        if self.prior is not None:
            loss, flat = self.prior.add(theta, loss, flat)
        if self.frozen is not None:
            flat[self.frozen] = 0
        return (float(loss), flat) if np.isfinite(loss) and np.isfinite(flat).all() else (np.inf, np.zeros_like(flat))

    def keep(self, theta: Array, loss: float) -> None:
        """Remember the vector if it is the best so far."""
        if loss < self.best_loss and self.is_stable(theta):
            self.best, self.best_loss = theta.copy(), float(loss)
