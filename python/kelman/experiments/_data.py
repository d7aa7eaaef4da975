# SPDX-License-Identifier: BSD-3-Clause
"""Study: the same on real data, where no truth is known: fit on the first part, judge on the second.

What stands in for the truth: the error on data that no method has seen (one step ahead, and from the inputs alone), the
whiteness of the residuals, and whether the network's poles agree with a classical fit within its standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.bridge import read_dynamics
from kelman.errors import KelmanError
from kelman.experiments._whiteness import Whiteness, whiteness
from kelman.identify import fit, train
from kelman.linear import filter as kalman_filter, forecast
from kelman.lti import match_poles, poles

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify import Fit, TrainResult
    from kelman.models import StateSpace

MIN_SAMPLES = 100
DETERMINED_SD = 0.05
"""A pole counts as determined by the data if its standard deviation (longest half-axis) is below this."""


@dataclass(frozen=True, slots=True)
class DataMethod:
    """One method's errors on the second part; RMSE over outputs in the unit of the data."""

    name: str
    one_step_rmse: float
    free_run_rmse: float | None
    free_run_vaf: float | None  # percent of the variance that the free run explains
    poles: Array
    seconds: float


@dataclass(frozen=True, slots=True)
class DataPole:
    """A pole of the classical fit, how well the data determine it, and the network's reading of it."""

    pole: complex
    sd: float
    cov: Array | None
    determined: bool
    network_pole: complex
    distance: float  # between the two, in standard deviations


@dataclass(frozen=True, slots=True)
class OrderPoint:
    """One order and the Bayesian information criterion of its prediction-error fit, above the best one."""

    order: int
    bic: float


@dataclass(frozen=True, slots=True)
class DataStudy:
    """One data set: order, errors, poles, residuals."""

    name: str
    output_name: str
    samples: int
    train_samples: int
    inputs: int
    outputs: int
    order: int
    order_chosen: bool  # by the data, not by the caller
    direct: bool  # whether an input acts on the measurement of its own step
    criterion: tuple[OrderPoint, ...]
    singular_values: Array
    methods: tuple[DataMethod, ...]
    last_value_rmse: float
    mean_rmse: float
    poles: tuple[DataPole, ...]
    wrong_poles: Array
    whiteness: Whiteness
    k_test: Array
    z_test: Array
    one_step: Array
    free_run: Array | None

    def method(self, name: str) -> DataMethod:
        """Return the method of that name."""
        return next(method for method in self.methods if method.name == name)


@dataclass(frozen=True, slots=True)
class Split:
    """A data set cut in two, means of the first part taken out."""

    z: Array  # (T, m), the whole record
    u: Array | None
    T_train: int
    z_mean: Array
    u_mean: Array | None

    @property
    def first(self) -> tuple[Array, Array | None]:
        """The part to fit."""
        return self.z[: self.T_train], None if self.u is None else self.u[: self.T_train]


def split(z: Array, u: Array | None) -> Split:
    """Cut a record at its middle and take out the means of the first part.

    Parameters
    ----------
    z : ndarray, shape (T, m)
        Measurements.
    u : ndarray, shape (T, p), optional
        Inputs.

    Returns
    -------
    Split
    """
    T_train = len(z) // 2
    z_mean = z[:T_train].mean(axis=0)
    u_mean = None if u is None else u[:T_train].mean(axis=0)
    return Split(z - z_mean, None if u is None else u - u_mean, T_train, z_mean, u_mean)


