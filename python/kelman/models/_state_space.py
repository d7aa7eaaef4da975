# SPDX-License-Identifier: BSD-3-Clause
"""The linear-Gaussian state-space model as a value.

    x_k = A x_{k-1} + B u_k + b + w_{k-1}        w ~ (0, Q),  Cov(w_k, v_k) = S
    z_k = H x_k     + D u_k + c + v_k            v ~ (0, R)

n states, m measured values, p inputs, T steps, N series.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from .._arrays import FLOAT32, FLOAT64, as_count, as_floats, common_dtype, converted, frozen, one_of, require_finite
from ..errors import KelmanError, ModelTypeError, ModelWarning
from ._meaning import COVARIANCES, START, SYSTEM, Dims, covariance, joint_noise, measure, start_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Array, ArrayLike, Dtype, Initial

_INITIAL = ("stationary", "diffuse", "auto")
_FAR_OUTSIDE = 3.0
_PRINTED = 36


@dataclass(frozen=True, eq=False, repr=False)
class StateSpace:
    r"""A linear-Gaussian state-space model: read-only arrays that fit together.

    ::

        x_k = A x_{k-1} + B u_k + b + w_{k-1}        Cov(w_k) = Q, Cov(w_k, v_k) = S
        z_k = H x_k     + D u_k + c + v_k            Cov(v_k) = R

    A[k], B[k], b[k] lead into x_k; H[k], D[k], c[k], R[k] measure x_k; Q[k] and S[k] act between x_k and x_{k+1}.
    Any of these may vary: by a leading time axis ``(T, ...)``, by series ``(N, 1, ...)``, or by both ``(N, T, ...)``.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition of the state.
    H : array_like, shape (m, n)
        Measurement of the state.
    Q : array_like, shape (n, n)
        Covariance of the state's noise; may be singular.
    R : array_like, shape (m, m)
        Covariance of the measurement's noise; may be singular.
    B : array_like, shape (n, p), optional
        Effect of the inputs on the state.
    D : array_like, shape (m, p), optional
        Direct effect of the inputs on the measurement.
    b : array_like, shape (n,), optional
        Offset of the state.
    c : array_like, shape (m,), optional
        Offset of the measurement.
    S : array_like, shape (n, m), optional
        Covariance of the state's noise w_k with the measurement's noise v_k.
    m0, P0 : array_like, shapes (n,) and (n, n), or (N, n) and (N, n, n), optional
        Mean and covariance of x_0, the state before the first transition, which uses A[0], B[0], b[0] and Q[0].
    m1, P1 : array_like, shapes (n,) and (n, n), or (N, n) and (N, n, n), optional
        Mean and covariance of x_1, the state at the first measurement (A[0], B[0] and b[0] are then unused).
    P1_inf : array_like, shape (n, n) or (N, n, n), optional
        Exactly diffuse part of the covariance of x_1: x_1 ~ (m1, P1 + kappa P1_inf) for kappa to infinity. m1 and P1 are
        zero where they are left out beside it.
    initial : {"auto", "stationary", "diffuse"}, default "auto"
        Start when no moments are given, of x_1. "stationary": the distribution that A, b and Q keep, plus B u_1; "diffuse":
        all of x_1 diffuse; "auto": stationary on the stable invariant subspace of A and diffuse on the rest (modulus
        at least 1 - 1e-8).
    input_lag : {0, 1}, default 0
        1 in a model from `from_shifted`: the input that drives x_k is u_{k-1}, not u_k.

    Attributes
    ----------
    dims : Dims
        The sizes (n, m, p, N, T); N and T are None where nothing varies by series or in time.
    dtype : numpy.dtype
        float64, or float32 if every array given is float32.
    is_constant : bool
        Whether nothing varies, in time or by series.

    Raises
    ------
    KelmanError
        If an array is not finite, does not fit the others, is not a covariance where one is needed (asymmetric, or with
        an eigenvalue below zero by more than rounding), or if the start is given in two ways.

    Notes
    -----
    The model of Durbin and Koopman, *Time Series Analysis by State Space Methods*, 2nd ed. (2012), eq. 3.1, with inputs,
    offsets and correlated noise (Anderson and Moore, *Optimal Filtering* (1979), section 5.3), where the transition into
    x_k carries the index k. Arrays that you can write to are copied, so that a model never changes.

    Examples
    --------
    >>> import numpy as np
    >>> import kelman
    >>> level = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]])
    >>> level.dims
    Dims(n=1, m=1, p=0, N=None, T=None)
    >>> kelman.StateSpace(np.eye(2), [[1.0]], np.eye(2), [[1.0]])
    Traceback (most recent call last):
    ...
    kelman.errors.KelmanError: H: expected (1, 2) in its last two axes, as n = 2 in A, got shape (1, 1)
    """

    A: Array
    H: Array
    Q: Array
    R: Array
    B: Array | None = field(default=None, kw_only=True)
    D: Array | None = field(default=None, kw_only=True)
    b: Array | None = field(default=None, kw_only=True)
    c: Array | None = field(default=None, kw_only=True)
    S: Array | None = field(default=None, kw_only=True)
    m0: Array | None = field(default=None, kw_only=True)
    P0: Array | None = field(default=None, kw_only=True)
    m1: Array | None = field(default=None, kw_only=True)
    P1: Array | None = field(default=None, kw_only=True)
    P1_inf: Array | None = field(default=None, kw_only=True)
    initial: Initial = field(default="auto", kw_only=True)
    input_lag: Literal[0, 1] = field(default=0, kw_only=True)
    dims: Dims = field(init=False)
    _cache: dict[Any, Any] = field(init=False, default_factory=dict)

    def __init__(
        self,
        A: ArrayLike,
        H: ArrayLike,
        Q: ArrayLike,
        R: ArrayLike,
        *,
        B: ArrayLike | None = None,
        D: ArrayLike | None = None,
        b: ArrayLike | None = None,
        c: ArrayLike | None = None,
        S: ArrayLike | None = None,
        m0: ArrayLike | None = None,
        P0: ArrayLike | None = None,
        m1: ArrayLike | None = None,
        P1: ArrayLike | None = None,
        P1_inf: ArrayLike | None = None,
        initial: Initial = "auto",
        input_lag: Literal[0, 1] = 0,
    ) -> None:
        given = {"A": A, "H": H, "Q": Q, "R": R, "B": B, "D": D, "b": b, "c": c, "S": S}
        given |= {"m0": m0, "P0": P0, "m1": m1, "P1": P1, "P1_inf": P1_inf}
        fields: dict[str, Array | None] = {
            name: None if value is None and name not in "AHQR" else as_floats(value, name)
            for name, value in given.items()
        }
        one_of(initial, "initial", (*_INITIAL, "x0", "x1"))
        kind = start_kind(fields, initial)
        dims = measure(fields)
        if input_lag not in (0, 1) or isinstance(input_lag, bool):
            raise KelmanError(f"input_lag: expected 0 or 1, got {input_lag!r}")
        if input_lag == 1 and kind == "x0":
            raise KelmanError("m0, P0: a model with input_lag=1 starts at the first measurement; give m1 and P1")
        for name, array in fields.items():
            if array is not None:
                require_finite(array, name)
                fields[name] = covariance(name, array) if name in COVARIANCES else array
        if fields["S"] is not None:
            joint_noise(cast("Array", fields["Q"]), cast("Array", fields["R"]), fields["S"])
        dtype = common_dtype(*(array.dtype for array in fields.values() if array is not None))
        self._set(fields, dtype, dims, cast("Initial", kind), input_lag)
        _warn_if_unlikely(self)

    def _set(
        self, fields: dict[str, Array | None], dtype: Dtype, dims: Dims, initial: Initial, input_lag: Literal[0, 1]
    ) -> None:
        for name, letters in (SYSTEM | START).items():
            array = fields[name]
            kept = None if array is None else frozen(converted(array, dtype), len(letters))
            object.__setattr__(self, name, kept)
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "input_lag", input_lag)
        object.__setattr__(self, "dims", dims)
        object.__setattr__(self, "_cache", {})

    @classmethod
    def _trusted(
        cls, fields: dict[str, Array | None], dtype: Dtype, initial: Initial, input_lag: Literal[0, 1]
    ) -> StateSpace:
        """Build from arrays that were checked before."""
        model = object.__new__(cls)
        model._set(fields, dtype, measure(fields), initial, input_lag)
        return model

    def _fields(self) -> dict[str, Array | None]:
        return {name: getattr(self, name) for name in SYSTEM | START}

    @classmethod
    def from_shifted(
        cls,
        A: ArrayLike,
        H: ArrayLike,
        Q: ArrayLike,
        R: ArrayLike,
        *,
        B: ArrayLike | None = None,
        D: ArrayLike | None = None,
        b: ArrayLike | None = None,
        c: ArrayLike | None = None,
        S: ArrayLike | None = None,
        m1: ArrayLike | None = None,
        P1: ArrayLike | None = None,
        P1_inf: ArrayLike | None = None,
        initial: Initial = "auto",
    ) -> StateSpace:
        r"""Build a model that is written with the state one step ahead.

        ::

            x_{k+1} = A x_k + B u_k + b + w_k
            z_k     = H x_k + D u_k + c + v_k        Cov(w_k, v_k) = S

        as in statsmodels, MATLAB, SLICOT, scipy.signal and python-control. Give the same u to the verbs as there.

        Parameters
        ----------
        A, H, Q, R, B, D, b, c, S : array_like
            As in `StateSpace`, except that A[k], B[k] and b[k] lead out of x_k, into x_{k+1}.
        m1, P1, P1_inf : array_like, optional
            Start, of the state at the first measurement.
        initial : {"auto", "stationary", "diffuse"}, default "auto"
            Start when no moments are given; none of them adds an input.

        Returns
        -------
        StateSpace
            With ``input_lag = 1``; A, B and b that vary in time are rolled by one step, so that the stored A[k] leads into
            x_k (the stored A[0] is the last one given).

        Raises
        ------
        KelmanError
            As `StateSpace`.

        Notes
        -----
        Kailath, Sayed and Hassibi, *Linear Estimation* (2000), eq. 9.1.1 is written so.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace.from_shifted([[0.5]], [[1.0]], [[0.1]], [[0.2]], B=[[2.0]])
        >>> model.input_lag
        1
        """
        moving: dict[str, Array | None] = {"A": as_floats(A, "A")}
        moving["B"] = None if B is None else as_floats(B, "B")
        moving["b"] = None if b is None else as_floats(b, "b")
        for name, array in moving.items():
            axis = 2 if name == "b" else 3
            if array is not None and array.ndim >= axis and array.shape[-axis] > 1:
                moving[name] = np.roll(array, 1, axis=-axis)
        return cls(
            cast("Array", moving["A"]), H, Q, R, B=moving["B"], D=D, b=moving["b"], c=c, S=S,
            m1=m1, P1=P1, P1_inf=P1_inf, initial=initial, input_lag=1,
        )  # fmt: skip

    @classmethod
    def stack(cls, models: Sequence[StateSpace]) -> StateSpace:
        """Make one model of N series out of N models.

        Parameters
        ----------
        models : sequence of StateSpace
            Models of the same sizes, dtype apart, with the same kind of start and the same `input_lag`. Where some lack
            an offset, an input matrix or S, it is zero.

        Returns
        -------
        StateSpace
            With every array per series.

        Raises
        ------
        KelmanError
            If the list is empty, or if the models do not fit together.

        Examples
        --------
        >>> import kelman
        >>> a, b = (kelman.StateSpace([[1.0]], [[1.0]], [[q]], [[1.0]]) for q in (0.1, 0.2))
        >>> kelman.StateSpace.stack([a, b]).Q.shape
        (2, 1, 1, 1)
        """
        models = list(models)
        if not models:
            raise KelmanError("models: the list is empty")
        for i, model in enumerate(models):
            if not isinstance(model, StateSpace):
                raise ModelTypeError(f"models[{i}]: expected a StateSpace, got {type(model).__name__}")
            _require_like(models[0], model, i)
        p = max(model.dims.p for model in models)
        first = models[0]
        lengths = {"n": first.dims.n, "m": first.dims.m, "p": p}
        dtype = common_dtype(*(model.dtype for model in models))
        fields: dict[str, Array | None] = {}
        for name, letters in (SYSTEM | START).items():
            arrays = [getattr(model, name) for model in models]
            if all(array is None for array in arrays):
                fields[name] = None
                continue
            blank = np.zeros([lengths[letter] for letter in letters], dtype=dtype)
            arrays = [blank if array is None else array for array in arrays]
            if name in SYSTEM:
                arrays = [array if array.ndim > len(letters) else array[None] for array in arrays]
                steps = max(array.shape[0] for array in arrays)
                arrays = [np.broadcast_to(array, (steps, *array.shape[1:])) for array in arrays]
            fields[name] = np.stack(arrays)
        return cls._trusted(fields, dtype, first.initial, first.input_lag)

    @property
    def dtype(self) -> Dtype:
        """The dtype of every array: float64 or float32."""
        return self.A.dtype

    @property
    def is_constant(self) -> bool:
        """Whether nothing varies, in time or by series."""
        return self.dims.N is None and self.dims.T is None

    def astype(self, dtype: Any) -> StateSpace:
        """Return the same model in float64 or float32 (itself, if it is in this dtype already).

        Parameters
        ----------
        dtype : dtype_like
            float64 or float32.

        Returns
        -------
        StateSpace
            The model, converted.

        Raises
        ------
        KelmanError
            If `dtype` is another one.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
        >>> model.astype("float32").dtype
        dtype('float32')
        """
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            raise KelmanError(f"dtype: expected float64 or float32, got {dtype!r:.60}") from None
        if wanted not in (FLOAT64, FLOAT32) or not wanted.isnative:
            raise KelmanError(f"dtype: expected float64 or float32, got {wanted}")
        if wanted == self.dtype:
            return self
        known = self._cache.get(("astype", wanted))
        if known is None:
            known = self._trusted(self._fields(), wanted, self.initial, self.input_lag)
            self._cache["astype", wanted] = known
        return cast("StateSpace", known)

    def replace(self, **changes: Any) -> StateSpace:
        """Return a copy with some arrays changed, checked anew.

        Parameters
        ----------
        **changes
            Arguments of `StateSpace`; None takes one away. A start of another kind takes the place of the present one.

        Returns
        -------
        StateSpace
            The changed model.

        Raises
        ------
        KelmanError
            As `StateSpace`, or if an argument has another name.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m0=[0.0], P0=[[1.0]])
        >>> model.replace(m1=[2.0], P1=[[0.5]]).initial
        'x1'
        """
        fields: dict[str, Any] = {**self._fields(), "initial": self.initial, "input_lag": self.input_lag}
        unknown = [name for name in changes if name not in fields]
        if unknown:
            raise KelmanError(f"replace: no argument {unknown[0]!r}; there are {', '.join(fields)}")
        start = {name for name in START if changes.get(name) is not None}
        if start or changes.get("initial") not in (None, self.initial):
            kept = {"x0": ("m0", "P0"), "x1": ("m1", "P1", "P1_inf")}.get(self.initial, ())
            if not start or not start <= set(kept):
                fields |= dict.fromkeys(START)
            fields["initial"] = "auto"
        elif any(name in START for name in changes):
            fields["initial"] = "auto"
        return type(self)(**(fields | changes))

    def series(self, i: int) -> StateSpace:
        """Return the model of series `i` alone (a shared model is that of every series).

        Parameters
        ----------
        i : int
            Which series, from 0 to N - 1.

        Returns
        -------
        StateSpace
            A model without a series axis.

        Raises
        ------
        KelmanError
            If there is no such series.

        Examples
        --------
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[[[0.1]]], [[[0.2]]]], [[1.0]])
        >>> model.series(1).Q.tolist()
        [[[0.2]]]
        """
        if self.dims.N is None:
            return self
        i = as_count(i, "i", least=0)
        if i >= self.dims.N:
            raise KelmanError(f"i: series {i} of {self.dims.N} (counted from 0)")
        fields: dict[str, Array | None] = {}
        for name, letters in (SYSTEM | START).items():
            array = getattr(self, name)
            rank = len(letters) + (name in SYSTEM)
            has_series = array is not None and array.ndim > rank
            fields[name] = array[i if array.shape[0] > 1 else 0] if has_series else array
        return self._trusted(fields, self.dtype, self.initial, self.input_lag)

    def window(self, first: int, stop: int) -> StateSpace:
        """Return the model for the steps from `first` up to, not including, `stop` (itself, if nothing varies in time).

        Filter the first part, then go on with ``filter(model.window(t, T), z[t:], start=r.state)``.

        Parameters
        ----------
        first, stop : int
            Steps, counted from 0.

        Returns
        -------
        StateSpace
            A model whose time axes have length ``stop - first``.

        Raises
        ------
        KelmanError
            If the steps are not within the model's.

        Examples
        --------
        >>> import numpy as np
        >>> import kelman
        >>> model = kelman.StateSpace([[1.0]], np.ones((9, 1, 1)), [[1.0]], [[1.0]])
        >>> model.window(4, 9).dims.T
        5
        """
        steps = self.dims.T
        if steps is None:
            return self
        first, stop = as_count(first, "first", least=0), as_count(stop, "stop")
        if not first < stop <= steps:
            raise KelmanError(f"window: expected 0 <= first < stop <= {steps}, got first = {first} and stop = {stop}")
        fields = self._fields()
        for name, letters in SYSTEM.items():
            array = fields[name]
            axis = -1 - len(letters)
            if array is not None and array.ndim > len(letters) and array.shape[axis] > 1:
                index: tuple[Any, ...] = (..., slice(first, stop), *(slice(None),) * len(letters))
                fields[name] = array[index]
        return self._trusted(fields, self.dtype, self.initial, self.input_lag)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_cache", {})

    def __repr__(self) -> str:
        n, m, p, series, steps = self.dims
        parts = [_plural(n, "state"), f"{m} measured", _plural(p, "input")]
        parts += [] if series is None else [f"{series} series"]
        parts += [] if steps is None else [f"{steps} steps"]
        parts += [self.dtype.name, f"start {self.initial}"]
        parts += ["input one step late"] if self.input_lag else []
        lines = [f"StateSpace({', '.join(parts)})"]
        for name in SYSTEM | START:
            array = getattr(self, name)
            if array is not None:
                lines.append(_line(name, array))
        return "\n".join(lines)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line(name: str, array: Array) -> str:
    label = f"  {name:<6} = "
    if array.size > _PRINTED:
        return f"{label}array of shape {array.shape}"
    return label + np.array2string(array, prefix=label, precision=6, suppress_small=False)


def _require_like(first: StateSpace, other: StateSpace, i: int) -> None:
    if other.dims.N is not None:
        raise KelmanError(
            f"models[{i}]: has a series axis already (N = {other.dims.N}); stack takes models of one series"
        )
    for letter in ("n", "m", "p"):
        ours, theirs = getattr(first.dims, letter), getattr(other.dims, letter)
        if ours != theirs and not (letter == "p" and 0 in (ours, theirs)):
            raise KelmanError(f"models[{i}]: has {letter} = {theirs}, but models[0] has {letter} = {ours}")
    if None not in (first.dims.T, other.dims.T) and first.dims.T != other.dims.T:
        raise KelmanError(f"models[{i}]: varies over {other.dims.T} steps, but models[0] over {first.dims.T}")
    for name in ("initial", "input_lag"):
        if getattr(first, name) != getattr(other, name):
            raise KelmanError(
                f"models[{i}]: has {name} = {getattr(other, name)!r}, but models[0] has {getattr(first, name)!r}"
            )


def _warn_if_unlikely(model: StateSpace) -> None:
    """Warn of a transition far outside the unit circle (forgotten discretisation), and of a start too wide for float32."""
    if model.A.ndim == 2:
        radius = float(np.max(np.abs(np.linalg.eigvals(model.A))))
        if radius > _FAR_OUTSIDE:
            warnings.warn(
                f"A: its largest eigenvalue has modulus {radius:.3g}: the state grows {radius:.3g}-fold each step. "
                "A is the transition of one step in discrete time; was a continuous-time matrix meant?",
                ModelWarning,
                stacklevel=3,
            )
    start = model.P0 if model.P0 is not None else model.P1
    if model.dtype == FLOAT32 and start is not None:
        widest = float(np.max(np.diagonal(start, axis1=-2, axis2=-1)))
        noise = np.diagonal(model.R, axis1=-2, axis2=-1)
        narrowest = float(np.min(noise[noise > 0], initial=np.inf))
        if np.isfinite(narrowest) and widest > 1e6 * narrowest:
            warnings.warn(
                f"start: its variance {widest:.3g} is {widest / narrowest:.3g} times that of R, which float32 cannot "
                "resolve; use float64, or P1_inf for an exactly diffuse start",
                ModelWarning,
                stacklevel=3,
            )
