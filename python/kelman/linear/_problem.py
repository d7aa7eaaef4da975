# SPDX-License-Identifier: BSD-3-Clause
"""From users' arguments to the problem that a backend solves: one dtype, one layout, nothing left to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import common_dtype, contiguous, laid_out, one_of, require_no_infinity
from ..errors import KelmanError, ModelTypeError
from ..models import StateSpace
from ._series import Series, read_u, read_z
from ._start import Start, resolve_start, resume
from ._state import require_state

if TYPE_CHECKING:
    from .._types import Array, DiffuseConstant, Dtype

RANKS: dict[str, int] = {"A": 2, "H": 2, "Q": 2, "R": 2, "B": 2, "D": 2, "b": 1, "c": 1, "S": 2}
_SCAN_LIMIT = 65_536


@dataclass(slots=True)  # not frozen: made for each call, where freezing costs a microsecond
class Problem:
    """What a backend is given: float64 or float32 throughout, leading axes (N, T) possibly of stride 0.

    The inner axes (the last two of matrices, the last one of vectors) are C-contiguous. NaN in z is missing; entries past
    `lengths` are ignored. With ``start_kind`` 0, `mean`, `cov` and `inf` speak of the state at the first measurement; with
    1, of the state one step before: the backend first predicts with A[0], B[0], b[0] and the pending noise, whose moments
    given the past are `noise_mean`, `noise_cov` and `noise_cross` (its covariance with that state). With `input_lag` 1,
    u[k-1] drives x_k, and `u_before` is the input before the first. The diffuse part of the start is ``inf inf'``, of
    which the first `rank` columns are in use.
    """

    z: Array
    lengths: Array | None
    A: Array
    H: Array
    Q: Array
    R: Array
    B: Array | None
    D: Array | None
    b: Array | None
    c: Array | None
    S: Array | None
    u: Array | None
    u_before: Array | None
    input_lag: int
    start_kind: int
    mean: Array
    cov: Array
    inf: Array
    rank: Array
    noise_mean: Array | None
    noise_cov: Array | None
    noise_cross: Array | None
    diffuse_constant: str


@dataclass(slots=True)  # not frozen: made for each call, where freezing costs a microsecond
class Posed:
    """A problem with what is needed to name its results."""

    problem: Problem
    model: StateSpace
    N: int
    T: int
    batched: bool
    lengths: Array | None
    scanned: bool
    resumed: bool

    @property
    def dtype(self) -> Dtype:
        """The one dtype of the problem."""
        return self.problem.z.dtype

    def last_u(self) -> Array | None:
        """The last input of each series, (N, p), where the next state depends on it."""
        u = self.problem.u
        if u is None or self.problem.input_lag == 0:
            return None
        last = self.T - 1 if self.lengths is None else self.lengths - 1
        return np.array(u[np.arange(self.N), last])


def require_model(model: Any, verb: str) -> StateSpace:
    """Return `model` if it is a StateSpace; else say what is accepted."""
    if isinstance(model, StateSpace):
        return model
    hint = ""
    if type(model).__name__ == "Elman":
        hint = "; for a network use kelman.forward, or kelman.to_state_space to make a model of it"
    elif type(model).__name__ in ("GRU", "LSTM", "Stack", "Bidirectional"):
        hint = "; for a network use kelman.forward"
    elif type(model).__name__ == "Template":
        hint = "; fit it with kelman.fit(z, template=...), or give template.model(theta)"
    elif isinstance(model, type) and issubclass(model, StateSpace):
        hint = "; give an instance, not the class"
    raise ModelTypeError(f"model: {verb} expects a StateSpace, got {_named(model)}{hint}")


def _named(value: Any) -> str:
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def pose(
    model: StateSpace,
    z: Any,
    u: Any = None,
    *,
    start: Any = None,
    ahead: int = 0,
    diffuse_constant: DiffuseConstant = "kfas",
) -> Posed:
    """Check the arguments of a verb against each other and lay them out; `ahead` steps beyond z must be in the model."""
    one_of(diffuse_constant, "diffuse_constant", ("kfas", "statsmodels"))
    series = read_z(z, model.dims.m)
    dtype = common_dtype(series.z.dtype, model.dtype)
    N, T, batched = _count(model, series)
    values = laid_out(series.z, dtype, 2)
    if len(values) != N:
        values = np.broadcast_to(values, (N, T, model.dims.m))
    lengths = series.lengths
    fields = fields_of(model, N, T, dtype, ahead=ahead)
    p = _inputs(model)
    inputs = read_u(u, p, N=N, T=T, dtype=dtype, lengths=lengths, batched=batched)
    u_before = None
    if start is None:
        begin = resolve_start(model, N, dtype, fields, inputs)
    else:
        state = require_state(start, model, N)
        begin = resume(state, dtype)
        if model.input_lag == 1 and state._last_u is not None:
            u_before = contiguous(state._last_u, dtype)
    scanned = series.z.size <= _SCAN_LIMIT
    if scanned:
        require_no_infinity(series.z if series.batched else series.z[0], "z")
    problem = assemble(values, lengths, fields, inputs, u_before, model.input_lag, begin, diffuse_constant)
    return Posed(problem, model, N, T, batched, lengths, scanned, start is not None)


def assemble(
    z: Array,
    lengths: Array | None,
    fields: dict[str, Array | None],
    u: Array | None,
    u_before: Array | None,
    input_lag: int,
    start: Start,
    diffuse_constant: str,
) -> Problem:
    """Put the parts of a problem together."""
    return Problem(
        z=z,
        lengths=None if lengths is None or (lengths == z.shape[1]).all() else lengths,
        **fields,  # type: ignore[arg-type]
        u=u,
        u_before=u_before,
        input_lag=input_lag,
        start_kind=start.start_kind,
        mean=start.mean,
        cov=start.cov,
        inf=start.inf,
        rank=start.rank,
        noise_mean=start.noise_mean,
        noise_cov=start.noise_cov,
        noise_cross=start.noise_cross,
        diffuse_constant=diffuse_constant,
    )


def refuse_infinity(posed: Posed) -> None:
    """Look for an infinity in a z that was too big to be scanned beforehand, once its result has shown one."""
    if not posed.scanned:
        require_no_infinity(posed.problem.z, "z")


def _inputs(model: StateSpace) -> int:
    return 0 if model.B is None and model.D is None else model.dims.p


def _count(model: StateSpace, series: Series) -> tuple[int, int, bool]:
    given, T = series.z.shape[:2]
    own = model.dims.N
    if not series.batched:
        return own or 1, T, own is not None
    if own not in (None, 1, given):
        raise KelmanError(f"z: holds {given} series, but the model is for {own}")
    return given, T, True


def fields_of(model: StateSpace, N: int, T: int, dtype: Dtype, *, ahead: int = 0) -> dict[str, Array | None]:
    """The model's matrices as (N, T, ...) views in `dtype`; what varies in time must have T + ahead steps."""
    key = ("fields", N, T, dtype, ahead)
    known: tuple[Any, dict[str, Array | None]] | None = model._cache.get("fields")
    if known is not None and known[0] == key:
        return known[1]
    cast = model.astype(dtype)
    fields: dict[str, Array | None] = {}
    for name, rank in RANKS.items():
        array = getattr(cast, name)
        if array is None or (name in ("B", "D") and model.dims.p == 0):
            fields[name] = None
            continue
        array = array.reshape((1,) * (2 + rank - array.ndim) + array.shape)
        steps = array.shape[1]
        if steps not in (1, T + ahead):
            raise KelmanError(_wrong_length(name, getattr(model, name), steps, T, ahead, rank))
        if steps > 1 or T == 1:
            array = array[:, :T]
        fields[name] = np.broadcast_to(array, (N, T, *array.shape[2:]))
    model._cache["fields"] = (key, fields)
    return fields


def _wrong_length(name: str, array: Array, steps: int, T: int, ahead: int, rank: int) -> str:
    if ahead:
        return (
            f"{name}: varies over {steps} steps, but {ahead} steps after the {T} of z need {T + ahead}: "
            "extend it over the steps to forecast"
        )
    if array.ndim == rank + 1:
        return (
            f"{name}: its leading length {steps} is neither 1 nor T = {T}, the length of z; "
            f"for one {'matrix' if rank == 2 else 'vector'} per series write {name}[:, None]"
        )
    return f"{name}: varies over {steps} steps, but z has T = {T}"
