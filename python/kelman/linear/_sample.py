# SPDX-License-Identifier: BSD-3-Clause
"""`sample_states`: draws of the states given all measurements, the simulation smoother.

With x+ and z+ drawn from the model, x+ - E[x+ | z+] has the distribution of x - E[x | z] and does not depend on z, so that

    x~ = E[x | z] + x+ - E[x+ | z+]

is a draw from p(x | z). The correction is linear in (x+, z+): their means play no part and are left at zero, and an exactly
diffuse part of the start cancels, so that it is left at zero too (Durbin and Koopman, Biometrika 89 (2002); 2nd ed. (2012),
sections 4.9 and 5.5).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_count, collapsed, one_of, room
from ..config import thread_count
from ..errors import KelmanError
from ._filter import ON_ERROR
from ._outcome import NOT_FINITE, NOT_POSITIVE_DEFINITE, settle
from ._problem import pose, refuse_infinity, require_model
from ._simulate import _generator, _root, _run, _step, _times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import Array, ArrayLike, Backend, OnError
    from ..models import StateSpace
    from ._problem import Posed, Problem
    from ._state import FilterState

_BLOCK = 1 << 22
"""How many numbers may be at work at a time."""

_ALONE = 8
"""From so many draws on, series whose models differ are smoothed one at a time, each with all its draws."""

_NOISE = ("A", "H", "Q", "R", "S")
_MEANS = ("B", "D", "b", "c", "u", "u_before")


def sample_states(
    model: StateSpace,
    z: ArrayLike,
    draws: int,
    u: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
    *,
    start: FilterState | None = None,
    on_error: OnError = "raise",
    threads: int | None = None,
    backend: Backend | None = None,
) -> Array:
    r"""Draw whole paths of the states given all measurements.

    Each draw is one path x_1, ..., x_T from the joint distribution p(x_1, ..., x_T | z_1, ..., z_T), so that functions of
    several states (a largest value, a time of crossing, a difference) get their exact distribution.

    Parameters
    ----------
    model : StateSpace
        The model, shared by all series or one per series.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    draws : int
        How many paths to draw for each series.
    u : array_like, shape (T, p) or (N, T, p), or a list, optional
        Inputs. Needed if the model has B or D.
    rng : numpy.random.Generator or int, optional
        The generator, or a seed for one. None draws anew each time.
    start : FilterState, optional
        The ``.state`` of an earlier result: go on from there.
    on_error, threads, backend
        As in `filter`. The draws of a series that fails are NaN.

    Returns
    -------
    ndarray, shape (draws, T, n) or (draws, N, T, n)
        The paths, in the dtype that `smooth` has; NaN behind the end of a shorter series of a list.

    Raises
    ------
    KelmanError
        As `smooth`; and if the measurements do not determine a diffuse start, so that there is no distribution to draw from.

    Notes
    -----
    The mean correction of Durbin and Koopman, Biometrika 89 (2002) 603; 2nd ed. (2012), section 4.9. The means of series
    and draws come from the fast batch smoother, whose covariances are computed once for draws that share them. Exact with
    gaps, inputs, correlated noise S, singular Q and R, and exactly diffuse starts. The same numbers come out for any number
    of threads.

    Examples
    --------
    How likely is it that the level of the Nile was never lower than in 1913 (index 42)?

    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]])
    >>> paths = kelman.sample_states(model, kelman.datasets.nile().z, 1000, rng=0)
    >>> paths.shape
    (1000, 100, 1)
    >>> bool(0.05 < (paths[:, :, 0].argmin(axis=1) == 42).mean() < 0.25)
    True
    """
    require_model(model, "sample_states")
    draws = as_count(draws, "draws")
    generator = _generator(rng)
    one_of(on_error, "on_error", ON_ERROR)
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start)
    refuse_infinity(posed)
    _require_determined(posed, kernels, count)
    raw = kernels.smooth_raw(posed.problem, 0, count)
    paths = room(draws, *raw["mean"].shape, name="draws").astype(posed.dtype, copy=False)
    for series, some in _blocks(posed.problem, draws):
        paths[some, series] = _deviations(posed.problem, series, some, generator, kernels, count)
    paths += raw["mean"]
    result = _named(paths, posed, raw["status"])
    settle(raw["status"], raw["failed_at"], on_error, lambda: result)
    return result


def _require_determined(posed: Posed, kernels: Any, threads: int) -> None:
    """Raise if some direction of the start is still diffuse after all measurements."""
    if not posed.problem.inf.shape[-1]:
        return
    left = np.broadcast_to(kernels.filter_raw(posed.problem, "last", threads)["state_rank"], (posed.N,))
    if left.any():
        where = f" of series {int(np.flatnonzero(left)[0])}" if posed.batched else ""
        raise KelmanError(
            f"z: the measurements{where} leave {int(left.max())} of {posed.model.dims.n} directions of the diffuse start "
            "undetermined, so there is no distribution of the states to draw from; give m1 and P1, or more measurements"
        )


def _blocks(problem: Problem, draws: int) -> Iterator[tuple[Array, slice]]:
    """Which series and which of their draws to work on together: as many as fit, series whose models differ alone."""
    N, T, m = problem.z.shape
    n = problem.A.shape[-1]
    fit = max(1, _BLOCK // (T * (3 * n + 3 * m + n * n)))
    together = 1 if draws >= _ALONE and _differ(problem) else max(1, fit // draws)
    for first in range(0, N, together):
        series = np.arange(first, min(first + together, N))
        for begin in range(0, draws, fit):
            yield series, slice(begin, min(begin + fit, draws))


def _differ(problem: Problem) -> bool:
    """Whether what makes the covariances of the series differs between them, gaps apart."""
    names = ("A", "H", "Q", "R", "S", "cov", "inf", "noise_cov", "noise_cross")
    arrays = [getattr(problem, name) for name in names]
    return any(array is not None and array.shape[0] > 1 and array.strides[0] != 0 for array in arrays)


def _deviations(
    problem: Problem, series: Array, some: slice, rng: np.random.Generator, kernels: Any, threads: int
) -> Array:
    """x+ - E[x+ | z+] for some draws of some series, (draws, series, T, n)."""
    count = some.stop - some.start
    rows = np.repeat(series, count)
    part = _rows(problem, rows)
    x, z = _drawn(part, rng)
    part.z = np.where(np.isnan(problem.z[rows]), np.nan, z).astype(problem.z.dtype, copy=False)
    with np.errstate(invalid="ignore"):
        x -= kernels.smooth_raw(part, 0, threads)["mean"]
    return x.reshape(len(series), count, *x.shape[1:]).swapaxes(0, 1)


def _rows(problem: Problem, rows: Array) -> Problem:
    """The problem of series given by number, one may come several times, with all its means at zero."""
    changed: dict[str, Any] = dict.fromkeys(_MEANS)
    for name in (*_NOISE, "mean", "cov", "inf", "rank", "noise_mean", "noise_cov", "noise_cross", "lengths"):
        array = getattr(problem, name)
        changed[name] = None if array is None else _chosen(array, rows)
    for name in ("mean", "noise_mean"):
        if changed[name] is not None:
            changed[name] = np.zeros(changed[name].shape, dtype=changed[name].dtype)
    for name in ("lengths", "rank"):
        if changed[name] is not None:
            changed[name] = np.ascontiguousarray(changed[name])
    return replace(problem, **changed)


def _chosen(array: Array, rows: Array) -> Array:
    """Rows of an array, without a copy where they are all the same."""
    if array.strides[0] == 0 or (rows == rows[0]).all():
        return np.broadcast_to(array[rows[0]], (len(rows), *array.shape[1:]))
    kept = collapsed(array)[rows]
    return np.broadcast_to(kept, (len(rows), *array.shape[1:]))


def _drawn(problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
    """States and measurements drawn from the model of each row, with zero means and nothing diffuse."""
    (N, n), (_, T, m) = problem.mean.shape, problem.z.shape
    fields = {name: getattr(problem, name) for name in _NOISE} | dict.fromkeys("BDbc")
    x = _first_state(problem, rng)
    with np.errstate(over="ignore", invalid="ignore"):  # series that fail are told of by their status
        drawn = _run(fields, None, 0, 0, x, rng, np.empty((N, T, n)), np.empty((N, T, m)))
    return drawn["x"].astype(problem.A.dtype, copy=False), drawn["z"]


def _first_state(problem: Problem, rng: np.random.Generator) -> Array:
    """The deviation of the state at the first measurement from its mean."""
    N, n = problem.mean.shape
    cov = collapsed(problem.cov).astype(np.float64)
    if problem.start_kind == 0:
        return _times(_root(cov), rng.standard_normal((N, n)))
    assert problem.noise_cov is not None
    assert problem.noise_cross is not None
    noise, cross = (collapsed(part).astype(np.float64) for part in (problem.noise_cov, problem.noise_cross))
    joint = np.empty((max(len(cov), len(noise), len(cross)), 2 * n, 2 * n))
    joint[:, :n, :n], joint[:, :n, n:], joint[:, n:, n:] = cov, cross, noise
    joint[:, n:, :n] = np.swapaxes(cross, -1, -2)
    both = _times(_root(joint), rng.standard_normal((N, 2 * n)))
    return _times(_step(collapsed(problem.A).astype(np.float64), 0), both[:, :n]) + both[:, n:]


def _named(paths: Array, posed: Posed, status: Array) -> Array:
    """The paths as the user sees them: NaN where a series failed or has ended, a series axis if z has one."""
    paths[:, (status == NOT_POSITIVE_DEFINITE) | (status == NOT_FINITE)] = np.nan
    if posed.problem.lengths is not None:
        for i, length in enumerate(posed.problem.lengths):
            paths[:, i, length:] = np.nan
    return paths if posed.batched else paths[:, 0]
