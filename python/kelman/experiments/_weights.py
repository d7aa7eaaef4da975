# SPDX-License-Identifier: BSD-3-Clause
"""Study: can the dynamics be read off trained networks? Everybody gets the same series; the truth is known.

For every method: the excess risk of the predictor itself and of the model read from it, both times T (a method that
uses the data as well as any can has T x excess = d on average), the poles read rightly (U + W V, or by behaviour) and
wrongly (U alone), their errors in units of the Cramer-Rao bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from kelman import systems
from kelman.bridge import excess_risk, read_dynamics, reduce
from kelman.experiments._scoring import LAGS, Hidden, Judge, Method, Reading, impulse, train_network
from kelman.experiments._testbed import Truth, leading, nearest, truth
from kelman.identify import fit
from kelman.linear import simulate
from kelman.lti import poles

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify import TrainResult
    from kelman.models import Elman

NETWORKS: tuple[tuple[str, Hidden, int], ...] = (
    ("linear Elman, 2 units", "identity", 2),
    ("linear Elman, 8 units", "identity", 8),
    ("tanh Elman, 8 units", "tanh", 8),
)
AMPLITUDES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class AmplitudePole:
    """Leading pole of the tanh network read with a probe of so many times the amplitude of the data."""

    amplitude: float
    pole: complex


@dataclass(frozen=True, slots=True)
class Reduction:
    """The over-sized network by the order kept: what the Hankel singular values say, and what each order costs."""

    hankel: Array
    chosen_order: int
    excess_by_order: tuple[float, ...]
    poles_by_order: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Matrices:
    """The literal answer to "look at the coefficients": truth, raw weights, raw reading, aligned reading."""

    A: Array
    U: Array
    raw: Array
    aligned: Array


@dataclass(frozen=True, slots=True)
class Weights:
    """All methods on one series of a system with a known truth."""

    samples: int
    truth: Truth
    true_pole: complex
    true_pole_cov: Array
    true_wrong_pole: complex
    true_impulse: Array
    chi_square_band: tuple[float, float]  # 5 % and 95 % quantiles of T x excess of an efficient fit
    methods: tuple[Method, ...]
    tanh_readings: tuple[Reading, ...]
    amplitude_poles: tuple[AmplitudePole, ...]
    reduction: Reduction
    matrices: Matrices

    def method(self, name: str) -> Method:
        """Return the method of that name."""
        return next(method for method in self.methods if method.name == name)

    def score(self, name: str) -> float:
        """Return T x excess of a method's predictor."""
        return self.samples * self.method(name).predictor_excess


def reduction(net: Elman, z: Array, bed: Truth) -> Reduction:
    """Reduce an over-sized network to every order by balanced truncation and score what is left.

    Parameters
    ----------
    net : Elman
        A trained linear network.
    z : ndarray, shape (T, 1)
        The data of the training.
    bed : Truth
        The truth.

    Returns
    -------
    Reduction
    """
    found = read_dynamics(net, z=z, lags=LAGS)
    nets = [reduce(net, order) for order in range(1, net.dims.hidden + 1)]
    return Reduction(
        hankel=np.asarray(found.hankel)[: net.dims.hidden],
        chosen_order=found.order,
        excess_by_order=tuple(float(excess_risk(small, bed.model)) for small in nets),
        poles_by_order=tuple(poles(small.U + small.W @ small.V) for small in nets),
    )


def poles_by_amplitude(net: Elman, z: Array, target: complex) -> tuple[AmplitudePole, ...]:
    """Read a curved network with probes of several amplitudes.

    Parameters
    ----------
    net : Elman
        A trained network.
    z : ndarray, shape (T, 1)
        The data of the training.
    target : complex
        The pole to follow.

    Returns
    -------
    tuple of AmplitudePole
    """
    found = read_dynamics(net, z=z, lags=LAGS, order=2, amplitudes=AMPLITUDES).amplitude_poles
    return tuple(AmplitudePole(a, nearest(found[a], target)) for a in AMPLITUDES)


def matrices(net: Elman, bed: Truth) -> Matrices:
    """Read A off a linear network, in its own basis and in that of the truth.

    Parameters
    ----------
    net : Elman
        A trained linear network with as many units as the truth has states.
    bed : Truth
        The truth.

    Returns
    -------
    Matrices
    """
    raw = net.U + net.W @ net.V
    aligned = read_dynamics(net, order=bed.model.dims.n, reference=bed.model).aligned
    return Matrices(A=bed.model.A, U=net.U, raw=raw, aligned=aligned.A)


def weights(*, quick: bool = False, seed: int = 0, note: Callable[[str], None] | None = None) -> Weights:
    """Give one series of the rotation to every method and read the dynamics off what it learnt.

    Parameters
    ----------
    quick : bool
        A tenth of the samples.
    seed : int
        Seed of the series, the random starts and the probes.
    note : callable, optional
        Told the name of every method when it is done.

    Returns
    -------
    Weights
    """
    samples = 10_000 if quick else 100_000
    bed = truth(systems.rotation())
    z = simulate(bed.model, samples, rng=np.random.default_rng(seed)).z
    judge = Judge(bed, samples)

    methods: list[Method] = []
    kept: dict[str, TrainResult] = {}

    def add(method: Method) -> None:
        methods.append(method)
        if note is not None:
            note(method.name)

    words: tuple[tuple[str, Literal["subspace", "pem"]], ...] = (("subspace", "subspace"), ("PEM", "pem"))
    for name, word in words:
        begin = perf_counter()
        result = fit(z, n_states=2, method=word)
        add(judge.classical(name, result, perf_counter() - begin))
    for name, hidden, units in NETWORKS:
        begin = perf_counter()
        kept[name] = train_network(z, hidden, units, seed)
        seconds = perf_counter() - begin
        add(judge.network(name, kept[name], z, seconds))

    two, eight, curved = (kept[name].rnn for name, _, _ in NETWORKS)
    from scipy.stats import chi2

    return Weights(
        samples=samples,
        truth=bed,
        true_pole=leading(bed.poles),
        true_pole_cov=bed.pole_cov / samples,
        true_wrong_pole=leading(bed.wrong_poles),
        true_impulse=impulse(bed.model.A, bed.K, bed.model.H),
        chi_square_band=(float(chi2.ppf(0.05, bed.n_parameters)), float(chi2.ppf(0.95, bed.n_parameters))),
        methods=tuple(methods),
        tanh_readings=judge.readings(curved, z),
        amplitude_poles=poles_by_amplitude(curved, z, leading(bed.poles)),
        reduction=reduction(eight, z, bed),
        matrices=matrices(two, bed),
    )
