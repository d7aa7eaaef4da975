# SPDX-License-Identifier: BSD-3-Clause
"""The linear-Gaussian state-space model as a value.

    x_k = A x_{k-1} + B u_k + b + w_{k-1}        w ~ (0, Q),  Cov(w_k, v_k) = S
    z_k = H x_k     + D u_k + c + v_k            v ~ (0, R)

n states, m measured values, p inputs, T steps, N series.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from .._arrays import as_floats, common_dtype, converted, describe, frozen, one_of, require_finite
from ..errors import KelmanError, ModelTypeError
from ._describe import printed, warn_if_unlikely
from ._meaning import COVARIANCES, START, SYSTEM, Dims, covariance, joint_noise, measure, start_kind
from ._rearrange import rolled, stacked
from ._views import Views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Array, ArrayLike, Dtype, Initial

_INITIAL = ("stationary", "diffuse", "auto")


@dataclass(frozen=True, eq=False, repr=False)
class StateSpace(Views):
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
    kelman.errors.KelmanError: H: expected (m, 2) in its last two axes, as n = 2 in A, got shape (1, 1)
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
        late: Any = input_lag
        if not isinstance(late, int) or isinstance(late, bool) or late not in (0, 1):
            raise KelmanError(f"input_lag: expected 0 or 1, got {input_lag!r:.60}")
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
        warn_if_unlikely(self)

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
        later = {
            name: None if value is None and name != "A" else rolled(as_floats(value, name), rank)
            for name, value, rank in (("A", A, 2), ("B", B, 2), ("b", b, 1))
        }
        start: dict[str, Any] = {"m1": m1, "P1": P1, "P1_inf": P1_inf, "initial": initial}
        return cls(
            cast("Array", later["A"]), H, Q, R, B=later["B"], D=D, b=later["b"], c=c, S=S, **start, input_lag=1
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
        try:
            models = list(models)
        except TypeError:
            raise ModelTypeError(f"models: expected a list of StateSpace, got {describe(models)}") from None
        if not models:
            raise KelmanError("models: the list is empty")
        for i, model in enumerate(models):
            if not isinstance(model, StateSpace):
                raise ModelTypeError(f"models[{i}]: expected a StateSpace, got {type(model).__name__}")
        dtype = common_dtype(*(model.dtype for model in models))
        return cls._trusted(stacked(models, dtype), dtype, models[0].initial, models[0].input_lag)

    def __repr__(self) -> str:
        return printed(self)
