# SPDX-License-Identifier: BSD-3-Clause
"""Read linear dynamics off a trained network: poles, gain, order and impulse response, with error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kelman.bridge._align import basis_change
from kelman.bridge._anything import sizes_of
from kelman.bridge._behaviour import behaviour_of, predictions, scaled
from kelman.bridge._data import real_array
from kelman.bridge._dynamics import Dynamics
from kelman.bridge._flags import flags_of, no_dynamics
from kelman.bridge._order import Choice, check_order, choose, realisation_of
from kelman.bridge._predictor import LinearPredictor, constant_model, rested
from kelman.bridge._probe import probe_series
from kelman.bridge._project import (
    Realisation,
    gauss_newton,
    ho_kalman,
    metric_of,
    parameter_cov,
    pole_cov,
    pole_sensitivity,
    weighted_hankel,
    weighted_jacobian,
)
from kelman.bridge._source import Data, Reading, Source, checked_lags, data_of, responses_of, source_of, window_of
from kelman.bridge._to_state_space import model_of_predictor, unshifted
from kelman.errors import KelmanError
from kelman.models import Cell, Elman, Stack, StateSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman.bridge._data import FloatArray
    from kelman.bridge._moments import Moments
    from kelman.bridge._project import Metric

__all__ = ["read_dynamics"]

Method = Literal["auto", "weights", "behaviour", "jacobian", "average_jacobian"]
_METHODS = ("auto", "weights", "behaviour", "jacobian", "average_jacobian")


def read_dynamics(
    rnn: Any = None,
    x: Any = None,
    z: Any = None,
    u: Any = None,
    *,
    predictor: Any = None,
    method: Method = "auto",
    order: int | Literal["auto", "gap"] = "auto",
    refit: bool = False,
    reference: StateSpace | None = None,
    Sigma: Any = None,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
    probe: Any = None,
    amplitudes: Sequence[float] | None = None,
    lags: int | None = None,
    rng: np.random.Generator | int = 0,
) -> Dynamics:
    r"""Read the linear dynamics behind a trained one-step predictor.

    The recurrent weights alone hold the closed loop F = A - K H, not A. What can be read are the invariants of A = F + K H:
    poles, impulse responses, order; and every matrix up to a change of basis. Three steps:

    1. The responses of the network's prediction to past z and u: from the weights where it is linear, by regression on fresh data
       where it is not.
    2. The predictor of low order nearest to them in mean-square prediction under the covariance of the data: balanced truncation
       weighted by it, then Gauss-Newton on the same criterion. Modes near the unit circle that carry nothing cannot spoil it, since
       the responses are taken over a finite window. The order minimises N log det Sigma(order) + d(order) log N on the data.
    3. A = F + K H, and error bars of its eigenvalues from the Fisher information of the predictor on the data (pseudo-inverse over
       the free basis, delta method).

    Parameters
    ----------
    rnn : Elman, GRU, LSTM or Stack, StateSpace, fitted estimator, or callable
        Trained network, with ``inputs`` and ``target`` that say what it reads and predicts; or any one-step predictor as a function
        from inputs (T, i) to predictions (T, m). An estimator of `kelman.estimators` is its network or model; any other with a
        ``predict`` (a pipeline, a search) is that function. A function without ``inputs`` reads the columns of z, then those of u.
    predictor : as rnn, optional
        The same by another name, for what is no network. Give one of both.
    x : array_like, shape (T, i) or (N, T, i), or list, optional
        Input of the network, instead of z and u.
    z : array_like, shape (T,), (T, m) or (N, T, m), or list of series, optional
        The data that the network was trained on: they weigh the reduction, choose the order and give the error bars.
    u : array_like, optional
        Known inputs beside z.
    method : {"auto", "weights", "behaviour", "jacobian", "average_jacobian"}, default "auto"
        "auto": weights for linear networks and exact splits, behaviour for all others. The Jacobians (Elman only) are named
        alternatives: at the free-running fixed point, and averaged along the data; both are biased where the network saturates.
    order : int, "auto" or "gap", default "auto"
        Order of the model. "auto": by BIC with data, the minimal order of the weights without; "gap": where the Hankel singular
        values fall most.
    refit : bool, default False
        Polish the read-out on the data by the prediction-error method. The result is then an estimate from the data that was started
        by the network, no longer a reading of the network.
    reference : StateSpace, optional
        Model to whose basis the states are aligned (``T``, ``aligned``).
    Sigma : array_like, shape (m, m), optional
        Innovation covariance, where there are no data to estimate it from.
    inputs, target : optional
        As those of an ``Elman``, for callables or to replace those of the network.
    probe : StateSpace, array_like or (z, u), optional
        What a behavioural read-out probes with. None: 20 series of 5,000 steps from a vector autoregression fitted to the data.
    amplitudes : sequence of float, optional
        Read the poles also with probes scaled by these factors (behaviour only), to map how they move with amplitude.
    lags : int, optional
        Length of the window of responses. None: long enough for the memory of the predictor.
    rng : Generator or int, default 0
        Source of the probe.

    Returns
    -------
    Dynamics
        A, K, F, B, D, H, poles and their covariances, order, Hankel values, model, flags; ``summary()``, ``plot()``, ``markov()``.

    Notes
    -----
    Error bars say how far data of this length determine the poles at all (the Cramér-Rao bound of the predictor). A network that
    was not trained to its optimum can be further off than they say; ``linear_r2``, ``distance`` and ``flags`` are the gauges for that.

    References
    ----------
    Ljung, *System Identification*, 1999, ch. 7 and 9. Kung 1978 (Hankel realisation). Pintelon & Schoukens 2012, ch. 3 (best linear
    approximation).

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> turn = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    >>> model = kelman.StateSpace(turn, [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]])
    >>> d = kelman.read_dynamics(kelman.to_elman(model))
    >>> np.abs(d.poles).round(6).tolist(), np.abs(d.poles_recurrent).round(2).tolist()
    ([0.95, 0.95], [0.8, 0.8])
    """
    if method not in _METHODS:
        raise KelmanError(f"method: expected one of {', '.join(map(repr, _METHODS))}, got {method!r}")
    check_order(order)
    if reference is not None:
        constant_model(reference, "reference")
    if (rnn is None) == (predictor is None):
        raise KelmanError(
            "rnn: expected a network, or predictor= (one of both), got " + ("none" if rnn is None else "both")
        )
    given = predictor if rnn is None else rnn
    source = source_of(given, inputs, target, method, lambda: sizes_of(x, z, u, probe))
    data = data_of(source.layout, x, z, u)
    window = checked_lags(lags, data)
    series = None
    if source.method == "behaviour":
        zs, us = data or (None, None)
        series = probe_series(probe, zs, us, source.layout.m, source.layout.p, np.random.default_rng(rng))
    settled = _settled(source, data, series, window, order, Sigma)
    return _finish(source, data, settled, refit, reference, Sigma, amplitudes)


def _settled(
    source: Source, data: Data, probe: Data, lags: int | None, order: Any, Sigma: Any
) -> tuple[Reading, FloatArray, Metric, Choice]:
    """Responses and order over a window that holds the memory of the system found, but not that of idle modes."""
    window, q = lags, source.layout.m + source.layout.p
    single = isinstance(source.net, (Cell, Stack)) and source.net.dtype == np.float32
    while True:
        reading = responses_of(source, data, probe, window)
        scale = _innovation(Sigma, reading.moments, reading)
        metric = metric_of(reading.moments, scale, reading.direct)
        choice = choose(reading, metric, order, data is not None, single)
        have = reading.moments.lags
        found = realisation_of(reading.exact) if choice.fit is None and reading.exact is not None else choice.fit
        assert found is not None
        need = window_of(found.responses, q, data)
        if lags is not None or need <= have or have < (window or 0):
            return reading, scale, metric, choice
        window = min(need, 4 * have)


def _finish(
    source: Source,
    data: Data,
    settled: tuple[Reading, FloatArray, Metric, Choice],
    refit: bool,
    reference: StateSpace | None,
    Sigma: Any,
    amplitudes: Sequence[float] | None,
) -> Dynamics:
    """Error bars and record."""
    reading, scale, metric, choice = settled
    moments, layout, direct = reading.moments, source.layout, reading.direct
    fit, cost, m = choice.fit, choice.cost, layout.m
    if refit:
        if not data:
            raise KelmanError("refit: needs the data: give z= (and u=)")
        best = moments.least_squares(direct)
        start = realisation_of(reading.exact) if fit is None and reading.exact is not None else fit
        assert start is not None
        fit, _ = gauss_newton(start, best, metric)
        cost = float(np.sum(metric.residual(fit.responses(moments.lags), reading.theta) ** 2))
    if fit is None:
        predictor = reading.exact
        assert predictor is not None
    else:
        predictor = _with_offset(fit, _level(source, reading, fit, data, refit), m)
    system = realisation_of(predictor)
    noise = moments.error_cov(system.responses(moments.lags)) if data else (scale if Sigma is not None else None)
    final = metric_of(moments, scale if noise is None else noise, direct)
    values, covs = _poles(system, final, reading, data is not None)
    rest = 0.0 if reading.behaviour is None else float(np.trace(np.linalg.solve(scale, reading.behaviour.rest_cov)))
    r2 = 1.0
    if reading.behaviour is not None:
        whole = float(np.trace(np.linalg.solve(scale, reading.behaviour.output_cov)))
        r2 = 1.0 - rest / whole if whole > 0 else 1.0
    model = _model(predictor, np.eye(m) if noise is None else noise, source.lag_zero)
    recurrent = np.zeros(0, dtype=complex)
    if isinstance(source.net, Elman):
        U, A = source.net.U, source.net.A
        recurrent = _sorted(np.linalg.eigvals(np.asarray(U if A is None else U + A, dtype=np.float64)))
    return Dynamics(
        A=predictor.A,
        K=predictor.K,
        F=predictor.F,
        B=np.zeros((predictor.n, 0)) if model.B is None else model.B,
        D=np.zeros((m, layout.p)) if model.D is None else model.D,
        H=predictor.H,
        Sigma=noise,
        poles=values,
        pole_cov=covs,
        poles_recurrent=recurrent,
        order=predictor.n,
        hankel=choice.hankel,
        criterion=choice.criterion,
        model=model,
        method=source.method,
        distance=cost,
        linear_r2=r2,
        linear_r2_gap=rest,
        n_samples=moments.count if data else 0,
        T=None if reference is None else basis_change(predictor, reference),
        reference=reference,
        amplitude_poles=_amplitude_map(source, reading, metric, predictor.n, amplitudes),
        flags=no_dynamics(choice.criterion)
        + flags_of(
            predictor, reading.exact, values, covs, moments, direct, cost, rest, r2, data is not None, Sigma is not None
        ),
        predictor=predictor,
    )


def _innovation(Sigma: Any, moments: Moments, reading: Reading) -> FloatArray:
    """Innovation covariance that weighs the outputs: given, of the network's errors on the data, or the identity."""
    m = moments.m
    if Sigma is not None:
        cov = real_array("Sigma", Sigma)
        if cov.shape != (m, m):
            raise KelmanError(f"Sigma: expected shape ({m}, {m}), got {cov.shape}")
        if not np.allclose(cov, cov.T, rtol=1e-8, atol=0) or np.linalg.eigvalsh(cov)[0] <= 0:
            raise KelmanError("Sigma: expected a symmetric positive definite covariance")
        return cov
    return moments.error_cov(reading.theta) if moments.count else np.eye(m)


