# SPDX-License-Identifier: BSD-3-Clause
"""Study: is the analogy viable? The network written from the model, beside the steady-state Kalman filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from kelman import systems
from kelman.bridge import to_elman
from kelman.linear import filter as kalman_filter, simulate, steady_state
from kelman.rnn import forward

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import Elman, StateSpace

SHOWN = 200
Form: TypeAlias = Literal["predicted", "filtered", "aligned"]
Hidden: TypeAlias = Literal["identity", "relu"]


@dataclass(frozen=True, slots=True)
class MapCase:
    """One model in one form: the largest difference between network and filter over the whole series."""

    system: str
    form: str
    hidden: str
    units: int
    steps: int
    largest_difference: float
    scale: float  # largest measurement in absolute value

    @property
    def relative(self) -> float:
        """The difference in units of the largest measurement."""
        return self.largest_difference / self.scale


@dataclass(frozen=True, slots=True)
class Symbol:
    """One line of the table that pairs the letters of the network with those of the filter."""

    network: str
    filter: str
    meaning: str
    value: Array


@dataclass(frozen=True, slots=True)
class ExactMap:
    """The cases, the table of letters for the default system, and a stretch of both traces."""

    cases: tuple[MapCase, ...]
    symbols: tuple[Symbol, ...]
    largest_relative: float
    z: Array
    filter_prediction: Array
    network_prediction: Array


def driven_rotation() -> StateSpace:
    """Return the rotation with one known input, B = [0.5, 1]: x_k = A x_{k-1} + B u_k + w_{k-1}.

    Returns
    -------
    StateSpace
    """
    return systems.rotation().replace(B=np.array([[0.5], [1.0]]))


def steady(model: StateSpace) -> StateSpace:
    """Start a model at the steady state of its own filter, so that the filter's gain is constant.

    Parameters
    ----------
    model : StateSpace
        A time-invariant model.

    Returns
    -------
    StateSpace
    """
    ss = steady_state(model)
    return model.replace(m0=np.zeros(model.dims.n), P0=ss.P_filtered)


def network_inputs(net: Elman, z: Array, u: Array | None = None) -> Array:
    """Lay out the columns that a network reads, by the names that it carries.

    Parameters
    ----------
    net : Elman
        A network with ``inputs``.
    z : ndarray, shape (T, m)
        Measurements.
    u : ndarray, shape (T, p), optional
        Known inputs.

    Returns
    -------
    ndarray, shape (T, i)
    """
    blocks = []
    order = list(dict.fromkeys(net.inputs or ("z",) * z.shape[1]))
    for name in order:
        source = z if name.startswith("z") else u
        assert source is not None
        blocks.append(np.vstack([np.zeros((1, source.shape[1])), source[:-1]]) if name.endswith("_prev") else source)
    return np.hstack(blocks)


def compare_map(
    system: str, model: StateSpace, form: Form, hidden: Hidden, T: int, rng: np.random.Generator
) -> MapCase:
    """Run network and steady-state filter over one simulated series and take the largest difference.

    Parameters
    ----------
    system : str
        Name for the table.
    model : StateSpace
        The model.
    form : {"predicted", "filtered", "aligned"}
        Form of the map.
    hidden : {"identity", "relu"}
        Activation of the network.
    T : int
        Steps.
    rng : numpy.random.Generator
        Source of the series.

    Returns
    -------
    MapCase
    """
    started = steady(model)
    u = rng.standard_normal((T, model.dims.p)) if model.dims.p else None
    z = simulate(started, T, u=u, rng=rng).z
    net = to_elman(started, form=form, hidden=hidden)
    out = forward(net, network_inputs(net, z, u), store="outputs").y
    r = kalman_filter(started, z, u, store="all")
    if form == "filtered":
        difference = out - r.mean
    else:
        zhat = r.predicted_mean @ model.H.T
        if u is not None and model.D is not None:
            zhat = zhat + u @ model.D.T
        difference = out - zhat if form == "aligned" else out[:-1] - zhat[1:]
    return MapCase(system, form, hidden, net.dims.hidden, T, float(np.abs(difference).max()), float(np.abs(z).max()))


def exact_map(*, steps: int = 10_000, seed: int = 0) -> ExactMap:
    """Compare networks written from models with the steady-state filters of the same models.

    Parameters
    ----------
    steps : int
        Length of each series.
    seed : int
        Seed of all series.

    Returns
    -------
    ExactMap
    """
    rng = np.random.default_rng(seed)
    bed, driven, tracker = systems.rotation(), driven_rotation(), systems.constant_velocity()
    plan: tuple[tuple[str, StateSpace, Form, Hidden], ...] = (
        ("rotation", bed, "predicted", "identity"),
        ("rotation", bed, "filtered", "identity"),
        ("rotation", bed, "predicted", "relu"),
        ("rotation with input", driven, "aligned", "identity"),
        ("rotation with input", driven, "aligned", "relu"),
        ("constant velocity", tracker, "predicted", "identity"),
    )
    cases = tuple(compare_map(name, model, form, hidden, steps, rng) for name, model, form, hidden in plan)
    started = steady(bed)
    z = simulate(started, SHOWN + 1, rng=rng).z
    net = to_elman(started, form="predicted")
    r = kalman_filter(started, z, store="all")
    ss = steady_state(bed)
    symbols = (
        Symbol("U", "A - K H", "hidden to hidden: the closed loop of the filter, not A", ss.F),
        Symbol("W", "K", "input to hidden: the gain; what drives the network are the measurements", ss.K),
        Symbol("V", "H", "hidden to output", bed.H),
        Symbol("U + W V", "A", "the dynamics, once the two are added up again", net.U + net.W @ net.V),
    )
    return ExactMap(
        cases=cases,
        symbols=symbols,
        largest_relative=max(case.relative for case in cases),
        z=z[1:, 0],
        filter_prediction=(r.predicted_mean @ bed.H.T)[1:, 0],
        network_prediction=forward(net, z).y[:-1, 0],
    )
