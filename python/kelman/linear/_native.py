# SPDX-License-Identifier: BSD-3-Clause
"""The compiled backend of the linear verbs: a `Problem` goes in, a dictionary of arrays comes out.

The core checks the memory of every array (dtype, shape, layout, overlap) and fills the results; nothing is converted or
copied on the way, except that gradients of a float32 problem are computed in float64.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arrays import FLOAT32, FLOAT64, contiguous, converted
from ._decorrelate import decorrelated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._types import Array
    from ._problem import Problem


def filter_raw(
    problem: Problem,
    store: str,
    threads: int,
    out: Mapping[str, Array] | None = None,
    form: str = "auto",
    steady: bool = True,
) -> dict[str, Any]:
    """Filter every series.

    Parameters
    ----------
    problem : Problem
        What to filter.
    store : {"loglik", "last", "means", "filtered", "all"}
        What to keep.
    threads : int
        Number of threads, at least 1; the results do not depend on it.
    out : mapping of arrays, optional
        Arrays of an earlier result to write to, by name.
    form : {"auto", "covariance", "univariate"}
        "univariate": one series at a time; else the fastest way.
    steady : bool
        Whether constant gains may take over once the covariances of a series have settled.

    Returns
    -------
    dict of ndarray
        loglik, status, failed_at, what `store` keeps, and the end state under names that begin with ``state_``; and
        under ``method`` the words for what ran.
        Covariances that are the same for all series are read-only views of one.
    """
    given = None if out is None else {name: _owner(array) for name, array in out.items() if name != "method"}
    raw: dict[str, Any] = _core.native().linear_filter(
        problem=problem, store=store, threads=threads, out=given, form=form, steady=steady
    )
    return raw


def smooth_raw(
    problem: Problem,
    lag: int,
    threads: int,
    form: str = "auto",
    filtered: bool = False,
    steady: bool = True,
) -> dict[str, Any]:
    """Smooth every series.

    Parameters
    ----------
    problem : Problem
        What to smooth.
    lag : {0, 1}
        1 keeps Cov(x_k, x_{k-1} | all).
    threads : int
        Number of threads, at least 1; the results do not depend on it.
    form : {"auto", "covariance", "univariate"}
        "univariate" takes one series at a time.
    filtered : bool
        Whether to keep the filtered moments too.
    steady : bool
        Whether covariances that have settled are taken as constant.

    Returns
    -------
    dict of ndarray
        mean, cov, lag_one_cov (if `lag`), filtered_mean, filtered_cov (if `filtered`), loglik, status, failed_at; and
        under ``method`` the words for what ran.
    """
    raw: dict[str, Any] = _core.native().linear_smooth(
        problem=problem, lag=lag, threads=threads, form=form, filtered=filtered, steady=steady
    )
    return raw


def gradient_raw(problem: Problem, summed: bool, threads: int, reference: Array | None = None) -> dict[str, Any]:
    """Log-likelihood and its derivatives by every entry of model and start; single precision is computed in double.

    Parameters
    ----------
    problem : Problem
        What to differentiate.
    summed : bool
        Add the derivatives of all series up.
    threads : int
        Number of threads, at least 1; the results do not depend on it.
    reference : ndarray, shape (N, n), optional
        Ask for the moments of smoothed states about a point, too, which come along at little cost on some ways.

    Returns
    -------
    dict
        `method`, loglik, status, failed_at, and the derivatives A, H, Q, R, B, D, b, c, S, mean, cov, inf, noise_mean,
        noise_cov of what the problem has: (N, T, ...), or (N, ...) and summed over time where a field does not vary.
        The first axis of all but the mean is 1 if `summed`. And `moments` (N, n (n + 3)), if they were asked for and came
        along: see the core.
    """
    given = problem if problem.z.dtype == FLOAT64 else _in_double(problem)
    plain = decorrelated(given)
    if plain is not None:
        given, back = plain
    raw: dict[str, Any] = _core.native().linear_gradient(
        problem=given, summed=summed, threads=threads, reference=reference
    )
    if plain is not None:
        raw = back(raw)
    if problem.z.dtype != FLOAT64:
        return {name: _in_single(value) for name, value in raw.items()}
    return raw


def _in_double(problem: Problem) -> Problem:
    """The problem with double-precision copies of its arrays."""
    arrays = {field.name: getattr(problem, field.name) for field in fields(problem)}
    floats = {name: a for name, a in arrays.items() if isinstance(a, np.ndarray) and a.dtype == FLOAT32}
    changed: dict[str, Any] = {name: converted(array, FLOAT64) for name, array in floats.items()}
    return replace(problem, **changed)


def _in_single(value: Any) -> Any:
    """A result in single precision, if it is a number."""
    return contiguous(value, FLOAT32) if isinstance(value, np.ndarray) and value.dtype == FLOAT64 else value


def stepper(problem: Problem) -> Any:
    """Return the core's handle for filtering online, which begins before the first measurement of the problem.

    Parameters
    ----------
    problem : Problem
        Model and start; of z and u only the shapes count.

    Returns
    -------
    LinearStepper
        With ``step(z, u, mean, loglik)`` and ``state()``.
    """
    return _core.native().LinearStepper(problem=problem)


def _owner(array: Array) -> Array:
    """Return the one entry behind a read-only view of covariances that all series share; else the array itself."""
    base = array.base
    if array.ndim > 0 and array.strides[0] == 0 and array.shape[0] > 1 and base is not None:
        owner: Array = base
        return owner
    return array