def _level(source: Source, reading: Reading, fit: Realisation, data: Data, refit: bool) -> FloatArray:
    """Offset with which the predictions have the mean of the network's own (of the data, if they were fitted to these)."""
    moments = reading.moments
    at, lags = moments.columns(reading.direct), moments.lags
    flat = moments.flatten(fit.responses(lags), reading.direct)
    mean: FloatArray = moments.mean[0, : moments.m]
    if not refit:
        mean = reading.constant + moments.flatten(reading.theta, reading.direct) @ moments.mean.ravel()[at]
        if data and reading.exact is not None and source.method == "weights":  # idle slow modes included
            hats = predictions(source.net, source.layout, *data)
            mean = np.concatenate([hat[lags:] for hat in hats if len(hat) > lags]).mean(axis=0)
    level: FloatArray = mean - flat @ moments.mean.ravel()[at]
    return level


def _with_offset(fit: Realisation, constant: FloatArray, m: int) -> LinearPredictor:
    """Predictor with its offset in c; started at rest."""
    q, p = fit.KG.shape[1], fit.D.shape[1]
    K, G = fit.KG[:, : q - p], fit.KG[:, q - p :]
    none = np.zeros(fit.n)
    return rested(LinearPredictor(fit.F, K, G, fit.H, fit.D, none, np.broadcast_to(constant, (m,)), none))


