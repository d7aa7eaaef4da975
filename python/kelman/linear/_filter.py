# SPDX-License-Identifier: BSD-3-Clause
"""`filter` and `loglik`: the moments of each state given the measurements so far."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_flag, one_of
from ..config import thread_count
from ..errors import KelmanError, ModelWarning
from ._filter_result import KEPT_BY, STORES, FilterResult
from ._outcome import blank_failures, settle
from ._problem import Posed, pose, refuse_infinity, require_model
from ._result import pad_with_nan
from ._state import state_from_raw

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, DiffuseConstant, Form, OnError, Store
    from ..models import StateSpace
    from ._state import FilterState

FORMS: tuple[str, ...] = ("auto", "covariance", "univariate")
"""The forms of the recursions that exist; "auto" chooses."""

_SUSPICIOUS = 10
"""Fewer steps than these may all be missing without a warning."""

_RESULTS = ("loglik", "status", "failed_at", *KEPT_BY)

ON_ERROR: tuple[str, ...] = ("raise", "warn", "nan")


def filter(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    form: Form = "auto",
    store: Store = "filtered",
    start: FilterState | None = None,
    out: FilterResult | None = None,
    on_error: OnError = "raise",
    diffuse_constant: DiffuseConstant = "kfas",
    steady_state: bool = True,
    threads: int | None = None,
    backend: Backend | None = None,
) -> FilterResult:
    r"""Filter one or many series: the mean and covariance of x_k given z_1..z_k, and the log-likelihood.

    Parameters
    ----------
    model : StateSpace
        The model, shared by all series or one per series.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN (or masked) = missing, by component. Two axes are always (T, m). A list holds series of
        different lengths; its results are padded with NaN.
    u : array_like, shape (T, p) or (N, T, p), or a list, optional
        Inputs, shared or by series; ``(T,)`` if p = 1. Needed if the model has B or D.
    form : {"auto", "covariance", "univariate"}, default "auto"
        Form of the recursions. "auto" and "covariance" are the same: the fastest way that suits the problem, named in
        ``.method``. "univariate" takes every series by itself, which serves every problem and is the yardstick for the
        others.
    store : {"filtered", "loglik", "last", "means", "all"}, default "filtered"
        What is kept: "loglik" only that; "last" the last moments; "means" the filtered means; "filtered" means,
        covariances and ``loglik_obs``; "all" the predictions and innovations too.
    start : FilterState, optional
        The ``.state`` of an earlier result: go on from there. The model's own start is then unused.
    out : FilterResult, optional
        A result of the same shapes and `store` whose memory may be overwritten.
    on_error : {"raise", "warn", "nan"}, default "raise"
        What to do when a series fails numerically; its results are NaN from there on.
    diffuse_constant : {"kfas", "statsmodels"}, default "kfas"
        Whether the log-likelihood leaves out the 2 pi of the exactly diffuse elements (KFAS, SsfPack) or keeps it.
    steady_state : bool, default True
        Whether one series (or few) of a constant model may go on with constant gains once its covariances have settled;
        see Notes.
    threads : int, optional
        Number of threads; results are the same to the bit for any number.
    backend : {"core", "torch"}, optional
        The compiled core, or the plain PyTorch reference.

    Returns
    -------
    FilterResult
        See there. With shapes (..., T, n) and so on, where ... is N for several series and nothing for one.

    Raises
    ------
    KelmanError
        If an argument does not fit; the message names it.
    NotPositiveDefiniteError, NonFiniteError
        If a series fails and ``on_error="raise"``; its ``.result`` holds the others.

    Notes
    -----
    Durbin and Koopman, 2nd ed. (2012), eq. 4.24 for the recursions, section 5.2 for the exact diffuse start and section
    6.4 for taking the components of z one by one, extended by correlated noise S (Anderson and Moore (1979), section 5.4).

    Covariances have settled when a step with a complete measurement changes none of the predicted ones by more than
    4 eps sqrt(P_ii P_jj), with eps the machine precision. They are then constant up to the next gap, and differ from
    those of the recursion by about 4 eps / (1 - rho^2) of themselves at most, where rho is the spectral radius of
    (I - K H) A: not more than rounding in the recursion itself amounts to. ``.method`` then holds "steady". A long
    stretch without gaps is cut into pieces, filtered side by side, each after a run-up so long that what came before it
    weighs less than 2^-64.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    >>> r = kelman.filter(model, [1.0, float("nan"), 2.0])
    >>> r.mean.shape, r.cov.shape
    ((3, 1), (3, 1, 1))
    >>> print(r.mean[:, 0].round(4))
    [0.5    0.5    1.5714]
    """
    require_model(model, "filter")
    one_of(form, "form", FORMS)
    one_of(store, "store", STORES)
    one_of(on_error, "on_error", ON_ERROR)
    steady = as_flag(steady_state, "steady_state")
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start, diffuse_constant=diffuse_constant)
    reused = None if out is None else _reusable(out, posed, store)
    raw = kernels.filter_raw(posed.problem, store, count, reused, form, steady)
    return finish(posed, raw, store, on_error)


def finish(posed: Posed, raw: dict[str, Any], store: str, on_error: str, *, stacklevel: int = 5) -> FilterResult:
    """Make the result of what a backend gave, and speak of what went wrong."""
    loglik, status, failed_at = raw["loglik"], raw["status"], raw["failed_at"]
    troubled = np.count_nonzero(status) > 0
    if troubled or not (_all_finite(loglik) and _all_finite(raw["state_mean"])):
        refuse_infinity(posed)
    elif (
        posed.T >= _SUSPICIOUS
        and not posed.resumed
        and not np.count_nonzero(loglik)
        and np.isnan(posed.problem.z).all()
    ):
        warnings.warn("z: every value is missing (nan)", ModelWarning, stacklevel=stacklevel - 1)
    arrays = {name: raw[name] for name in _RESULTS if name in raw}
    if troubled or posed.problem.lengths is not None:
        timed = FilterResult._timed_of(store)
        arrays = pad_with_nan(arrays, timed, posed.lengths if posed.problem.lengths is not None else None)
        arrays = blank_failures(arrays, timed, status, failed_at)
    result = FilterResult(
        arrays,
        posed.batched,
        posed.lengths,
        store,
        str(raw.get("method", "reference")),
        state_from_raw(raw, posed.last_u(), posed.model, posed.batched),
    )
    if troubled:
        settle(status, failed_at, on_error, lambda: result, stacklevel=stacklevel)
    return result


def _all_finite(array: Array) -> bool:
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)


def _reusable(out: FilterResult, posed: Posed, store: str) -> dict[str, Array]:
    """The arrays of `out`, if they have the shapes and dtype that this call needs."""
    if not isinstance(out, FilterResult):
        raise KelmanError(f"out: expected a FilterResult, got {type(out).__name__}")
    if out.store != store:
        raise KelmanError(f"out: was made with store={out.store!r}, but this call has store={store!r}")
    N, T = posed.N, posed.T
    n, m = posed.model.dims.n, posed.model.dims.m
    shapes = {"mean": (N, n) if store == "last" else (N, T, n), "innovation": (N, T, m), "loglik": (N,)}
    for name, shape in shapes.items():
        array = out._arrays.get(name)
        if array is None:
            continue
        if array.shape != shape:
            raise KelmanError(f"out: its {name} has shape {array.shape}, but this call needs {shape}")
        if array.dtype != posed.dtype:
            raise KelmanError(f"out: its {name} has dtype {array.dtype}, but this call needs {posed.dtype}")
    return dict(out._arrays)


def loglik(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    start: FilterState | None = None,
    on_error: OnError = "raise",
    diffuse_constant: DiffuseConstant = "kfas",
    steady_state: bool = True,
    threads: int | None = None,
    backend: Backend | None = None,
) -> Any:
    """Return the log-likelihood of one or many series.

    Parameters
    ----------
    model : StateSpace
        The model.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    u : array_like, shape (T, p) or (N, T, p), optional
        Inputs.
    start, on_error, diffuse_constant, steady_state, threads, backend
        As in `filter`.

    Returns
    -------
    float or ndarray, shape (N,)
        log p(z_1, ..., z_T); the sum over the observed components only.

    Raises
    ------
    KelmanError
        As `filter`.

    Notes
    -----
    The prediction error decomposition, Durbin and Koopman, 2nd ed. (2012), eq. 7.2; with an exactly diffuse start the
    diffuse log-likelihood of eq. 7.5.

    Examples
    --------
    The Nile's annual flow, a local level with an exactly diffuse start (-632.5456 in KFAS too):

    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]])
    >>> round(float(kelman.loglik(model, kelman.datasets.nile().z)), 4)
    -632.5456
    """
    require_model(model, "loglik")
    one_of(on_error, "on_error", ON_ERROR)
    steady = as_flag(steady_state, "steady_state")
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start, diffuse_constant=diffuse_constant)
    raw = kernels.filter_raw(posed.problem, "loglik", count, None, "auto", steady)
    return finish(posed, raw, "loglik", on_error).loglik