def model_errors(name: str, model: StateSpace, data: Split, seconds: float) -> tuple[DataMethod, Array, Array | None]:
    """Run a model over the record and measure its errors on the second part.

    Parameters
    ----------
    name : str
        Name for the tables.
    model : StateSpace
        A fitted model.
    data : Split
        The record.
    seconds : float
        Wall time of the fit.

    Returns
    -------
    method : DataMethod
        The errors.
    one_step : ndarray, shape (T - T_train, m)
        One-step predictions of the second part.
    free_run : ndarray, shape (T - T_train, m), or None
        What the inputs alone give from the state at the cut on; None without inputs.
    """
    T_train = data.T_train
    r = kalman_filter(model, data.z, data.u, store="all")
    error = r.innovation[T_train:]
    one_step = data.z[T_train:] - error
    free, rmse, vaf = None, None, None
    if data.u is not None:
        z, u = data.first
        free = forecast(model, z, len(data.z) - T_train, u=u, u_future=data.u[T_train:]).mean
        residual = data.z[T_train:] - free
        rmse = _rms(residual)
        vaf = float(100.0 * (1.0 - residual.var(axis=0).sum() / data.z[T_train:].var(axis=0).sum()))
    return DataMethod(name, _rms(error), rmse, vaf, poles(model.A), seconds), one_step, free


def _rms(error: Array) -> float:
    return float(np.sqrt(np.mean(np.asarray(error) ** 2)))


def data_study(
    name: str, z: Array, u: Array | None = None, *, output_name: str = "z", order: int | None = None, seed: int = 0,
    note: Callable[[str], None] | None = None,
) -> DataStudy:  # fmt: skip
    """Fit the first half of a record by a classical method and by a network, and judge both on the second half.

    Parameters
    ----------
    name : str
        Name of the data set.
    z : ndarray, shape (T, m)
        Measurements.
    u : ndarray, shape (T, p), optional
        Inputs.
    output_name : str
        What the first measured column is.
    order : int, optional
        Number of states; None lets the first half choose.
    seed : int
        Seed of the network's starts.
    note : callable, optional
        Told the name of every method when it is done.

    Returns
    -------
    DataStudy
    """
    z = np.asarray(z, dtype=float)
    u = None if u is None or not np.asarray(u).size else np.asarray(u, dtype=float)
    if len(z) < MIN_SAMPLES:
        raise KelmanError(
            f"{name}: {len(z)} samples are too few to fit one half and judge the other; give {MIN_SAMPLES}"
        )
    data = split(z, u)
    first, inputs = data.first
    tell = note or (lambda _: None)

    def timed(call: Callable[[], Any]) -> tuple[Any, float]:
        begin = perf_counter()
        result = call()
        return result, perf_counter() - begin

    pem, direct, criterion = choose(first, inputs, order)
    n = pem.order
    tell("order")
    cca, cca_seconds = timed(lambda: fit(first, inputs, n_states=n, method="subspace", direct=direct))
    pem, pem_seconds = timed(lambda: fit(first, inputs, n_states=n, method="pem", direct=direct))
    tell("classical")
    net, net_seconds = timed(lambda: train_on(first, inputs, n, direct, seed))
    reading = read_dynamics(net.rnn, z=first, u=inputs, order=n)
    tell("network")

    scored = {
        "network": model_errors("network", reading.model, data, net_seconds),
        "PEM": model_errors("PEM", pem.model, data, pem_seconds),
        "subspace": model_errors("subspace", cca.model, data, cca_seconds),
    }
    _, one_step, free = scored["network"]
    T_train = data.T_train
    residual = data.z[T_train:] - one_step
    return DataStudy(
        name=name,
        output_name=output_name,
        samples=len(z),
        train_samples=T_train,
        inputs=0 if u is None else u.shape[1],
        outputs=z.shape[1],
        order=n,
        order_chosen=order is None,
        direct=direct,
        criterion=criterion,
        singular_values=np.asarray(cca.singular_values)[:20],
        methods=tuple(method for method, _, _ in scored.values()),
        last_value_rmse=_rms(data.z[T_train:] - data.z[T_train - 1 : -1]),
        mean_rmse=_rms(data.z[T_train:]),
        poles=data_poles(pem, reading.poles),
        wrong_poles=np.linalg.eigvals(net.rnn.U),
        whiteness=worst_output(residual, None if data.u is None else data.u[T_train:]),
        k_test=np.arange(T_train + 1, len(z) + 1),
        z_test=z[T_train:, 0],
        one_step=one_step[:, 0] + data.z_mean[0],
        free_run=None if free is None else free[:, 0] + data.z_mean[0],
    )