def _poles(system: Realisation, metric: Metric, reading: Reading, bars: bool) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues of A, largest first, and the covariances of their parts."""
    if system.n == 0:
        return np.zeros(0, dtype=complex), np.zeros((0, 2, 2))
    values, sensitivity = pole_sensitivity(system, metric.direct)
    at = np.lexsort((-values.imag, -np.round(np.abs(values), 12)))
    values, sensitivity = values[at], sensitivity[at]
    if not bars:
        return values, np.full((system.n, 2, 2), np.nan)
    covs = pole_cov(sensitivity, parameter_cov(system, metric))
    if reading.behaviour is not None and len(reading.behaviour.scatter) > 1:
        scatter = reading.behaviour.scatter
        back = np.linalg.pinv(weighted_jacobian(system, metric), rcond=1e-9)
        moves = np.array([back @ (metric.whiten @ part @ metric.factor).ravel() for part in scatter])
        covs = covs + pole_cov(sensitivity, moves.T @ moves * (len(scatter) / (len(scatter) - 1)))
    return values, covs


def _sorted(values: FloatArray) -> FloatArray:
    return values[np.lexsort((-values.imag, -np.round(np.abs(values), 12)))]


def _model(predictor: LinearPredictor, Sigma: FloatArray, lag_zero: bool) -> StateSpace:
    """Innovation form; with ``input_lag`` 0 for a network that reads u_k beside z_{k-1}, where A can be inverted."""
    model = model_of_predictor(predictor, Sigma, start=False)
    if lag_zero and predictor.n and np.linalg.cond(predictor.A) < 1e8:
        return unshifted(model)
    return model


def _amplitude_map(
    source: Source, reading: Reading, metric: Metric, order: int, amplitudes: Sequence[float] | None
) -> dict[float, FloatArray]:
    """Poles read with scaled probes."""
    if amplitudes is None:
        return {}
    if reading.probe is None:
        raise KelmanError('amplitudes: only a read-out by behaviour has a probe to scale; use method="behaviour"')
    out = {}
    for value in amplitudes:
        factor = float(real_array("amplitudes", value))
        if not factor > 0:
            raise KelmanError(f"amplitudes: expected positive factors, got {value!r}")
        zs, us = scaled(*reading.probe, factor)
        theta = behaviour_of(source.net, source.layout, zs, us, reading.moments.lags, reading.direct).theta
        start = ho_kalman(weighted_hankel(theta, metric), reading.moments.m, reading.moments.q, order)
        fit, _ = gauss_newton(start, theta, metric)
        out[factor] = _sorted(pole_sensitivity(fit, reading.direct)[0]) if fit.n else np.zeros(0, dtype=complex)
    return out
