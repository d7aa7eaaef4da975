# SPDX-License-Identifier: BSD-3-Clause
"""The loss of a network as a function of one vector of weights, as the optimisers see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import Elman
from ..rnn._parameters import names_of, pack, unpack
from ..rnn._problem import counted
from ._train_lm import Dense
from ._train_prior import Prior
from ._train_spare import entries_of

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Cell
    from ..rnn._problem import Problem
    from ._train_journal import Journal
    from ._train_penalty import Penalty

EXPLODED = 1e140
"""A gradient above this, whose square is no number any more, counts as an overflow."""


@dataclass(slots=True)
class Objective:
    """Loss, gradient and normal equations at a vector of weights; remembers the best vector it was told of.

    Where `frozen` is True the vector is not moved: gradients are zero there; `held` are the units of which that is true.
    `prior` and `penalty` are part of the loss and of the gradient, and of the normal equations by `penalised`.
    """

    template: Any
    problem: Problem
    backend: Any
    threads: int
    learn_h0: bool
    max_radius: float
    number: int = 0
    frozen: Array | None = None
    held: Array | None = None
    prior: Prior | None = None
    penalty: Penalty | None = None
    best: Array | None = None
    best_loss: float = np.inf
    places: dict[str, tuple[slice, tuple[int, ...]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.places, at = {}, 0
        for name, shape in self.shapes().items():
            count = int(np.prod(shape))
            self.places[name] = (slice(at, at + count), shape)
            at += count

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays in the vector, by name, in order."""
        net = self.template
        names = names_of(net, self.learn_h0)
        return {name: (net.dims.hidden,) if name in net.STARTS else getattr(net, name).shape for name in names}

    def weights(self, theta: Array) -> dict[str, Array]:
        """Views of the vector by name."""
        return {name: theta[part].reshape(shape) for name, (part, shape) in self.places.items()}

    def at(self, theta: Array, problem: Problem | None = None) -> Problem:
        """The problem (or another with the same sizes) under these weights."""
        problem = self.problem if problem is None else problem
        weights = self.weights(np.ascontiguousarray(theta))
        starts = {name: weights.pop(name) for name in self.template.STARTS if name in weights}
        shared = {name: np.broadcast_to(start, problem.h0.shape) for name, start in starts.items()}
        changed: dict[str, Any] = {"weights": weights, **shared}
        return replace(problem, **changed)

    def start(self) -> Array:
        """The template's own weights."""
        return pack(self.template, learn_h0=self.learn_h0).astype(np.float64)

    def network(self, theta: Array) -> Any:
        """The template with these weights."""
        return unpack(self.template, theta, learn_h0=self.learn_h0)

    def hold(self, strength: float, noise: float, *, adaptive: bool) -> None:
        """Hold the weights to the start by a Gaussian prior."""
        self.prior = Prior.around(self.weights(self.start()), strength, noise, adaptive=adaptive)

    def freeze(self, units: Array | None, offsets: Array | None) -> None:
        """Hold all weights of some units (h,), besides the offsets that are not learnt."""
        self.held, self.frozen = units, offsets
        if units is not None:
            own = entries_of(self.template, units, self.learn_h0)
            self.frozen = own if offsets is None else own | offsets

    def penalised(self, theta: Array, data: tuple[float, Array, Array]) -> tuple[float, Array, Array]:
        """Normal equations of the data with the parts of prior and penalty."""
        data = data if self.prior is None else self.prior.add_normal(theta, *data)
        return data if self.penalty is None else self.penalty.add_normal(theta, *data)

    def linearised(self, theta: Array, data: Any) -> tuple[float, Any]:
        """Loss, and the equations of Levenberg-Marquardt, with the parts of prior and penalty."""
        loss, JtJ, Jtr = self.penalised(theta, data)
        return loss, Dense(JtJ, Jtr)

    def adapt(self, theta: Array, data: tuple[float, Array, Array]) -> None:
        """Let the data choose the strength of an adaptive prior; the loss of the best weights changes with it."""
        if self.prior is not None and self.prior.adaptive:
            self.prior.adapt(theta, data[1], data[0], float((counted(self.problem) > 0).sum()))
            self.best, self.best_loss = theta.copy(), self.penalised(theta, data)[0]

    def radius(self, theta: Array) -> float:
        """Spectral radius of U (with the skip path A added); NaN for gated cells, whose U says nothing alone."""
        return radius_of(self.template, self.weights(theta))

    def is_guarded(self) -> bool:
        """Whether U is held below `max_radius`: where nothing else bounds the state."""
        return is_guarded(self.template)

    def is_stable(self, theta: Array) -> bool:
        """Whether the guard lets these weights pass."""
        return bool(np.isfinite(theta).all()) and (not self.is_guarded() or self.radius(theta) <= self.max_radius)

    def normal_equations(self, theta: Array) -> tuple[float, Array, Array]:
        """Loss, JtJ and Jtr of the data alone; the loss is infinite where the network overflows."""
        loss, _, JtJ, Jtr = self.data_equations(theta)
        finite = np.isfinite(loss) and np.isfinite(JtJ).all() and np.isfinite(Jtr).all()
        if self.frozen is not None:
            JtJ[self.frozen], JtJ[:, self.frozen], Jtr[self.frozen] = 0, 0, 0
            JtJ[self.frozen, self.frozen] = 1
        return float(loss) if finite else np.inf, JtJ, Jtr

    def data_equations(self, theta: Array) -> tuple[float, float, Array, Array]:
        """Loss, total weight, JtJ and Jtr as the backend gives them."""
        found: tuple[float, float, Array, Array] = self.backend.gauss_newton_raw(
            self.at(theta), self.threads, learn_h0=self.learn_h0
        )
        return found

    def measured(self, theta: Array, problem: Problem | None) -> tuple[float, Array]:
        """Loss and gradient of the data alone."""
        at = self.at(theta) if problem is None else problem
        loss, _, gradients = self.backend.loss_and_grad_raw(at, self.threads)
        for name in self.template.STARTS if self.learn_h0 else ():
            gradients[name] = gradients[name].sum(axis=0)
        return loss, np.concatenate([np.ravel(gradients[name]) for name in names_of(self.template, self.learn_h0)])

    def outputs(self, theta: Array) -> Array:
        """The outputs on the data."""
        y: Array = self.backend.forward_raw(self.at(theta), self.threads)["y"]
        return y

    def gradient(self, theta: Array, problem: Problem | None = None) -> tuple[float, Array]:
        """Loss and gradient; the loss is infinite where the network overflows."""
        loss, flat = self.measured(theta, problem)
        if self.prior is not None:
            loss, flat = self.prior.add(theta, loss, flat)
        if self.penalty is not None:
            loss, flat = self.penalty.add(theta, loss, flat)
        if self.frozen is not None:
            flat[self.frozen] = 0
        usable = np.isfinite(loss) and bool((np.abs(flat) < EXPLODED).all())  # NaN is not
        return (float(loss), flat) if usable else (np.inf, np.zeros_like(flat))

    def guarded(self, theta: Array) -> tuple[float, Array]:
        """Loss and gradient; the loss is infinite also where the guard refuses the weights."""
        return self.gradient(theta) if self.is_stable(theta) else (np.inf, np.zeros_like(theta))

    def shrunk(self, theta: Array) -> Array:
        """The weights, with the recursion shrunk to the stability limit where it is guarded."""
        radius = self.radius(theta) if self.is_guarded() else 0.0
        if radius <= self.max_radius or not np.isfinite(radius):
            return theta
        changed = theta.copy()
        for name, value in self.weights(changed).items():
            if name in ("U", "A"):
                value *= 0.999 * self.max_radius / radius
        return changed

    def keep(self, theta: Array, loss: float) -> None:
        """Remember the vector if it is the best so far."""
        if loss < self.best_loss and self.is_stable(theta):
            self.best, self.best_loss = theta.copy(), float(loss)

    # -- going on from a file

    def resume(self, journal: Journal) -> dict[str, Any] | None:
        """Begin one call of an optimiser; what the file says of it, the best weights and the prior taken over."""
        record = journal.begin()
        if record is None:
            return None
        self.best = record.get("best")
        self.best_loss = record["best_loss"]
        if self.prior is not None:
            self.prior.strength, self.prior.noise = record["strength"].copy(), record["noise"]
        return record

    def store(self, journal: Journal, theta: Array, state: dict[str, Any]) -> None:
        """Keep what the optimiser needs to go on from here."""
        if journal.store is not None:
            journal.keep({**self._state(theta), **state, "ended": False})

    def ended(self, journal: Journal, theta: Array, done: bool, word: str) -> tuple[Array, bool, str]:
        """Keep how a call of an optimiser ended, and give it back."""
        if journal.store is not None:
            journal.keep({**self._state(theta), "ended": True, "done": bool(done), "word": word})
        return theta, bool(done), word

    def _state(self, theta: Array) -> dict[str, Any]:
        state: dict[str, Any] = {"theta": theta, "best_loss": self.best_loss}
        if self.best is not None:
            state["best"] = self.best
        if self.prior is not None:
            state |= {"strength": self.prior.strength.copy(), "noise": self.prior.noise}
        return state


def is_guarded(net: Cell) -> bool:
    """Whether nothing but its weights bounds the state of a network."""
    return isinstance(net, Elman) and net.hidden == "identity"


def radius_of(net: Cell, weights: dict[str, Array]) -> float:
    """Spectral radius of U, with the skip path A added; NaN for gated cells."""
    if not isinstance(net, Elman):
        return np.nan
    U = weights["U"] + weights["A"] if "A" in weights else weights["U"]
    return float(np.abs(np.linalg.eigvals(U)).max()) if np.isfinite(U).all() else np.inf
