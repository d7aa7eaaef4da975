# SPDX-License-Identifier: BSD-3-Clause
"""Training of stacks and bidirectional networks: the same run on a vector that holds the weights of all cells.

Loss, gradient and normal equations are composed cell by cell (`kelman.rnn._compute`, `_composed_equations`), data are scaled
at the first layer and the readout. Starts are the given weights or random ones; the readout of a random start is fitted to
its states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models import Bidirectional, Cell, Stack
from ..rnn._composed_equations import normal_equations
from ..rnn._compute import cells_of, loss_and_grad, run
from ._train_begin import TRIAL_STEPS
from ._train_data import shortened
from ._train_objective import Objective, is_guarded, radius_of
from ._train_penalty import Penalty
from ._train_run import Trainer
from ._train_scaling import Scaling
from ._train_starts import fitted_readout, random_start

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem


def top_of(net: Any) -> Any:
    """The part that has the readout."""
    return net.layers[-1] if isinstance(net, Stack) else net


def with_top(net: Any, top: Any) -> Any:
    """The network with another part on top."""
    return Stack([*net.layers[:-1], top]) if isinstance(net, Stack) else top


def arrays_of(net: Any, learn_h0: bool = False, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays by name ("0.U", "1.forward.W", "1.V", ...), in the order of the vector."""
    inner: dict[str, Any] = {}
    if isinstance(net, Stack):
        inner = {str(k): layer for k, layer in enumerate(net.layers)}
    elif isinstance(net, Bidirectional):
        inner = {"forward": net.forward, "backward": net.backward}
    shapes: dict[str, tuple[int, ...]] = {}
    for word, part in inner.items():
        shapes |= arrays_of(part, learn_h0, f"{prefix}{word}.")
    if not isinstance(net, Stack):
        shapes |= {prefix + name: value.shape for name, value in net.weights.items()}
    if isinstance(net, Cell) and learn_h0:
        shapes |= {prefix + name: (net.dims.hidden,) for name in net.STARTS}
    return shapes


def scaled(net: Any, scaling: Scaling, way: str) -> Any:
    """The network on scaled data that does what `net` does on the user's (`way` "into"), or back ("out_of")."""
    if isinstance(net, Cell):
        return getattr(scaling, way)(net)
    if isinstance(net, Bidirectional):
        inner = {name: getattr(scaling, way)(getattr(net, name)) for name in ("forward", "backward")}
        return net.replace(**inner, **({} if net.V is None else getattr(scaling, f"readout_{way}")(net)))
    first, last = scaling, scaling
    if len(net.layers) > 1:
        units = net.layers[-1].dims.inputs
        last = replace(scaling, x_mean=np.zeros(units), x_std=np.ones(units))
    below = [scaled(net.layers[0], first, way)] if len(net.layers) > 1 else []
    return Stack([*below, *net.layers[1:-1], scaled(net.layers[-1], last, way)])


def random_network(like: Any, rng: np.random.Generator, learn_h0: bool) -> Any:
    """The network with random weights in every cell."""
    if isinstance(like, Cell):
        return random_start(like, rng, learn_h0=learn_h0)
    if isinstance(like, Stack):
        return Stack([random_network(layer, rng, learn_h0) for layer in like.layers])
    cells = {name: random_network(getattr(like, name), rng, learn_h0) for name in ("forward", "backward")}
    if like.V is None:
        return like.replace(**cells)
    return like.replace(**cells, V=0.3 * rng.normal(size=like.V.shape), c=np.zeros(like.c.shape))


