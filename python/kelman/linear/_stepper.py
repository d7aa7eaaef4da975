# SPDX-License-Identifier: BSD-3-Clause
"""`Stepper`: the filter online, one call for each time step."""

from __future__ import annotations

from math import isfinite, isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _registry
from .._arrays import as_count, as_floats, contiguous, one_of, require_finite, require_no_infinity
from ..config import thread_count
from ..errors import KelmanError
from ..models._meaning import COVARIANCES, SYSTEM, covariance, joint_noise
from ._filter import ON_ERROR
from ._outcome import settle
from ._problem import RANKS, Problem, assemble, fields_of, require_model
from ._start import resolve_start, resume
from ._state import FilterState, require_state, state_from_raw

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, DiffuseConstant, OnError
    from ..models import StateSpace

_SMALL = 32
"""Below this many values a loop in Python is faster than numpy."""


class Stepper:
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
    The same recursions as `filter`, and the same numbers. Not for use by several threads at once.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    >>> step = kelman.Stepper(model)
    >>> for z in (1.0, 2.0):
    ...     mean = step([z])
    >>> print(step.mean, step.cov, step.steps)
    [1.4] [[0.6]] 2
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
        self._model = require_model(model, "Stepper")
        own = model.dims.N
        if N is not None:
            N = as_count(N, "N")
            if own not in (None, 1, N):
                raise KelmanError(f"N: is {N}, but the model is for {own} series")
        one_of(on_error, "on_error", ON_ERROR)
        one_of(diffuse_constant, "diffuse_constant", ("kfas", "statsmodels"))
        self._N = N or own or 1
        self._batched = N is not None or own is not None
        self._on_error, self._diffuse_constant = on_error, diffuse_constant
        self._threads = thread_count(threads)
        self._kernels = _registry.backend("linear", backend)
        self._online: Any = getattr(self._kernels, "stepper", None)  # the core's handle; other backends filter one step
        self._state = None if start is None else require_state(start, model, self._N)
        self._handle: Any = None
        self._begun = 0
        self._steps = 0
        self._mean: Array | None = None
        self._cov: Array | None = None
        self._loglik = np.zeros(self._N, dtype=model.dtype)
        self._gain = np.zeros(self._N, dtype=model.dtype)
        self._p = 0 if model.B is None and model.D is None else model.dims.p
        self._last_u: Array | None = None
        self._shape = (self._N, model.dims.m) if self._batched else (model.dims.m,)
        self._constant = None if model.dims.T is not None else self._fields_at(0)

    def __call__(self, z: ArrayLike, u: ArrayLike | None = None, **matrices: ArrayLike) -> Array:
        """Take the measurement of the next step.

        Parameters
        ----------
        z : array_like, shape (m,) or (N, m)
            The measurement; NaN = missing. A number, or (N,), if m = 1.
        u : array_like, shape (p,) or (N, p), optional
            The input. Needed if the model has B or D.
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
        values = self._values(z)
        inputs = self._inputs(u)
        if matrices or self._online is None:
            return self._filtered(values, inputs, matrices)
        if self._handle is None:
            self._handle = self._begin(inputs)
        elif self._constant is None and self._steps >= (self._model.dims.T or 0):
            self._fields_at(self._steps)  # raises, naming a matrix that has no more steps
        mean = np.empty((self._N, self._model.dims.n), dtype=self._model.dtype)
        self._handle.step(values, inputs, mean, self._gain)
        self._last_u, self._mean, self._cov, self._state = inputs, mean, None, None
        self._loglik += self._gain
        self._steps += 1
        if not (isfinite(self._gain[0]) if self._N == 1 else np.isfinite(self._gain).all()):
            self._look()
        return mean if self._batched else mean[0]

    def _begin(self, u: Array | None) -> Any:
        """The core's handle, from where the stepper stands."""
        fields, steps = self._constant, 1
        if fields is None:
            self._fields_at(self._steps)
            steps = (self._model.dims.T or 0) - self._steps
            rest = self._model.window(self._steps, self._steps + steps)
            fields = fields_of(rest, self._N, steps, self._model.dtype)
        m = self._model.dims.m
        z = np.broadcast_to(np.zeros((1, 1, m), dtype=self._model.dtype), (self._N, steps, m))
        inputs = None if u is None else np.broadcast_to(u[:, None], (self._N, steps, self._p))
        self._begun = self._steps
        return self._online(self._pose(z, inputs, fields))

    def _look(self) -> None:
        """Ask the core what went wrong in the step just taken."""
        raw = self._handle.state()
        now = raw["failed_at"] == self._steps - 1 - self._begun
        status = np.where(now & (raw["status"] != 0), raw["status"], 0)
        settle(status, np.full(self._N, self._steps - 1), self._on_error, lambda: self, stacklevel=5)

    def _filtered(self, values: Array, inputs: Array | None, matrices: dict[str, Any]) -> Array:
        """Take a step by filtering a series of one step."""
        fields = self._constant if self._constant is not None else self._fields_at(self._steps, matrices)
        if matrices:
            fields = self._with_given(fields, matrices)
        if self._steps:
            self._state = self.state
        problem = self._pose(values[:, None], None if inputs is None else inputs[:, None], fields)
        raw = self._kernels.filter_raw(problem, "last", self._threads, None)
        self._handle, self._last_u = None, inputs
        self._state = self._stated(raw)
        self._mean, self._cov = raw["mean"], raw["cov"]
        self._loglik = self._loglik + raw["loglik"]
        self._steps += 1
        status = raw["status"]
        if status.any():
            settle(status, np.full(self._N, self._steps - 1), self._on_error, lambda: self, stacklevel=5)
        return self._mean if self._batched else self._mean[0]

    def _stated(self, raw: dict[str, Array]) -> FilterState:
        last_u = self._last_u if self._model.input_lag == 1 else None
        return state_from_raw(raw, last_u, self._model, self._batched)

    @property
    def steps(self) -> int:
        """How many steps have been taken."""
        return self._steps

    @property
    def mean(self) -> Array:
        """E[x_k | z_1..z_k] of the last step, shape (n,) or (N, n)."""
        return self._shown(self._mean, "mean")

    @property
    def cov(self) -> Array:
        """Cov[x_k | z_1..z_k] of the last step, shape (n, n) or (N, n, n)."""
        if self._cov is None and self._steps:
            self._cov = self.state._cov
        return self._shown(self._cov, "cov")

    @property
    def loglik(self) -> Any:
        """Log-likelihood of the measurements so far, a number or (N,)."""
        return self._loglik.copy() if self._batched else self._loglik[0]

    @property
    def state(self) -> FilterState:
        """Where the stepper stands: ``start=`` for `filter`, or for another stepper."""
        if not self._steps:
            raise KelmanError("state: no step has been taken yet")
        if self._state is None:
            self._state = self._stated(self._handle.state())
        return self._state

    def __repr__(self) -> str:
        count = f"{self._N} series" if self._batched else "one series"
        return f"Stepper({count}, {self._model.dims.n} states, after {self._steps} steps)"

    def __reduce__(self) -> Any:
        raise TypeError("a Stepper is no value: copy or pickle its .state, and begin another Stepper with start=")

    def _shown(self, array: Array | None, name: str) -> Array:
        if array is None:
            raise KelmanError(f"{name}: no step has been taken yet")
        return array if self._batched else array[0]

    def _values(self, z: Any) -> Array:
        if type(z) is np.ndarray and z.shape == self._shape and z.dtype == self._model.dtype and z.flags.c_contiguous:
            values = z if self._batched else z[None]
        else:
            values = self._vector(z, "z", self._model.dims.m)
        if any(map(isinf, values.ravel().tolist())) if values.size <= _SMALL else np.isinf(values).any():
            require_no_infinity(values if self._batched else values[0], "z")
        return values

    def _vector(self, value: Any, name: str, length: int) -> Array:
        """Read (length,) or (N, length), also a bare number or (N,) where length is 1; return (N, length)."""
        array = as_floats(value, name, nan_is_missing=name == "z")
        wanted = (self._N, length) if self._batched else (length,)
        if array.shape != wanted and not (length == 1 and array.shape == wanted[:-1]):
            also = f" or {wanted[:-1]}" if length == 1 else ""
            raise KelmanError(f"{name}: expected shape {wanted}{also}, one step at a time, got {array.shape}")
        return contiguous(array, self._model.dtype).reshape(self._N, length)

    def _inputs(self, u: Any) -> Array | None:
        if self._p == 0:
            if u is not None:
                raise KelmanError("u: the model has no inputs (neither B nor D is set), so none can be given")
            return None
        if u is None:
            raise KelmanError(f"u: the model has p = {self._p} (B or D is set), so u is needed")
        if not self._batched or np.ndim(u) == 2 or (np.ndim(u) == 1 and self._p == 1 and np.size(u) == self._N):
            inputs = self._vector(u, "u", self._p)
        else:  # the same for all series
            shared = as_floats(u, "u")
            if shared.shape != (self._p,):
                raise KelmanError(f"u: expected shape {(self._N, self._p)} or {(self._p,)}, got {shared.shape}")
            inputs = np.broadcast_to(contiguous(shared, self._model.dtype), (self._N, self._p))
        require_finite(inputs, "u", "; inputs are known exactly, so none can be missing")
        return np.ascontiguousarray(inputs)

    def _fields_at(self, k: int, given: dict[str, Any] | None = None) -> dict[str, Array | None]:
        """The model's matrices at step k, each (N, 1, ...) with stride 0 where it is shared."""
        fields: dict[str, Array | None] = {}
        for name, rank in RANKS.items():
            array = getattr(self._model, name)
            if array is None or (name in ("B", "D") and self._p == 0):
                fields[name] = None
                continue
            array = array.reshape((1,) * (2 + rank - array.ndim) + array.shape)
            if array.shape[1] > 1:
                if k >= array.shape[1] and not (given and name in given):
                    raise KelmanError(
                        f"{name}: the model varies over {array.shape[1]} steps, and all have been taken; give the matrices "
                        f"of this step with the call, as in step(z, {name}=...)"
                    )
                k_here = min(k, array.shape[1] - 1)
                array = array[:, k_here : k_here + 1]
            fields[name] = np.broadcast_to(array, (self._N, 1, *array.shape[2:]))
        return fields

    def _with_given(self, fields: dict[str, Array | None], given: dict[str, Any]) -> dict[str, Array | None]:
        sizes = {"n": self._model.dims.n, "m": self._model.dims.m, "p": self._p}
        changed = dict(fields)
        for name, value in given.items():
            if name not in SYSTEM:
                raise KelmanError(f"{name}: unknown; a step may be given {', '.join(SYSTEM)}")
            array = as_floats(value, name)
            inner = tuple(sizes[letter] for letter in SYSTEM[name])
            if array.shape not in (inner, (self._N, *inner)):
                raise KelmanError(
                    f"{name}: expected shape {inner} or {(self._N, *inner)}, of one step, got {array.shape}"
                )
            require_finite(array, name)
            if name in COVARIANCES:
                array = covariance(name, array)
            array = contiguous(array, self._model.dtype)
            require_finite(array, name)
            array = array[None, None] if array.shape == inner else array[:, None]
            changed[name] = np.broadcast_to(array, (self._N, 1, *inner))
        S, Q, R = changed["S"], changed["Q"], changed["R"]
        if S is not None and Q is not None and R is not None and {"Q", "R", "S"} & given.keys():
            joint_noise(Q, R, S)
        return changed

    def _pose(self, z: Array, u: Array | None, fields: dict[str, Array | None]) -> Problem:
        model, dtype = self._model, self._model.dtype
        u_before = None
        if self._state is None:
            start = resolve_start(model, self._N, dtype, fields, u)
        else:
            start = resume(self._state, dtype)
            last = self._state._last_u
            u_before = None if last is None else contiguous(last, dtype)
        return assemble(z, None, fields, u, u_before, model.input_lag, start, self._diffuse_constant)
