# SPDX-License-Identifier: BSD-3-Clause
"""Study: can the dynamics be read off trained networks? Everybody gets the same series; the truth is known.

For every method: the excess risk of the predictor itself and of the model read from it, both times T (a method that
uses the data as well as any can has T x excess = d on average), the poles read rightly (U + W V, or by behaviour) and
wrongly (U alone), their errors in units of the Cramer-Rao bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from kelman import systems
from kelman.bridge import excess_risk, read_dynamics, reduce
from kelman.experiments._testbed import Truth, covariance_of, leading, nearest, truth
from kelman.identify import fit, train
from kelman.linear import simulate
from kelman.lti import markov, poles

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify import Fit, TrainResult
    from kelman.models import Elman

HORIZON = 40
LAGS = 100  # window of the responses that are read: the predictor of the test bed keeps 0.8^100 of its past
PIECE = 10_000  # series are cut into pieces of about this length, so that every thread has one to work on
LARGE = 4  # networks with more units get one start and a bounded number of iterations
LONG_TRAINING = 40
Hidden: TypeAlias = Literal["identity", "tanh"]
NETWORKS: tuple[tuple[str, Hidden, int], ...] = (
    ("linear Elman, 2 units", "identity", 2),
    ("linear Elman, 8 units", "identity", 8),
    ("tanh Elman, 8 units", "tanh", 8),
)


@dataclass(frozen=True, slots=True)
class Method:
    """One way from the series to the dynamics, with its score and its readings."""

    name: str
    network: bool
    predictor_excess: float  # tr(Sigma^-1 Delta) of the trained predictor itself
    model_excess: float  # the same of the model of order n that was read from it
    order: int  # the order that the reading would have chosen by itself
    pole: complex  # leading pole of the model
    pole_cov: Array | None  # covariance of its (real, imaginary) part
    modulus_error: float  # in Cramer-Rao standard deviations, with its sign
    angle_error: float
    wrong_pole: complex | None  # the pole of U alone that lies nearest to the truth of U, and its error
    wrong_modulus_error: float | None
    linear_r2: float | None  # share of the network's own predictions that a linear filter explains
    impulse: Array  # H A^(i-1) K, i = 1 .. HORIZON
    iterations: int
    seconds: float

    @property
    def worst_error(self) -> float:
        """The larger of the two pole errors, in Cramer-Rao standard deviations."""
        return max(abs(self.modulus_error), abs(self.angle_error))


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
    reduction: Reduction
    matrices: Matrices

    def method(self, name: str) -> Method:
        """Return the method of that name."""
        return next(method for method in self.methods if method.name == name)

    def score(self, name: str) -> float:
        """Return T x excess of a method's predictor."""
        return self.samples * self.method(name).predictor_excess


