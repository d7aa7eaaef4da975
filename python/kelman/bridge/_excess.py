# SPDX-License-Identifier: BSD-3-Clause
"""Excess risk: what a predictor loses against the Kalman filter of the true model, without a noise floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._behaviour import predictions
from kelman.bridge._data import real_array
from kelman.bridge._dynamics import Dynamics
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._plain import is_network
from kelman.bridge._predictor import LinearPredictor, predictor_of_elman, predictor_of_model
from kelman.bridge._probe import simulate_innovations
from kelman.bridge._split import is_foldable
from kelman.errors import KelmanError
from kelman.models import Cell, Elman, Stack, StateSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kelman.bridge._data import FloatArray

__all__ = ["ExcessRisk", "excess_risk"]

_HORIZON = 1000


class ExcessRisk(float):
    """An excess risk: a number that also knows how it was computed.

    Attributes
    ----------
    method : str
        "stationary" (exact, Lyapunov), "horizon" (exact, averaged over finitely many steps) or "simulation".
    standard_error : float
        Of a simulation; 0 where the value is exact.
    horizon : int or None
        Number of steps of "horizon".
    """

    method: str
    standard_error: float
    horizon: int | None

    def __new__(cls, value: float, method: str, standard_error: float = 0.0, horizon: int | None = None) -> Self:
        """Number with its provenance."""
        self = super().__new__(cls, value)
        self.method, self.standard_error, self.horizon = method, standard_error, horizon
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (float(self), self.method, self.standard_error, self.horizon)

    def __repr__(self) -> str:
        bar = f" ± {self.standard_error:.2g}" if self.method == "simulation" else ""
        return f"{float(self):.6g}{bar} ({self.method})"


def excess_risk(
    predictor: StateSpace | Cell | Stack | Dynamics | Callable[..., Any],
    model: StateSpace,
    *,
    horizon: int | None = None,
    u: Any = None,
    samples: int = 100_000,
    rng: np.random.Generator | int = 0,
    inputs: Sequence[str] | None = None,
    target: str | None = None,
) -> ExcessRisk:
    r"""Mean-square distance of a predictor from the Kalman filter of the true model, in units of the innovation.

    .. math:: \mathrm{tr}\, \Sigma^{-1} \Delta, \qquad \Delta = E (\hat z - \hat z^{KF}) (\hat z - \hat z^{KF})'

    The innovation is orthogonal to the past, so E (z - zhat)(.)' = Sigma + Delta for every causal predictor: the excess is exactly
    what the predictor loses, and N times it is about chi-square with as many degrees of freedom as there are free parameters when
    the predictor was fitted efficiently to N samples.

    Parameters
    ----------
    predictor : StateSpace, Elman, GRU, LSTM, Stack, Dynamics or callable
        What predicts z one step ahead: the steady filter of a model, a network, a read-out, or a function from inputs (T, i) to
        predictions (T, m).
    model : StateSpace
        The truth.
    horizon : int, optional
        Average over this many steps from the start (both at their own start means) instead of the stationary state. None: stationary
        where A is stable; else 1,000 steps.
    u : array_like, shape (T, p), or "white", optional
        Known inputs; needed when the model has any. A series is run through both (averaged over its T steps), "white" stands for
        independent inputs of unit variance.
    samples : int, default 100,000
        Length of the simulation for nonlinear predictors.
    rng : Generator or int, default 0
        Source of that simulation.
    inputs, target : optional
        What a function reads and predicts, as in ``Elman``.

    Returns
    -------
    ExcessRisk
        A float with ``method``, ``standard_error`` and ``horizon``; inf where the error grows without bound.

    Notes
    -----
    Linear predictors need no simulation: with Z the transition of [true state; predictor state] driven by the innovation, Delta
    = C P C' with P = Z P Z' + B Sigma B'. Nonlinear ones are run beside the filter on the same simulated data (paired).

    Examples
    --------
    >>> import kelman
    >>> truth = kelman.StateSpace([[0.9]], [[1.0]], [[1.0]], [[1.0]])
    >>> kelman.excess_risk(truth, truth) < 1e-14
    True
    >>> wrong = truth.replace(Q=[[0.5]])
    >>> round(kelman.excess_risk(wrong, truth), 4)
    0.0177
    """
    if not isinstance(model, StateSpace):
        raise KelmanError(f"model: expected a StateSpace, got {type(model).__name__}")
    truth, Sigma = predictor_of_model(model, "model")
    truth = _one_start(truth)
    drive = _inputs(u, truth.p)
    if horizon is not None:
        as_count(horizon, "horizon")
    linear = _linear(predictor)
    if linear is not None:
        other = _one_start(linear)
        if (other.m, other.p) != (truth.m, truth.p):
            raise KelmanError(
                f"predictor: expected {truth.m} measured values and {truth.p} inputs as in the model, got {other.m} and {other.p}"
            )
        return exact_risk(other, truth, Sigma, horizon, drive)
    as_count(samples, "samples")
    net, layout = _nonlinear(predictor, inputs, target, truth)
    return _paired(net, layout, truth, Sigma, horizon, drive, samples, np.random.default_rng(rng))


def _one_start(predictor: LinearPredictor) -> LinearPredictor:
    if predictor.start.ndim == 1:
        return predictor
    return replace(predictor, start=predictor.start.mean(axis=0))


def _inputs(u: Any, p: int) -> Any:
    """None without inputs, the word "white", or a series (T, p)."""
    if p == 0:
        if u is not None:
            raise KelmanError("u: expected None, because the model has no inputs")
        return None
    if u is None:
        raise KelmanError(f'u: the model has {p} inputs; give a series of shape (T, {p}), or u="white"')
    if isinstance(u, str):
        if u != "white":
            raise KelmanError(f'u: expected a series of shape (T, {p}) or "white", got {u!r}')
        return u
    series = real_array("u", u)
    series = series[:, None] if series.ndim == 1 else series
    if series.ndim != 2 or series.shape[1] != p or not len(series):
        raise KelmanError(f"u: expected shape (T, {p}), got {series.shape}")
    return series


def _linear(predictor: Any) -> LinearPredictor | None:
    """The linear predictor of what was given, or None when it has to be simulated."""
    if isinstance(predictor, StateSpace):
        return predictor_of_model(predictor, "predictor")[0]
    if isinstance(predictor, Dynamics):
        return predictor.predictor
    if isinstance(predictor, Elman):
        return predictor_of_elman(predictor)[0] if is_foldable(predictor) else None
    if is_network(predictor, "predictor") or callable(predictor):
        return None
    raise KelmanError(
        f"predictor: expected a StateSpace, a recurrent network, a Dynamics or a function, got {type(predictor).__name__}"
    )


def _nonlinear(predictor: Any, inputs: Any, target: Any, truth: LinearPredictor) -> tuple[Any, Layout]:
    if is_network(predictor, "predictor"):
        layout = layout_of(inputs or predictor.inputs, target or predictor.target, *predictor.dims[1:3])
    else:
        words = tuple(inputs) if inputs is not None else ("z",) * truth.m + ("u",) * truth.p
        layout = layout_of(words, target, len(words), truth.m)
    if layout.target == "state" or (layout.m, layout.p) != (truth.m, truth.p):
        raise KelmanError(
            f"predictor: expected predictions of {truth.m} measured values from them and {truth.p} inputs, got target "
            f"{layout.target!r} with {layout.m} and {layout.p}"
        )
    return predictor, layout


@dataclass(frozen=True, slots=True, eq=False)
class _Joint:
    """Truth and predictor side by side: w+ = Z w + E e + G u + o, difference = C w + D u + d."""

    Z: FloatArray
    E: FloatArray
    G: FloatArray
    o: FloatArray
    C: FloatArray
    D: FloatArray
    d: FloatArray
    start: FloatArray


def joint_system(other: LinearPredictor, truth: LinearPredictor) -> _Joint:
    """Joint system of the truth (in innovation form) and of a predictor fed with its z."""
    zero = np.zeros((truth.n, other.n))
    return _Joint(
        Z=np.block([[truth.A, zero], [other.K @ truth.H, other.F]]),
        E=np.vstack([truth.K, other.K]),
        G=np.vstack([truth.B, other.K @ truth.D + other.G]),
        o=np.concatenate([truth.b, other.K @ truth.c + other.f]),
        C=np.hstack([-truth.H, other.H]),
        D=other.D - truth.D,
        d=other.c - truth.c,
        start=np.concatenate([truth.start, other.start]),
    )


def exact_risk(
    other: LinearPredictor, truth: LinearPredictor, Sigma: FloatArray, horizon: int | None, u: Any
) -> ExcessRisk:
    joint = joint_system(other, truth)
    weight = np.linalg.inv(Sigma)
    radius = [float(np.abs(np.linalg.eigvals(M)).max(initial=0.0)) for M in (truth.A, other.F)]
    series = u if isinstance(u, np.ndarray) else None
    if horizon is None and series is None and max(radius) < 1 - 1e-10:
        return ExcessRisk(
            max(float(np.trace(weight @ _stationary(joint, Sigma, isinstance(u, str)))), 0.0), "stationary"
        )
    if horizon is None and series is None and radius[1] >= 1 and radius[0] < 1 - 1e-10:
        return ExcessRisk(np.inf, "stationary")
    steps = len(series) if series is not None and horizon is None else (horizon or _HORIZON)
    if series is not None and len(series) < steps:
        raise KelmanError(f"u: expected at least {steps} steps for this horizon, got {len(series)}")
    cov = _finite(joint, Sigma, steps, series, isinstance(u, str))
    return ExcessRisk(float(np.trace(weight @ cov)), "horizon", horizon=steps)


def _stationary(joint: _Joint, Sigma: FloatArray, white: bool) -> FloatArray:
    """Delta of the stationary joint system, with the square of its mean."""
    from kelman.lti import lyapunov

    drive = joint.E @ Sigma @ joint.E.T + (joint.G @ joint.G.T if white else 0.0)
    P = lyapunov(joint.Z, (drive + drive.T) / 2)
    bias = joint.C @ np.linalg.solve(np.eye(len(joint.Z)) - joint.Z, joint.o) + joint.d
    cov: FloatArray = joint.C @ P @ joint.C.T + np.outer(bias, bias) + (joint.D @ joint.D.T if white else 0.0)
    return cov


def _finite(joint: _Joint, Sigma: FloatArray, steps: int, u: FloatArray | None, white: bool) -> FloatArray:
    """Mean over the first steps of E diff diff': impulse responses D_i give the noise part as sum_i (steps - i) / steps D_i Sigma D_i'."""
    m = len(joint.d)
    cov = np.zeros((m, m))
    block = np.hstack([joint.E, joint.G]) if white else joint.E
    noise = np.zeros((block.shape[1],) * 2)
    noise[:m, :m] = Sigma
    noise[m:, m:] = np.eye(block.shape[1] - m)
    if white:
        cov += joint.D @ joint.D.T
    state = joint.start
    for k in range(steps):
        mean = joint.C @ state + joint.d + (joint.D @ u[k] if u is not None else 0.0)
        cov += np.outer(mean, mean) / steps
        state = joint.Z @ state + joint.o + (joint.G @ u[k] if u is not None else 0.0)
        if k + 1 < steps:
            response = joint.C @ block
            cov += (steps - 1 - k) / steps * (response @ noise @ response.T)
            block = joint.Z @ block
        if not np.isfinite(cov).all():
            return np.full((m, m), np.inf)
    return cov


def _paired(
    net: Any,
    layout: Layout,
    truth: LinearPredictor,
    Sigma: FloatArray,
    horizon: int | None,
    u: Any,
    samples: int,
    rng: np.random.Generator,
) -> ExcessRisk:
    """Filter and predictor run on the same simulated series."""
    stable = bool(np.abs(np.linalg.eigvals(truth.A)).max(initial=0.0) < 1 - 1e-8)
    series = u if isinstance(u, np.ndarray) else None
    if series is not None:
        T = horizon or len(series)
        if len(series) < T:
            raise KelmanError(f"u: expected at least {T} steps for this horizon, got {len(series)}")
    elif horizon is not None or not stable:
        T = horizon or _HORIZON
    else:
        T = max(samples // 50, 500)
    fixed = horizon is not None or not stable or series is not None
    burn = 0 if fixed else min(200, T // 4)
    N = max(samples // T, 2)
    drive = (
        np.broadcast_to(series[:T], (N, T, truth.p)) if series is not None else rng.normal(size=(N, T + burn, truth.p))
    )
    z = simulate_innovations(truth, Sigma, drive, rng, warm=0 if fixed else None)
    exact = truth.predict(z, drive, _start_state(truth, fixed))
    hats = np.stack(predictions(net, layout, list(z), list(drive)))
    gap = (hats - exact)[:, max(burn, 1 if layout.target == "z_next" else 0) :]
    weighted = np.einsum("nti,ij,ntj->n", gap, np.linalg.inv(Sigma), gap) / gap.shape[1]
    error = float(weighted.std(ddof=1) / np.sqrt(N))
    return ExcessRisk(float(weighted.mean()), "simulation", error, T if fixed else None)


def _start_state(truth: LinearPredictor, fixed: bool) -> FloatArray:
    """The filter's own start; a stationary run starts it at the mean, and the burn-in forgets the difference."""
    if fixed or not truth.n:
        return truth.start
    mean: FloatArray = np.linalg.lstsq(np.eye(truth.n) - truth.A, truth.b, rcond=None)[0]
    return mean
