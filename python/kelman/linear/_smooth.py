# SPDX-License-Identifier: BSD-3-Clause
"""`smooth`: the moments of each state given all measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_flag, one_of
from ..config import thread_count
from ..errors import KelmanError
from ._filter import FORMS, ON_ERROR
from ._outcome import blank_failures, settle
from ._problem import pose, refuse_infinity, require_model
from ._result import Kept, pad_with_nan, spread

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, DiffuseConstant, Form, OnError
    from ..models import StateSpace
    from ._state import FilterState


_KEPT = ("mean", "cov", "lag_one_cov", "filtered_mean", "filtered_cov")


@dataclass(frozen=True, eq=False, repr=False)
class SmoothResult(Kept):
    """What `smooth` found. ... stands for N when several series were given, and for nothing when one was.

    Attributes
    ----------
    lengths : ndarray, shape (N,), or None
        Length of each series, if a list was given.
    method : str
        What ran: "shared" (covariances once for all series), "grouped" (once for each group of series with the same
        gaps), "lanes" (series side by side in vector registers), "univariate" (one series at a time, every kind of
        model and start), "steady" (its covariances became constant), several joined by "+"; or "reference" (PyTorch).

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> s = kelman.smooth(model, [1.0, 2.0, 4.0])
    >>> print(s.mean[:, 0])
    [1.625 2.25  3.125]
    """

    _arrays: dict[str, Array]
    _batched: bool
    lengths: Array | None
    method: str

    _timed = frozenset(("mean", "cov", "lag_one_cov", "filtered_mean", "filtered_cov"))

    def _why_missing(self, name: str) -> str:
        wanted = "lag=1" if name == "lag_one_cov" else "filtered=True"
        return f"{name}: not kept; ask for it with smooth(..., {wanted})"

    @property
    def mean(self) -> Array:
        """E[x_k | z_1..z_T], shape (..., T, n)."""
        return self._array("mean")

    @property
    def cov(self) -> Array:
        """Cov[x_k | z_1..z_T], shape (..., T, n, n)."""
        return self._array("cov")

    @property
    def lag_one_cov(self) -> Array:
        """Cov[x_k, x_{k-1} | z_1..z_T], shape (..., T, n, n); entry 0 is NaN unless the start is x_0. Needs ``lag=1``."""
        return self._array("lag_one_cov")

    @property
    def filtered_mean(self) -> Array:
        """E[x_k | z_1..z_k], shape (..., T, n). Needs ``filtered=True``."""
        return self._array("filtered_mean")

    @property
    def filtered_cov(self) -> Array:
        """Cov[x_k | z_1..z_k], shape (..., T, n, n) (its finite part while the start is diffuse). Needs ``filtered=True``."""
        return self._array("filtered_cov")

    @property
    def loglik(self) -> Any:
        """Log-likelihood of each series, shape (...)."""
        return self._get("loglik")

    @property
    def status(self) -> Any:
        """0 where a series went well; 1 not positive definite, 2 impossible measurement, 3 not finite. Shape (...)."""
        return self._get("status")

    @property
    def failed_at(self) -> Any:
        """Time index at which a series first failed, -1 where none did. Shape (...)."""
        return self._get("failed_at")

    def _array(self, name: str) -> Array:
        array: Array = self._get(name)
        return array

    def __getitem__(self, i: int) -> SmoothResult:
        """Return the result of one series, without padding."""
        return SmoothResult(self._cut(i), False, None, self.method)

    def summary(self) -> str:
        """Say in a few lines what was computed.

        Returns
        -------
        str
            Number of series, log-likelihood, what is kept.
        """
        count = self._count()
        kept = [name for name in _KEPT if name in self._arrays]
        head = f"smoother of {count} series" if self._batched else "smoother of one series"
        return f"{head}\n  loglik       {spread(self._arrays['loglik'])}\n  kept         {', '.join(kept)}"

    def __repr__(self) -> str:
        shapes = {name: array.shape if self._batched else array.shape[1:] for name, array in self._arrays.items()}
        shown = [f"{name} {shapes[name]}" for name in (*_KEPT, "loglik") if name in shapes]
        return f"SmoothResult({', '.join(shown)})"


def smooth(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    lag: int | None = None,
    filtered: bool = False,
    form: Form = "auto",
    start: FilterState | None = None,
    on_error: OnError = "raise",
    diffuse_constant: DiffuseConstant = "kfas",
    steady_state: bool = True,
    threads: int | None = None,
    backend: Backend | None = None,
) -> SmoothResult:
    r"""Smooth one or many series: the mean and covariance of x_k given all of z_1..z_T.

    Parameters
    ----------
    model : StateSpace
        The model.
    z : array_like, shape (T,), (T, m) or (N, T, m), or a list of series
        Measurements; NaN = missing.
    u : array_like, shape (T, p) or (N, T, p), optional
        Inputs.
    lag : {None, 0, 1}, default None
        1 keeps the covariances Cov(x_k, x_{k-1} | all) too, as EM needs them.
    filtered : bool, default False
        True keeps the filtered means and covariances too, as `filter` gives them: cheaper than a call of each.
    form : {"auto", "covariance", "univariate"}, default "auto"
        As in `filter`: "univariate" takes every series by itself, in the form that serves every problem.
    start, on_error, diffuse_constant, steady_state, threads, backend
        As in `filter`.

    Returns
    -------
    SmoothResult
        Means, covariances, log-likelihood.

    Raises
    ------
    KelmanError
        As `filter`; and if `lag` is neither 0 nor 1.

    Notes
    -----
    The backward recursion in r and N of de Jong (1989) and Durbin and Koopman, 2nd ed. (2012), section 4.4, exact for
    diffuse starts (section 5.3) and for singular Q and R: nothing is inverted but innovation variances.

    One series of more than eight states, or one that no fast way serves, gets constant covariances where those of the
    filter, and those of r on the way back, have stopped changing: relative changes below four machine epsilons, as in
    `filter`. ``.method`` then holds "steady"; ``steady_state=False`` and ``form="univariate"`` take every step in full.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    >>> s = kelman.smooth(model, [1.0, 2.0, 4.0], lag=1)
    >>> print(s.cov[:, 0, 0], s.lag_one_cov[1:, 0, 0])
    [0.625 0.5   0.625] [0.25 0.25]
    """
    require_model(model, "smooth")
    given: Any = lag
    if given is not None and (
        not isinstance(given, (int, np.integer)) or isinstance(given, bool) or given not in (0, 1)
    ):
        raise KelmanError(f"lag: expected None, 0 or 1 (keep Cov(x_k, x_k-1 | all)), got {lag!r:.60}")
    one_of(form, "form", FORMS)
    one_of(on_error, "on_error", ON_ERROR)
    keep, steady = as_flag(filtered, "filtered"), as_flag(steady_state, "steady_state")
    count = thread_count(threads)
    kernels = _registry.backend("linear", backend)
    posed = pose(model, z, u, start=start, diffuse_constant=diffuse_constant)
    if posed.problem.inf.shape[-1]:  # an infinity may then leave the log-likelihood finite
        refuse_infinity(posed)
    raw = kernels.smooth_raw(posed.problem, int(lag or 0), count, form, keep, steady)
    status, failed_at = raw["status"], raw["failed_at"]
    if status.any() or not np.isfinite(raw["loglik"]).all():
        refuse_infinity(posed)
    arrays = {name: array for name, array in raw.items() if not name.startswith("state_") and name != "method"}
    arrays = pad_with_nan(arrays, SmoothResult._timed, posed.lengths if posed.problem.lengths is not None else None)
    # a failure spoils the whole series: what is before it needs what is after
    spoiled = np.where((status == 1) | (status == 3), 0, failed_at)
    smoothed = {name: array for name, array in arrays.items() if not name.startswith("filtered_")}
    arrays = blank_failures(arrays, SmoothResult._timed, status, failed_at)
    arrays |= blank_failures(smoothed, SmoothResult._timed, status, spoiled)
    result = SmoothResult(arrays, posed.batched, posed.lengths, str(raw.get("method", "reference")))
    settle(status, failed_at, on_error, lambda: result)
    return result