@dataclass(frozen=True, slots=True)
class Judge:
    """Scores methods against the truth."""

    truth: Truth
    samples: int

    def classical(self, name: str, result: Fit, seconds: float) -> Method:
        """Score a fitted model.

        Parameters
        ----------
        name : str
            Its name in the tables.
        result : Fit
            What ``kelman.fit`` returned.
        seconds : float
            Wall time of the fit.

        Returns
        -------
        Method
        """
        excess = float(excess_risk(result.model, self.truth.model))
        pole = nearest(result.poles, leading(self.truth.poles))
        modulus, angle = self._errors(pole)
        return Method(
            name=name,
            network=False,
            predictor_excess=excess,
            model_excess=excess,
            order=result.order,
            pole=pole,
            pole_cov=covariance_of(pole, result.poles, result.pole_covariance),
            modulus_error=modulus,
            angle_error=angle,
            wrong_pole=None,
            wrong_modulus_error=None,
            linear_r2=None,
            impulse=impulse(result.model.A, result.K, result.model.H),
            iterations=len(result.history),
            seconds=seconds,
        )

    def network(self, name: str, result: TrainResult, z: Array, seconds: float) -> Method:
        """Score a trained network and the model of the true order that is read from it.

        Parameters
        ----------
        name : str
            Its name in the tables.
        result : TrainResult
            What ``kelman.train`` returned.
        z : ndarray, shape (T, 1)
            The data of the training: they give the error bars, the order, and the model that draws fresh probes.
        seconds : float
            Wall time of the training.

        Returns
        -------
        Method
        """
        net, bed = result.rnn, self.truth
        found = read_dynamics(net, z=z, lags=LAGS)
        chosen, n = found.order, bed.model.dims.n
        reading = found if chosen == n else read_dynamics(net, z=z, lags=LAGS, order=n)
        pole = nearest(reading.poles, leading(bed.poles))
        wrong = nearest(np.linalg.eigvals(net.U), leading(bed.wrong_poles))
        modulus, angle = self._errors(pole)
        return Method(
            name=name,
            network=True,
            predictor_excess=float(excess_risk(net, bed.model)),
            model_excess=float(excess_risk(reading.model, bed.model)),
            order=chosen,
            pole=pole,
            pole_cov=covariance_of(pole, reading.poles, reading.pole_cov),
            modulus_error=modulus,
            angle_error=angle,
            wrong_pole=wrong,
            wrong_modulus_error=self._errors(wrong)[0],
            linear_r2=float(reading.linear_r2),
            impulse=impulse(reading.A, reading.K, reading.model.H),
            iterations=len(result.history),
            seconds=seconds,
        )

    def _errors(self, pole: complex) -> tuple[float, float]:
        """Errors of modulus and angle in Cramer-Rao standard deviations of this many samples."""
        root = np.sqrt(self.samples)
        modulus = (abs(pole) - self.truth.modulus) * root / self.truth.modulus_sd
        angle = (abs(np.angle(pole)) - self.truth.angle) * root / self.truth.angle_sd
        return float(modulus), float(angle)


def impulse(A: Array, K: Array, H: Array) -> Array:
    """Return H A^(i-1) K for i = 1 .. HORIZON of a system with one output.

    Parameters
    ----------
    A, K, H : ndarray
        Dynamics, predictor gain, output matrix.

    Returns
    -------
    ndarray, shape (HORIZON,)
    """
    return markov(A, K, H, HORIZON)[1:, 0, 0]


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


def train_network(z: Array, hidden: Hidden, units: int, seed: int) -> TrainResult:
    """Train a network of so many units to predict the next measurement, in a bounded number of iterations.

    Parameters
    ----------
    z : ndarray, shape (T, 1)
        Measurements.
    hidden : {"identity", "tanh"}
        Activation.
    units : int
        Hidden units.
    seed : int
        Seed of the starts.

    Returns
    -------
    TrainResult
    """
    pieces = max(1, len(z) // PIECE)
    length = len(z) // pieces
    cut = z[: pieces * length].reshape(pieces, length, 1)
    options: dict[str, Any] = {"starts": 1, "max_iterations": LONG_TRAINING} if units > LARGE else {}
    x, y = cut[:, :-1], cut[:, 1:]
    return train(units, x, y, hidden=hidden, inputs=("z",), target="z_next", rng=seed, **options)


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

    for name, word in (("subspace", "subspace"), ("PEM", "pem")):
        begin = perf_counter()
        result = fit(z, n_states=2, method=word)
        add(judge.classical(name, result, perf_counter() - begin))
    for name, hidden, units in NETWORKS:
        begin = perf_counter()
        kept[name] = train_network(z, hidden, units, seed)
        seconds = perf_counter() - begin
        add(judge.network(name, kept[name], z, seconds))

    two, eight = kept[NETWORKS[0][0]].rnn, kept[NETWORKS[1][0]].rnn
    if note is not None:
        note("reduction")
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
        reduction=reduction(eight, z, bed),
        matrices=matrices(two, bed),
    )
