# SPDX-License-Identifier: BSD-3-Clause
"""`forecast`: the moments of the measurements to come."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_count, one_of, room
from ..config import thread_count
from ..errors import KelmanError, ModelWarning
from ._filter import ON_ERROR, finish
from ._outcome import blank_failures, settle
from ._problem import RANKS, pose, require_model
from ._result import Kept
from ._series import read_u

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, OnError
    from ..models import StateSpace
    from ._problem import Posed
    from ._state import FilterState

_UNDETERMINED = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class ForecastResult(Kept):
    """What `forecast` found, for the `steps` after each series' end. ... is N for several series, nothing for one.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> f = kelman.forecast(model, [1.0, 2.0, 4.0], 2)
    >>> low, high = f.interval(0.95)
    >>> print(low[:, 0].round(3), high[:, 0].round(3))
    [-0.051 -0.607] [6.301 6.857]
    """

    _arrays: dict[str, Array]
    _batched: bool
    lengths: Array | None = None

    @property
    def mean(self) -> Array:
        """E[z_{T+j} | z_1..z_T], shape (..., steps, m)."""
        return self._array("mean")

    @property
    def cov(self) -> Array:
        """Cov[z_{T+j} | z_1..z_T], shape (..., steps, m, m); infinite where a diffuse start is not yet determined."""
        return self._array("cov")

    @property
    def state_mean(self) -> Array:
        """E[x_{T+j} | z_1..z_T], shape (..., steps, n)."""
        return self._array("state_mean")

    @property
    def state_cov(self) -> Array:
        """Cov[x_{T+j} | z_1..z_T], shape (..., steps, n, n)."""
        return self._array("state_cov")

    def _array(self, name: str) -> Array:
        array: Array = self._get(name)
        return array

    def interval(self, level: Any = 0.95) -> tuple[Array, Array]:
        """Return lower and upper ends of the interval that holds each measured value with probability `level`.

        Parameters
        ----------
        level : float, default 0.95
            Probability, between 0 and 1.

        Returns
        -------
        lower, upper : ndarray, shape (..., steps, m)
            Symmetric around the mean, by the normal distribution, for each component on its own.

        Raises
        ------
        KelmanError
            If `level` is not between 0 and 1.
        """
        if isinstance(level, bool) or not isinstance(level, (int, float, np.number)) or not 0 < level < 1:
            raise KelmanError(f"level: expected a probability between 0 and 1, got {level!r:.60}")
        from statistics import NormalDist  # takes longer to load than the rest of this package

        width = NormalDist().inv_cdf((1 + float(level)) / 2)
        deviation = np.sqrt(np.maximum(np.diagonal(self.cov, axis1=-2, axis2=-1), 0))
        half = (width * deviation).astype(self.mean.dtype)
        return self.mean - half, self.mean + half

    def __getitem__(self, i: int) -> ForecastResult:
        """Return the forecast of one series."""
        return ForecastResult(self._cut(i), False)

    def summary(self) -> str:
        """Say in a few lines what is forecast.

        Returns
        -------
        str
            The mean and standard deviation of each step (of one series), or the sizes (of several).
        """
        if self._batched:
            count, steps, m = self.mean.shape
            return f"forecast of {count} series, {steps} steps, {m} measured"
        deviation = np.sqrt(np.diagonal(self.cov, axis1=-2, axis2=-1))
        lines = ["forecast of one series (mean, standard deviation)"]
        for j, (mean, std) in enumerate(zip(self.mean, deviation, strict=True)):
            values = "  ".join(f"{a:.6g} ({s:.4g})" for a, s in zip(mean, std, strict=True))
            lines.append(f"  T+{j + 1:<4} {values}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"ForecastResult(mean {self.mean.shape}, cov {self.cov.shape})"


def forecast(
    model: StateSpace,
    z: ArrayLike,
    steps: int,
    u: ArrayLike | None = None,
    u_future: ArrayLike | None = None,
    *,
    start: FilterState | None = None,
    on_error: OnError = "raise",
    threads: int | None = None,
    backend: Backend | None = None,
) -> ForecastResult:
    r"""Forecast one or many series: the mean and covariance of z_{T+1}, ..., z_{T+steps} given z_1..z_T.

    Parameters
    ----------
    model : StateSpace
        The model; what varies in time must cover T + steps.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements so far; NaN = missing. Each series of a list is forecast from its own end.
    steps : int
        How many steps to forecast.
    u : array_like, shape (T, p) or (N, T, p), optional
        Inputs so far.
    u_future : array_like, shape (steps, p) or (N, steps, p), optional
        Inputs to come; ``u_future[0]`` goes with z_{T+1}. Needed if the model has B or D.
    start, on_error, threads, backend
        As in `filter`.

    Returns
    -------
    ForecastResult
        ``mean`` and ``cov`` of z, ``state_mean`` and ``state_cov``, and ``interval(level)``.

    Raises
    ------
    KelmanError
        As `filter`; and if the inputs to come are missing, or the model does not cover the steps.

    Warns
    -----
    ModelWarning
        If the measurements do not determine a diffuse start: the variances are then infinite where it matters.

    Notes
    -----
    Forecasting is filtering of missing measurements: Durbin and Koopman, 2nd ed. (2012), section 4.11.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]], B=[[2.0]])
    >>> f = kelman.forecast(model, [0.0, 1.0], 3, u=[0.0, 0.0], u_future=[1.0, 1.0, 1.0])
    >>> f.mean.shape, f.cov.shape
    ((3, 1), (3, 1, 1))
    """
    require_model(model, "forecast")
    steps = as_count(steps, "steps")
    one_of(on_error, "on_error", ON_ERROR)
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start, ahead=steps)
    p = 0 if model.B is None and model.D is None else model.dims.p
    future = read_u(u_future, p, N=posed.N, T=steps, dtype=posed.dtype, batched=posed.batched, name="u_future")
    raw = kernels.filter_raw(posed.problem, "last", count, None)
    finish(posed, raw, "last", "nan")
    status, failed_at = raw["status"], raw["failed_at"]
    arrays = blank_failures(_ahead(posed, raw, future, steps), frozenset(), status, failed_at)
    result = ForecastResult(arrays, posed.batched)
    settle(status, failed_at, on_error, lambda: result)
    if raw["state_rank"].any() and np.isinf(arrays["state_cov"]).any():
        warnings.warn(
            "z: the measurements do not determine the diffuse start, so some variances of the forecast are infinite; "
            "give more measurements, or m1 and P1",
            ModelWarning,
            stacklevel=3,
        )
    return result


def _ahead(posed: Posed, raw: dict[str, Array], future: Array | None, steps: int) -> dict[str, Array]:
    """Carry the moments of the last state `steps` ahead."""
    x, P, V = raw["state_mean"], raw["state_cov"], raw["state_inf"]
    V = np.where(np.arange(V.shape[-1]) < raw["state_rank"][:, None, None], V, 0).astype(P.dtype)
    W, C = raw["state_noise_cov"], raw["state_noise_cross"]
    drive = raw["state_noise_mean"]
    lag = posed.problem.input_lag
    last = posed.last_u()
    N, n, m = posed.N, posed.model.dims.n, posed.model.dims.m
    shapes = {"mean": (m,), "cov": (m, m), "state_mean": (n,), "state_cov": (n, n)}
    kept = {name: room(N, steps, *shape, name="steps") for name, shape in shapes.items()}
    for j in range(steps):
        at = _matrices(posed, j)
        A, H = at["A"], at["H"]
        x = _times(A, x) + drive
        u_here = None if future is None else future[:, j]
        u_into = u_here if lag == 0 else (last if j == 0 else None if future is None else future[:, j - 1])
        if at["B"] is not None and u_into is not None:
            x = x + _times(at["B"], u_into)
        if at["b"] is not None:
            x = x + at["b"]
        P = _symmetric(A @ P @ _turned(A) + W + (0 if j else A @ C + _turned(A @ C)))
        V = A @ V
        mean = _times(H, x)
        if at["D"] is not None and u_here is not None:
            mean = mean + _times(at["D"], u_here)
        if at["c"] is not None:
            mean = mean + at["c"]
        cov = _symmetric(H @ P @ _turned(H) + at["R"])
        kept["mean"][:, j] = mean
        kept["cov"][:, j] = _with_infinities(cov, H @ V, np.abs(H) @ np.abs(V))
        kept["state_mean"][:, j] = x
        kept["state_cov"][:, j] = _with_infinities(P, V, np.abs(V).max(axis=(-2, -1), keepdims=True, initial=0) + 0 * V)
        drive, W = np.zeros_like(x), at["Q"]
    return {name: array.astype(posed.dtype, copy=False) for name, array in kept.items()}


def _matrices(posed: Posed, j: int) -> dict[str, Any]:
    """The model at step j (from 0) after the end of each series: each (1 or N, ...)."""
    cast = posed.model.astype(posed.dtype)
    ends = np.full(posed.N, posed.T) if posed.lengths is None else posed.lengths
    out: dict[str, Any] = {}
    for name, rank in RANKS.items():
        array = getattr(cast, name)
        if array is not None:
            array = array.reshape((1,) * (2 + rank - array.ndim) + array.shape)
            if array.shape[1] == 1:
                array = array[:, 0]
            elif posed.lengths is None:
                array = array[:, posed.T + j]
            else:
                array = array[np.arange(posed.N) % len(array), ends + j]
        out[name] = array
    return out


def _times(matrix: Array, vector: Array) -> Array:
    product: Array = (matrix @ vector[..., None])[..., 0]
    return product


def _turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def _symmetric(matrix: Array) -> Array:
    half: Array = (matrix + _turned(matrix)) / 2
    return half


def _with_infinities(cov: Array, factor: Array, scale: Array) -> Array:
    """The covariance with infinities (of the right sign) where `factor` factor' is not zero to rounding."""
    if factor.shape[-1] == 0 or not factor.any():
        return cov
    product = factor @ _turned(factor)
    size = scale @ _turned(scale)
    return np.where(np.abs(product) > _UNDETERMINED * size, np.copysign(np.inf, product), cov).astype(cov.dtype)
