# SPDX-License-Identifier: BSD-3-Clause
"""The start of a filter: the moments that the user gave, or those that ``initial=`` stands for.

"stationary": x_1 ~ (mu, P), mu = A mu + b, P = A P A' + Q, plus B u_1 in the mean. "diffuse": P_inf = I. "auto": with
bases Vs, Vu of the invariant subspaces of A inside the circle of radius 1 - 1e-8 and outside (1 - 1e-5 for a float32
model, whose unit roots are stored with that error), x = Vs xs + Vu xu, the coordinates xs are stationary and xu diffuse
(Durbin and Koopman, 2nd ed. (2012), section 5.6.2; J. D. Hamilton, *Time Series Analysis* (1994), eq. 10.2.18 for the
stationary covariance).

What varies in time counts as its first value, the one in force before the first measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import collapsed, contiguous
from ..errors import KelmanError
from ..lti._lyapunov import stein_stack
from ..lti._split import clearly_stable

if TYPE_CHECKING:
    from .._types import Array, Dtype
    from ..models import StateSpace
    from ._state import FilterState

_RANK_TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Eigenvalues of P1_inf below this part of the largest are rounding."""

_MODULUS_TOLERANCE = {"float64": 1e-8, "float32": 1e-5}
"""Modes of A of modulus at least one minus this are not stable: a unit root as it is stored in either dtype."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start moments in the layout of a `Problem` (its fields of the same names)."""

    start_kind: int
    mean: Array
    cov: Array
    inf: Array
    rank: Array
    noise_mean: Array | None
    noise_cov: Array | None
    noise_cross: Array | None


def resolve_start(model: StateSpace, N: int, dtype: Dtype, fields: dict[str, Array | None], u: Array | None) -> Start:
    """Return the model's start for N series; `fields` and `u` are those of the problem."""
    key = (N, dtype)
    Q = fields["Q"]
    known: tuple[Any, Any, Start] | None = model._cache.get("start")
    if known is None or known[0] != key or known[1] is not Q:
        start = _spread_out(model, N, dtype)
        if model.initial == "x0" and Q is not None:
            start = replace(start, noise_cov=Q[:, 0])
        known = (key, Q, start)
        model._cache["start"] = known
    start = known[2]
    if model.initial in ("stationary", "auto") and model.input_lag == 0 and fields["B"] is not None and u is not None:
        return replace(start, mean=start.mean + (fields["B"][:, 0] @ u[:, 0, :, None])[..., 0])
    return start


def _spread_out(model: StateSpace, N: int, dtype: Dtype) -> Start:
    """The start of N series, without inputs and without the noise before the first measurement."""
    mean, cov, inf, rank = (np.broadcast_to(part, (N, *part.shape[1:])) for part in _moments(model, dtype))
    if model.initial != "x0":
        return Start(0, mean, cov, inf, rank, None, None, None)
    nothing = np.broadcast_to(np.zeros((1, model.dims.n, model.dims.n), dtype=dtype), cov.shape)
    return Start(1, mean, cov, inf, rank, nothing[:, 0], None, nothing)


def resume(state: FilterState, dtype: Dtype) -> Start:
    """Return the start that goes on from a state."""

    def cast(array: Array) -> Array:
        return contiguous(array, dtype)

    return Start(
        1,
        cast(state._mean),
        cast(state._cov),
        cast(state._inf),
        state._rank,
        cast(state._noise_mean),
        cast(state._noise_cov),
        cast(state._noise_cross),
    )


def _moments(model: StateSpace, dtype: Dtype) -> tuple[Array, Array, Array, Array]:
    """Mean, covariance, diffuse factor and rank, each with a leading axis of 1 or N; computed once per model and dtype."""
    key = ("moments", dtype)
    if key not in model._cache:
        kept: Any = _given(model) if model.initial in ("x0", "x1") else _worked_out(model)
        mean, cov, inf, rank = kept
        parts = tuple(contiguous(part, dtype) for part in (mean, cov, inf))
        for part in (*parts, rank):
            part.flags.writeable = False
        model._cache[key] = (*parts, rank)
    moments: tuple[Array, Array, Array, Array] = model._cache[key]
    return moments


def _given(model: StateSpace) -> tuple[Array, Array, Array, Array]:
    n = model.dims.n
    if model.initial == "x0":
        mean, cov, infinite = model.m0, model.P0, None
    else:
        mean, cov, infinite = model.m1, model.P1, model.P1_inf
    mean = np.zeros(n) if mean is None else mean
    cov = np.zeros((n, n)) if cov is None else cov
    factors = [np.zeros((n, 0))]
    if infinite is not None:
        infinite = collapsed(infinite).reshape(-1, n, n)
        tolerance = _RANK_TOLERANCE[model.dtype.name]
        factors = [_factor(one.astype(np.float64), tolerance) for one in infinite]
    inf, rank = _side_by_side(factors)
    return mean.reshape(-1, n), cov.reshape(-1, n, n), inf, rank


