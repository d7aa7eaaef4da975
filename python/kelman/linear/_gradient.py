# SPDX-License-Identifier: BSD-3-Clause
"""`loglik_and_grad`: the log-likelihood and its derivative by every entry of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import one_of
from ..config import thread_count
from ..errors import KelmanError
from ._filter import ON_ERROR
from ._gradient_result import NAMES, Gradient
from ._outcome import settle
from ._problem import RANKS, Posed, pose, refuse_infinity, require_model
from ._start_gradient import start_gradient

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, DiffuseConstant, OnError
    from ..models import StateSpace
    from ._state import FilterState

_START = {"m0": ("mean", 1), "P0": ("cov", 2), "m1": ("mean", 1), "P1": ("cov", 2)}
"""Arrays of a start that is given -> the field of the problem they become, and the number of their inner axes."""


def loglik_and_grad(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    start: FilterState | None = None,
    per_series: bool = False,
    on_error: OnError = "raise",
    diffuse_constant: DiffuseConstant = "kfas",
    threads: int | None = None,
    backend: Backend | None = None,
) -> tuple[Any, Gradient]:
    r"""Return the log-likelihood and its derivative by every entry of the model.

    Exact, by one pass back through time, at the cost of a few filters however many entries there are. The start counts:
    through ``initial="stationary"`` and ``"auto"`` the derivatives by A, Q, b (and B) hold what the start adds to them.

    Parameters
    ----------
    model : StateSpace
        The model, shared by all series or one per series.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    u : array_like, shape (T, p) or (N, T, p), optional
        Inputs.
    start : FilterState, optional
        The ``.state`` of an earlier result: go on from there. It counts as given, so that the derivatives by the model's
        own start, which is then unused, are zero.
    per_series : bool, default False
        What several series share has one derivative, that of the sum of their log-likelihoods. True gives one for each,
        on a new first axis.
    on_error, diffuse_constant, threads, backend
        As in `filter`. The gradient of a series that fails is NaN, and so is a sum that it is part of.

    Returns
    -------
    loglik : float or ndarray, shape (N,)
        The log-likelihood of each series, as `loglik` returns it.
    gradient : Gradient
        ``gradient.A`` and so on, each in the shape of the model's own array: ``(n, n)`` and ``(T, n, n)`` summed over
        series, ``(N, 1, n, n)`` and ``(N, T, n, n)`` not. With `per_series` ``(N, n, n)`` and ``(N, T, n, n)`` for the
        first two.

    Raises
    ------
    KelmanError
        As `filter`; and if `per_series` is not a boolean.

    Notes
    -----
    The gradient by a symmetric matrix is symmetric, with ``d loglik = sum_ij G_ij dQ_ij`` for a symmetric dQ (see
    `Gradient`). With r, N and the smoothed states of de Jong (1989),

    .. math:: \partial A_k = r_k x_{k-1|T}' - N_k A_k P_{k-1|k-1}, \qquad \partial Q_k = (r_{k+1} r_{k+1}' - N_{k+1}) / 2

    and likewise for the others (Koopman and Shephard, Biometrika 79 (1992); Durbin and Koopman, 2nd ed. (2012), section
    7.3.3), extended by exactly diffuse starts and by S. Nothing is inverted, so Q and R may be singular. A component that
    the model predicts without any error says nothing, and counts nothing here. Where the number of stable modes of A
    changes, the start "auto" jumps and there is no derivative; that number is taken as fixed. Single
    precision is computed in double, and rounded at the end. With S, and nothing missing, the derivatives are those of the
    equivalent model whose noises are not correlated (Anderson and Moore, *Optimal Filtering* (1979), section 5.4).

    Derivatives from a diffuse start lose digits where the measurements hardly see some diffuse direction: in a model of
    position, speed and acceleration with time steps of 1e-4 the relative error by H is about 1e-8. More are lost where
    the first measurement sees it by a factor s < 1e-3 of the later ones: derivatives by A and H are then good to about
    1e-16 / s^2 and 1e-16 / s^3. States in units of like size, or a known start, avoid that.

    Examples
    --------
    The derivative by the variances of a local level, at their maximum-likelihood values:

    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15098.5]], m1=[0.0], P1=[[0.0]], P1_inf=[[1.0]])
    >>> loglik, g = kelman.loglik_and_grad(model, kelman.datasets.nile().z)
    >>> round(float(loglik), 4), bool(abs(g.Q[0, 0]) < 1e-6), bool(abs(g.R[0, 0]) < 1e-6)
    (-632.5456, True, True)
    """
    require_model(model, "loglik_and_grad")
    if not isinstance(per_series, (bool, np.bool_)):
        raise KelmanError(f"per_series: expected True or False, got {per_series!r:.60}")
    one_of(on_error, "on_error", ON_ERROR)
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start, diffuse_constant=diffuse_constant)
    summed = not per_series and model.dims.N is None
    raw = kernels.gradient_raw(_stepwise(posed), summed, count)
    if not (posed.scanned or (np.isfinite(raw["loglik"]).all() and np.isfinite(raw["mean"]).all())):
        refuse_infinity(posed)
    gradient = _record(posed, raw, per_series)
    loglik = raw["loglik"] if posed.batched else raw["loglik"][0]
    settle(raw["status"], raw["failed_at"], on_error, lambda: (loglik, gradient))
    return loglik, gradient


def _stepwise(posed: Posed) -> Any:
    """The problem, in which every matrix that has a time axis has a stride there, so that each step has its own."""
    problem = posed.problem
    changed: dict[str, Any] = {}
    for name, rank in RANKS.items():
        array = getattr(posed.model, name)
        if array is not None and array.ndim > rank and array.shape[-1 - rank] > 1:
            field = getattr(problem, name)
            if field is not None and field.strides[1] == 0:
                changed[name] = np.ascontiguousarray(field)
    return replace(problem, **changed) if changed else problem


def _record(posed: Posed, raw: dict[str, Array], per_series: bool) -> Gradient:
    """The derivatives in the shapes of the model's arrays."""
    model = posed.model
    by = {name: _timed(raw[name], rank) for name, rank in RANKS.items() if name in raw}
    if not posed.resumed:
        _add_start(posed, raw, by)
    arrays: dict[str, Array] = {}
    for name in NAMES:
        own = getattr(model, name)
        if own is None:
            continue
        if name in _START:
            field, rank = _START[name]
            given = np.zeros_like(raw[field]) if posed.resumed else raw[field]
            value = _folded(given[:, None], own.shape[0] if own.ndim > rank else None, True, posed, per_series)
        elif name not in by:  # inputs of a model that has none
            value = np.zeros(own.shape)
        else:
            rank = RANKS[name]
            owners = own.shape[0] if own.ndim > rank + 1 else None
            value = _folded(by[name], owners, own.ndim == rank, posed, per_series)
        arrays[name] = np.ascontiguousarray(value, dtype=posed.dtype)
        arrays[name].flags.writeable = False
    if model.P1_inf is not None and "inf" in raw and not posed.resumed:
        by_inf = _by_diffuse(posed.problem.inf, raw["inf"])
        owners = model.P1_inf.shape[0] if model.P1_inf.ndim > 2 else None
        arrays["_P1_inf"] = _folded(by_inf[:, None], owners, True, posed, per_series)
    return Gradient(**arrays)


