# SPDX-License-Identifier: BSD-3-Clause
"""Units of a linear network that the data do not call for: held unread, released one by one where they are worth it.

A linear network with more units than the data have modes fits noise with the rest, and the likelihood is highest where a
spare mode follows one frequency of the noise up to the stability limit. So the linear model of the data takes as many
units as it has states; the others run, but nobody reads them (V is zero there). A unit is worth its weights by BIC:
    count log(loss without / loss with) > weights log(count).
Reference: Schwarz, Annals of Statistics 6 (1978) 461; Rao's score test says beforehand which unit is worth a trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..rnn._parameters import names_of
from ..rnn._problem import counted
from ._train_lm import SINGULAR, attainable

if TYPE_CHECKING:
    from .._types import Array
    from ._train_objective import Objective

PROMISE = 0.5
"""Part of BIC's price of reading a unit that must be in sight before one is released on trial."""


def spare_units(net: Any) -> Array:
    """True for units that nothing reads: neither the output nor another unit (h,)."""
    others = net.U * (1 - np.eye(net.dims.hidden))
    if net.A is not None:
        others = others + net.A * (1 - np.eye(net.dims.hidden))
    unread: Array = ~net.V.any(axis=0) & ~others.any(axis=0)
    return unread


def entries_of(net: Any, units: Array, learn_h0: bool) -> Array:
    """True where the vector of weights belongs to some of the units (h,): rows, columns, and what lies between two."""
    parts = []
    for name in names_of(net, learn_h0):
        letters = ("h",) if name in net.STARTS else net.SHAPES[name]
        shape = (net.dims.hidden,) if name in net.STARTS else getattr(net, name).shape
        own = np.zeros(shape, dtype=bool)
        for axis, letter in enumerate(letters):
            if letter == "h":
                own[(slice(None),) * axis + (units,)] = True
        parts.append(own.ravel())
    return np.concatenate(parts)


def count_of(objective: Objective) -> float:
    """How many targets the loss counts."""
    return float((counted(objective.problem) > 0).sum())


def freedom(JtJ: Array, frozen: Array | None) -> int:
    """How many directions of the free weights change the network's function."""
    inner = JtJ if frozen is None else JtJ[np.ix_(~frozen, ~frozen)]
    if inner.size == 0 or not np.isfinite(inner).all():
        return len(inner)
    scale = np.sqrt(np.maximum(np.diag(inner), 1e-300))
    values = np.linalg.eigvalsh(inner / np.outer(scale, scale))
    return int((values > SINGULAR * max(values[-1], 1e-300)).sum())


def cost_of_unit(net: Any, count: float) -> float:
    """What BIC asks of one more unit, in relative loss."""
    return float((net.dims.inputs + net.dims.outputs) * np.log(count) / count)


def promising(objective: Objective, offsets: Array | None) -> Array | None:
    """The units that stay held when the most promising one is released; None where none promises enough.

    Its gain is what a Gauss-Newton step would reach that may also read this unit.
    """
    best, held = objective.best, objective.held
    if best is None or held is None or not held.any():
        return None
    objective.frozen = offsets
    loss, JtJ, Jtr = objective.normal_equations(best)
    count, net = count_of(objective), objective.template
    fixed = np.zeros(best.size, dtype=bool) if offsets is None else offsets
    gains = np.full(held.size, -np.inf)
    for unit in np.flatnonzero(held).tolist():
        rest = held.copy()
        rest[unit] = False
        frozen = fixed | entries_of(net, rest, objective.learn_h0)
        gains[unit] = attainable(JtJ[np.ix_(~frozen, ~frozen)], Jtr[~frozen])
    objective.freeze(held, offsets)
    unit = int(np.argmax(gains))
    if not np.isfinite(loss) or gains[unit] <= PROMISE * net.dims.outputs * np.log(count) / count * loss:
        return None
    rest = held.copy()
    rest[unit] = False
    return rest