def _factor(covariance: Array, tolerance: float) -> Array:
    """V with V V' = covariance and as many columns as its rank."""
    values, vectors = np.linalg.eigh(covariance)
    big = values > tolerance * max(float(values[-1]), np.finfo(np.float64).tiny)
    factor: Array = vectors[:, big] * np.sqrt(values[big])
    return factor


def _side_by_side(factors: list[Array]) -> tuple[Array, Array]:
    """Stack factors of different ranks, the missing columns zero."""
    rank = np.array([factor.shape[1] for factor in factors], dtype=np.int64)
    inf = np.zeros((len(factors), factors[0].shape[0], int(rank.max())))
    for i, factor in enumerate(factors):
        inf[i, :, : factor.shape[1]] = factor
    return inf, rank


def _worked_out(model: StateSpace) -> tuple[Array, Array, Array, Array]:
    n = model.dims.n
    if model.initial == "diffuse":
        return np.zeros((1, n)), np.zeros((1, n, n)), np.eye(n)[None], np.full(1, n, dtype=np.int64)
    if _varies_in_time(model.A, 2):
        raise KelmanError(
            f"initial={model.initial!r}: A varies in time, so it has no stationary distribution to start from; give m1 "
            "and P1 (or m0 and P0), or initial='diffuse'"
        )
    A, Q, b = before_first(model)
    lead = len(A)
    mean, cov, factors = np.zeros((lead, n)), np.zeros((lead, n, n)), [np.zeros((n, 0))] * lead
    stable = clearly_stable(A)
    mean[stable], cov[stable] = stationary(A[stable], Q[stable], b[stable])
    for i in np.flatnonzero(~stable):
        mean[i], cov[i], factors[i] = _one_start(A[i], Q[i], b[i], model, int(i) if lead > 1 else None)
    model._cache["stationary"] = (stable, mean, cov)
    return mean, cov, *_side_by_side(factors)


def before_first(model: StateSpace) -> tuple[Array, Array, Array]:
    """A, Q and b as they were before the first measurement, (1 or N, ...), in float64."""
    A, Q = _first(model.A, 2), _first(model.Q, 2)
    n = A.shape[-1]
    b = np.zeros((1, n)) if model.b is None else _first(model.b, 1, 1 if model.input_lag else 0)
    lead = max(len(A), len(Q), len(b))
    A, Q, b = (np.broadcast_to(part, (lead, *part.shape[1:])) for part in (A, Q, b))
    return A, Q, b


def stationary(A: Array, Q: Array, b: Array) -> tuple[Array, Array]:
    """Mean and covariance that stable A (N, n, n), Q and b keep."""
    mean = np.linalg.solve(np.eye(A.shape[-1]) - A, b[..., None])[..., 0]
    cov = stein_stack(A, Q, np.swapaxes(A, -1, -2))
    return mean, (cov + np.swapaxes(cov, -1, -2)) / 2


def _varies_in_time(array: Array, inner: int) -> bool:
    return array.ndim > inner and array.shape[-1 - inner] > 1


def _first(array: Array, inner: int, step: int = 0) -> Array:
    """The matrices before the first measurement, (1 or N, ...), in float64."""
    steps = array.shape[-1 - inner] if array.ndim > inner else 1
    if array.ndim == inner:
        array = array[None]
    else:
        index: tuple[Any, ...] = (..., step if steps > 1 else 0, *(slice(None),) * inner)
        array = array[index]
        array = array if array.ndim == inner + 1 else array[None]
    return array.astype(np.float64)


def _one_start(A: Array, Q: Array, b: Array, model: StateSpace, series: int | None) -> tuple[Array, Array, Array]:
    from .. import lti

    split = lti.stationary_split(A, tol=_MODULUS_TOLERANCE[model.dtype.name])
    undetermined = split.Vu.shape[1]
    if model.initial == "stationary" and undetermined:
        values = np.linalg.eigvals(split.Au)
        worst = values[np.argmax(np.abs(values))]
        shown = f"{worst.real:.6g}" if abs(worst.imag) < 1e-12 else f"{worst:.6g}"
        where = "" if series is None else f" of series {series}"
        raise KelmanError(
            f"initial='stationary': A{where} has the eigenvalue {shown} (modulus {abs(worst):.6g}), which has no "
            "stationary distribution; use initial='auto' (diffuse on such modes), or give m1 and P1"
        )
    if undetermined == len(A):
        return np.zeros(len(A)), np.zeros_like(A), split.Vu
    As, Ls, Vs = split.As, split.Ls, split.Vs
    mean = Vs @ np.linalg.solve(np.eye(len(As)) - As, Ls @ b) if b.any() else np.zeros(len(A))
    driving = Ls @ Q @ Ls.T
    cov = Vs @ lti.lyapunov(As, (driving + driving.T) / 2) @ Vs.T
    return mean, (cov + cov.T) / 2, split.Vu