def _by_diffuse(V: Array, by_V: Array) -> Array:
    """The derivative by V V', along its range, from that by V: of dP = dV V' + V dV' it is half of by_V V^+."""
    V = V[: len(by_V)].astype(np.float64)
    half: Array = by_V.astype(np.float64) @ np.linalg.pinv(V) / 2
    return (half + np.swapaxes(half, -1, -2)) / 2


def _timed(derivative: Array, rank: int) -> Array:
    """A derivative with its time axis, of length 1 where it was summed over time, in double precision to add to."""
    double = np.array(derivative, dtype=np.float64)
    return double if double.ndim == rank + 2 else double[:, None]


def _folded(value: Array, owners: int | None, constant: bool, posed: Posed, per_series: bool) -> Array:
    """(L, T, ...) as the model has it: with `owners` series of its own (None: no such axis), without time if constant."""
    if constant:
        value = value[:, 0]
    if owners is not None and owners == posed.N:
        return value
    if per_series and posed.batched:
        return value
    if len(value) == 1:
        return value if owners is not None else value[0]
    total: Array = value.sum(axis=0, dtype=np.float64, keepdims=owners is not None)
    return total


def _add_start(posed: Posed, raw: dict[str, Array], by: dict[str, Array]) -> None:
    """Add what the start says about the matrices: Q[0] leads into x_1 from a given x_0; A, b, Q, B make a stationary one."""
    model = posed.model
    if model.initial == "x0":
        by["Q"][:, 0] += raw["noise_cov"]
    if model.initial not in ("stationary", "auto"):
        return
    mean, cov = raw["mean"].astype(np.float64), raw["cov"].astype(np.float64)
    inf = raw["inf"].astype(np.float64) if "inf" in raw else np.zeros((*cov.shape[:2], 0))
    if "B" in by and model.input_lag == 0 and posed.problem.u is not None:
        driven = mean[:, :, None] * posed.problem.u[:, 0, None, :].astype(np.float64)
        by["B"][:, 0] += driven if len(by["B"]) == posed.N else driven.sum(axis=0)
    if len(cov) == 1:
        mean = mean.sum(axis=0, keepdims=True)
    by_A, by_Q, by_b = start_gradient(model, mean, cov, inf)
    by["A"][:, 0] += by_A
    by["Q"][:, 0] += by_Q
    if "b" in by:
        by["b"][:, 1 if model.input_lag and by["b"].shape[1] > 1 else 0] += by_b
