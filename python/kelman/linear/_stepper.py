# SPDX-License-Identifier: BSD-3-Clause
"""`Stepper`: the filter online, one call for each time step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_count, one_of
from .._core.stepper import accelerate
from ..config import backend_name, thread_count
from ..errors import KelmanError
from ._filter import ON_ERROR
from ._problem import require_model
from ._state import FilterState, require_state, rows_of
from ._tracks import Fresh, Tracks, some

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, DiffuseConstant, OnError
    from ..models import StateSpace


class Stepper(Tracks):
    """The filter online: one call for each time step, for one or N series at once.

    Parameters
    ----------
    model : StateSpace
        The model. What varies in time is used step by step, and the step after its last is an error, unless the matrices
        are given with the call.
    N : int, optional
        Number of series. None: one series without a series axis (or that of a model per series).
    start : FilterState, optional
        The ``.state`` of a filter's result or of a stepper: go on from there (a time-varying model begins at its step 0).
    on_error, diffuse_constant, threads, backend
        As in `filter`.

    Raises
    ------
    KelmanError
        If an argument does not fit.

    Notes
    -----
    The same recursions as `filter`. A call is cheap, some 200 ns for a small model, if z (and u) are C-contiguous arrays
    of the model's dtype and of the full shape; anything else that `filter` would take is converted first. A stepper can
    be pickled and copied; it is not for use by several threads at once.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    >>> step = kelman.Stepper(model)
    >>> for z in (1.0, 2.0):
    ...     mean = step([z])
    >>> print(step.mean, step.cov, step.steps)
    [1.4] [[0.6]] 2

    Tracks that come and go:

    >>> tracks = kelman.Stepper(model, N=2)
    >>> _ = tracks([[1.0], [5.0]])
    >>> tracks.add(m1=[7.0], P1=[[1.0]])
    array([2])
    >>> tracks.drop(0)
    >>> mean = tracks([[5.5], [7.2]], mask=[False, True])
    >>> print(tracks.ids, mean.ravel())
    [1 2] [2.5 7.1]
    """

    def __init__(
        self,
        model: StateSpace,
        N: int | None = None,
        *,
        start: FilterState | None = None,
        on_error: OnError = "raise",
        diffuse_constant: DiffuseConstant = "kfas",
        threads: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        model = require_model(model, "Stepper")
        own = model.dims.N
        if N is not None:
            N = as_count(N, "N", least=0)
            if own not in (None, 1, N):
                raise KelmanError(f"N: is {N}, but the model is for {own} series")
        one_of(on_error, "on_error", ON_ERROR)
        one_of(diffuse_constant, "diffuse_constant", ("kfas", "statsmodels"))
        batched = N is not None or own is not None
        count = N if N is not None else own or 1
        state = None if start is None else require_state(start, model, count)
        self._on_error, self._diffuse_constant = on_error, diffuse_constant
        self._threads, self._backend = thread_count(threads), backend_name(backend)
        self._taken = 0  # steps before the handle's
        self._running: FilterState | None = None  # of the first series, where the handle is not in charge
        self._fresh = [Fresh(count, state, None)] if count else []
        self._ids = np.arange(count)
        self._next = count
        self._failed = np.zeros(count, dtype=bool)
        self._loglik = np.zeros(count)
        self._prepare(model, batched)

    def __call__(
        self, z: ArrayLike, u: ArrayLike | None = None, mask: ArrayLike | None = None, **matrices: ArrayLike
    ) -> Array:
        """Take the measurement of the next step.

        Parameters
        ----------
        z : array_like, shape (m,) or (N, m)
            The measurement; NaN = missing. A number, or (N,), if m = 1.
        u : array_like, shape (p,) or (N, p), optional
            The input. Needed if the model has B or D.
        mask : array_like of bool, shape (N,), optional
            Which series were measured at this step. Time passes for the others too: their measurement is missing,
            whatever z holds in their rows.
        **matrices
            A, H, Q, R, B, D, b, c or S of this step, in place of the model's: (...) or (N, ...). Q and S act from this step
            to the next.

        Returns
        -------
        ndarray, shape (n,) or (N, n)
            E[x_k | z_1..z_k], as ``.mean``.

        Raises
        ------
        KelmanError
            If an argument does not fit, or the model varies in time and has no more steps.
        NotPositiveDefiniteError, NonFiniteError
            If a series fails and ``on_error="raise"``.
        """
        read = self._arguments
        values, inputs, measured = read.values(z), read.inputs(u), read.mask(mask)
        if self._handle is None and self._online is not None and not matrices:
            self._open(inputs)
        if matrices or self._handle is None:
            return self._filtered(values, inputs, measured, matrices)
        if self._constant is None and self.steps >= (read.model.dims.T or 0):
            read.fields(self.steps)  # raises, naming a matrix that has no more steps
        mean = np.empty((read.N, read.model.dims.n), dtype=read.model.dtype)
        if self._handle.step(values, inputs, mean, None, measured):
            self._look(4)
        return mean if read.batched else mean[0]

    def add(self, tracks: int | FilterState = 1, *, m1: ArrayLike | None = None, P1: ArrayLike | None = None) -> Array:
        """Add series (tracks), as the last rows of z, ``.mean`` and the others from the next step on.

        Parameters
        ----------
        tracks : int or FilterState, default 1
            How many; they start as the model does, at the next measurement. Or the states they go on from.
        m1 : array_like, shape (n,) or (tracks, n), optional
            Mean of their states at the next measurement, before it is used. With `P1`.
        P1 : array_like, shape (n, n) or (tracks, n, n), optional
            Covariance of their states there.

        Returns
        -------
        ndarray of int
            The ids of the new series. An id is never used again.

        Raises
        ------
        KelmanError
            If the stepper has no series axis, if the model has one, or if an argument does not fit.
        """
        model = self._require_tracks("add")
        if model.dims.N is not None:
            raise KelmanError(f"add: the model is for {model.dims.N} series, so there is none for another")
        state = None
        if isinstance(tracks, FilterState):
            if m1 is not None or P1 is not None:
                raise KelmanError("m1, P1: the states to go on from are given already")
            state, count = require_state(tracks, model, len(tracks._mean)), len(tracks._mean)
        else:
            count = as_count(tracks, "tracks")
        begin = None
        if m1 is not None or P1 is not None:
            begin = model.replace(m1=m1, P1=P1)
            if begin.dims.N not in (None, 1, count):
                raise KelmanError(f"m1, P1: hold the moments of {begin.dims.N} series, but {count} are added")
        self._close()
        self._fresh = [*self._fresh, Fresh(count, state, begin)]
        added = np.arange(self._next, self._next + count)
        self._next += count
        self._ids = np.concatenate([self._ids, added])
        self._failed = np.concatenate([self._failed, np.zeros(count, dtype=bool)])
        self._loglik = np.concatenate([self._loglik, np.zeros(count)])
        self._prepare(model, batched=True)
        return added

    def drop(self, ids: ArrayLike) -> None:
        """Drop series (tracks); the rows behind them move up.

        Parameters
        ----------
        ids : int or array_like of int
            Their ids, as in ``.ids``.

        Raises
        ------
        KelmanError
            If the stepper has no series axis, or there is no series of that id.
        """
        model = self._require_tracks("drop")
        unwanted = np.atleast_1d(np.asarray(ids))
        if unwanted.size and (unwanted.dtype.kind not in "iu" or unwanted.ndim != 1):
            raise KelmanError(f"ids: expected whole numbers, got {ids!r:.60}")
        unknown = unwanted[~np.isin(unwanted, self._ids)]
        if unknown.size:
            raise KelmanError(f"ids: there is no series {int(unknown[0])}; there are {some(self._ids)}")
        self._close()
        kept = np.flatnonzero(~np.isin(self._ids, unwanted))
        groups, first = [], 0
        for group in self._groups():
            rows = kept[(kept >= first) & (kept < first + group.count)] - first
            state = None if group.state is None else rows_of(group.state, rows)
            begin = None if group.model is None else group.model._rows(rows)
            groups.append(Fresh(len(rows), state, begin))
            first += group.count
        if self._running is not None:
            running = groups.pop(0)
            self._running = running.state if running.count else None
        self._fresh = [group for group in groups if group.count]
        self._ids, self._failed, self._loglik = self._ids[kept], self._failed[kept], self._loglik[kept]
        self._prepare(model._rows(kept), batched=True)

    @property
    def ids(self) -> Array:
        """The ids of the series, in the order of their rows, shape (N,)."""
        return self._ids.copy()

    @property
    def mean(self) -> Array:
        """E[x_k | z_1..z_k] of the last step, shape (n,) or (N, n); NaN where a series has taken no step."""
        return self._shown("mean")

    @property
    def cov(self) -> Array:
        """Cov[x_k | z_1..z_k] of the last step, shape (n, n) or (N, n, n); NaN where a series has taken no step."""
        return self._shown("cov")

    @property
    def loglik(self) -> Any:
        """Log-likelihood of the measurements so far, a number or (N,)."""
        total = self._loglik if self._handle is None else self._loglik + self._raw()["loglik"]
        total = total.astype(self._arguments.model.dtype)
        return total if self._arguments.batched else total[0]

    def __repr__(self) -> str:
        read = self._arguments
        count = f"{read.N} series" if read.batched else "one series"
        return f"Stepper({count}, {read.model.dims.n} states, after {self.steps} steps)"

    def _require_tracks(self, verb: str) -> StateSpace:
        if not self._arguments.batched:
            raise KelmanError(
                f"{verb}: this stepper has one series without a series axis; give N=1, or as many as there are"
            )
        return self._arguments.model


accelerate(Stepper)
