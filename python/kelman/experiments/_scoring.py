# SPDX-License-Identifier: BSD-3-Clause
"""Methods against a known truth: train or fit, read, score in units that need no judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from kelman.bridge import excess_risk, read_dynamics
from kelman.experiments._testbed import Truth, covariance_of, leading, nearest
from kelman.identify import train
from kelman.lti import markov

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify import Fit, TrainResult
    from kelman.models import Elman

HORIZON = 40
LAGS = 100  # window of the responses that are read: the predictor of the test bed keeps 0.8^100 of its past
PIECE = 10_000  # series are cut into pieces of about this length, so that every thread has one to work on
LARGE = 4  # networks with more units get one start and a bounded number of iterations
LONG_TRAINING = 40
Hidden: TypeAlias = Literal["identity", "tanh"]
READINGS: tuple[tuple[str, Literal["behaviour", "jacobian", "average_jacobian"]], ...] = (
    ("behaviour on fresh data", "behaviour"),
    ("Jacobian at the fixed point", "jacobian"),
    ("average Jacobian", "average_jacobian"),
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
class Reading:
    """One way of reading the tanh network."""

    name: str
    pole: complex
    modulus_error: float  # in Cramer-Rao standard deviations, with its sign
    angle_error: float
    model_excess: float


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

    def readings(self, net: Elman, z: Array) -> tuple[Reading, ...]:
        """Read a curved network in three ways: by behaviour, and by two of its Jacobians.

        Parameters
        ----------
        net : Elman
            A trained network.
        z : ndarray, shape (T, 1)
            The data of the training.

        Returns
        -------
        tuple of Reading
        """
        out = []
        for name, method in READINGS:
            found = read_dynamics(net, z=z, lags=LAGS, order=self.truth.model.dims.n, method=method)
            pole = nearest(found.poles, leading(self.truth.poles))
            out.append(Reading(name, pole, *self._errors(pole), float(excess_risk(found.model, self.truth.model))))
        return tuple(out)

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
    if hidden == "identity":  # what a network finds by itself, with all its units
        options["start"] = "random"
    x, y = cut[:, :-1], cut[:, 1:]
    return train(units, x, y, hidden=hidden, inputs=("z",), target="z_next", rng=seed, **options)