@dataclass(slots=True)
class ComposedObjective(Objective):
    """Loss and gradient at the vector of the weights of all cells."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays in the vector, by name, in order."""
        return arrays_of(self.template, self.learn_h0)

    def at(self, theta: Array, problem: Problem | None = None) -> Problem:  # noqa: ARG002
        """The data alone: the weights reach the cells by the network."""
        return self.problem if problem is None else problem

    def outputs(self, theta: Array) -> Array:
        """The outputs on the data."""
        y: Array = run(self.network(theta), self.problem.x, self.problem.lengths, self.backend, self.threads)["y"]
        return y

    def measured(self, theta: Array, problem: Problem | None) -> tuple[float, Array]:
        """Loss and gradient of the data alone."""
        used = self.problem if problem is None else problem
        with np.errstate(all="ignore"):  # an overflow is an infinite loss
            loss, _, found = loss_and_grad(self.network(theta), used, self.backend, self.threads)
            parts = _flat(self.template, found, self.learn_h0)
        return loss, np.concatenate(parts)

    def data_equations(self, theta: Array) -> tuple[float, float, Array, Array]:
        """Loss, total weight, JtJ and Jtr, composed of the cells' derivatives."""
        net = self.network(theta)
        with np.errstate(all="ignore"):  # an overflow is an infinite loss
            return normal_equations(net, self.problem, self.backend, self.threads, learn_h0=self.learn_h0)

    def radius(self, theta: Array) -> float:
        """Largest spectral radius among the linear cells; NaN where there is none."""
        cells = [cell for cell in cells_of(self.network(theta)) if is_guarded(cell)]
        return max((radius_of(cell, cell.weights) for cell in cells), default=np.nan)

    def is_guarded(self) -> bool:
        """Whether a cell is linear: nothing but its weights bounds its state."""
        return any(map(is_guarded, cells_of(self.template)))

    def shrunk(self, theta: Array) -> Array:
        """The weights, with every linear recursion shrunk to the stability limit."""
        changed = theta.copy()
        views = self.weights(changed)
        for name in views:
            prefix, _, letter = name.rpartition(".")
            cell = self._cell(prefix)
            if letter != "U" or not is_guarded(cell):
                continue
            own = {key: views[f"{prefix}.{key}"] for key in ("U", "A") if f"{prefix}.{key}" in views}
            radius = radius_of(cell, own)
            for array in own.values() if self.max_radius < radius < np.inf else ():
                array *= 0.999 * self.max_radius / radius
        return changed

    def _cell(self, prefix: str) -> Any:
        part = self.template
        for word in filter(None, prefix.split(".")):
            part = part.layers[int(word)] if word.isdigit() else getattr(part, word)
        return part


def _flat(net: Any, found: dict[str, Any], learn_h0: bool) -> list[Array]:
    """Gradients in the order of the vector."""
    parts: list[Array] = []
    if isinstance(net, Stack):
        for layer, inner in zip(net.layers, found["layers"], strict=True):
            parts += _flat(layer, inner, learn_h0)
        return parts
    if isinstance(net, Bidirectional):
        parts = _flat(net.forward, found["forward"], learn_h0) + _flat(net.backward, found["backward"], learn_h0)
    parts += [np.ravel(found[name]) for name in net.weights]
    if isinstance(net, Cell) and learn_h0:
        parts += [found[name].sum(axis=0) for name in net.STARTS]
    return parts


class ComposedTrainer(Trainer):
    """One call of `train` for a stack or a bidirectional network."""

    def _scale(self) -> None:
        top = top_of(self.given)
        self.linear_output = top.output == "identity" and top.V is not None
        self.offsets = self.settings.offsets is not False
        self.scaling = Scaling.of(self.original, linear_output=self.linear_output, centred=self.offsets)
        if any(getattr(cell, "B", None) is not None for cell in cells_of(self.given)):
            self.scaling = replace(self.scaling, x_mean=np.zeros_like(self.scaling.x_mean))

    def _into(self, net: Any) -> Any:
        return scaled(net, self.scaling, "into")

    def _out_of(self, net: Any) -> Any:
        return scaled(net, self.scaling, "out_of")

    def _objective(self, rnn: Any, *, strength: float | None = None) -> Objective:  # noqa: ARG002
        s = self.settings
        objective = ComposedObjective(rnn, self.problem, self.backend, self.threads, s.learn_h0, s.max_radius)
        objective.frozen = self._fixed_offsets(rnn)
        if s.l2:
            objective.penalty = Penalty.on(objective.weights(objective.start()), rnn.dims.hidden, s.l2, 0.0)
        return objective

    def _fixed_offsets(self, rnn: Any) -> Array | None:
        if self.offsets:
            return None
        shapes = arrays_of(rnn, self.settings.learn_h0)
        names = [name.rpartition(".")[2] in ("b", "c") for name in shapes]
        return np.repeat(names, [int(np.prod(shape)) for shape in shapes.values()])

    def _random(self, rng: np.random.Generator) -> Any:
        start = random_network(self.template, rng, self.settings.learn_h0)
        few = shortened(self.problem, 2 * TRIAL_STEPS * sum(int(np.prod(v)) for v in arrays_of(start).values()))
        h = run(start, few.x, few.lengths, self.backend, self.threads)["h"]
        return with_top(start, fitted_readout(top_of(start), few, h))

    def _warmup_needed(self, objective: Objective) -> int:  # noqa: ARG002
        return 0

    def _loss_of(self, rnn: Any, problem: Problem) -> float:
        return float(loss_and_grad(rnn, problem, self.backend, self.threads)[0])

    def _radius_of(self, rnn: Any) -> float:
        objective = cast("Any", self._objective(rnn))
        return float(objective.radius(objective.start()))