def worst_output(residual: Array, u: Array | None) -> Whiteness:
    """Test the residuals of every output and return the least white, its p-values corrected for the choice.

    Parameters
    ----------
    residual : ndarray, shape (T, m)
        One-step errors.
    u : ndarray, shape (T, p), optional
        Inputs.

    Returns
    -------
    Whiteness
    """
    tests = [whiteness(column, u) for column in residual.T]
    worst = min(tests, key=lambda test: min(test.p_value, 1.0 if test.cross_p_value is None else test.cross_p_value))
    m = len(tests)
    cross = None if worst.cross_p_value is None else min(1.0, m * worst.cross_p_value)
    return replace(worst, p_value=min(1.0, m * worst.p_value), cross_p_value=cross)


def choose(z: Array, u: Array | None, order: int | None) -> tuple[Fit, bool, tuple[OrderPoint, ...]]:
    """Fit several orders by the prediction-error method, with and without a direct effect of u, and take the best BIC.

    Parameters
    ----------
    z : ndarray, shape (T, m)
        Measurements.
    u : ndarray, shape (T, p), optional
        Inputs.
    order : int, optional
        The order, if it is not to be chosen; the effect of u still is.

    Returns
    -------
    fit : Fit
        The best one.
    direct : bool
        Whether it has a direct effect.
    criterion : tuple of OrderPoint
        The smaller BIC of every order tried, above the best.
    """
    middle = order or fit(z, u, method="subspace").order
    fits = {
        (n, direct): fit(z, u, n_states=n, method="pem", direct=direct)
        for n in range(max(1, middle - 1), middle + 3)
        for direct in ((False,) if u is None else (False, True))
    }
    allowed = [key for key in fits if order is None or key[0] == order]
    best = min(allowed, key=lambda key: fits[key].bic)
    lowest = {n: min(f.bic for (k, _), f in fits.items() if k == n) for n, _ in fits}
    floor = min(lowest.values())
    return fits[best], best[1], tuple(OrderPoint(n, bic - floor) for n, bic in lowest.items())


def train_on(z: Array, u: Array | None, n: int, direct: bool, seed: int) -> TrainResult:
    """Train a linear network of n units on the measurement and the input of the step before.

    Parameters
    ----------
    z : ndarray, shape (T, m)
        Measurements.
    u : ndarray, shape (T, p), optional
        Inputs.
    n : int
        Hidden units.
    direct : bool
        Also show it the input of the step itself.
    seed : int
        Seed of the starts.

    Returns
    -------
    TrainResult
    """
    blocks, words = [z[:-1]], ["z_prev"] * z.shape[1]
    if u is not None:
        blocks += [u[:-1], u[1:]] if direct else [u[:-1]]
        words += ["u_prev"] * u.shape[1] + ["u"] * (u.shape[1] if direct else 0)
    return train(n, np.hstack(blocks), z[1:], hidden="identity", inputs=tuple(words), target="z", rng=seed)


def data_poles(pem: Fit, network: Array) -> tuple[DataPole, ...]:
    """Pair the poles of the classical fit with those of the network, with what the data say of each.

    Parameters
    ----------
    pem : Fit
        A fit with the covariance of its poles.
    network : ndarray, shape (n,)
        Poles read from the network.

    Returns
    -------
    tuple of DataPole
    """
    own = pem.poles
    index, distance = match_poles(own, network)
    out = []
    for j, pole in enumerate(own):
        cov = np.asarray(pem.pole_covariance[j])
        sd = float(np.sqrt(max(np.linalg.eigvalsh(cov)[-1], 0.0)))
        out.append(
            DataPole(complex(pole), sd, cov, sd < DETERMINED_SD, complex(network[index[j]]), float(distance[j]) / sd)
        )
    return tuple(out)
