# SPDX-License-Identifier: BSD-3-Clause
"""Reading users' measurements and inputs: which axis is what, how many series, how long each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import FLOAT32, as_floats, collapsed, common_dtype, laid_out, require_finite
from ..errors import KelmanError

if TYPE_CHECKING:
    from .._types import Array, Dtype


@dataclass(slots=True)  # not frozen: made for each call
class Series:
    """Measurements as (N, T, m), how many of the T belong to each series, and whether the user gave a series axis."""

    z: Array
    lengths: Array | None
    batched: bool
    ragged: bool


def read_z(z: Any, m: int) -> Series:
    """Read (T,), (T, m), (N, T, m) or a list of series; dtype float64 or float32 as given."""
    items = _list_of_series(z)
    if items is not None:
        return _read_ragged_z(items, m)
    array = as_floats(z, "z", nan_is_missing=True)
    if array.ndim not in (1, 2, 3) or (array.ndim == 1 and m != 1) or (array.ndim > 1 and array.shape[-1] != m):
        raise KelmanError(_wrong_z(array.shape, m))
    if array.size == 0:
        raise KelmanError(f"z: holds no measurement (shape {array.shape})")
    if array.ndim == 3:
        return Series(array, None, batched=True, ragged=False)
    return Series(array.reshape(1, -1, m), None, batched=False, ragged=False)


def _wrong_z(shape: tuple[int, ...], m: int) -> str:
    message = f"z: expected shape {'(T,), ' if m == 1 else ''}(T, {m}) or (N, T, {m}), got {shape}"
    if len(shape) == 0:
        return message + "; a single number is not a series"
    if len(shape) == 1:
        return message + f"; the model measures m = {m} values at each step"
    if len(shape) == 2 and shape[0] == m:
        return message + "; time seems to be on the wrong axis: pass z.T"
    if len(shape) == 2 and m == 1:
        return message + "; a 2-D z is one series (T, m): for N series of one value each pass z[:, :, None]"
    if len(shape) == 3 and shape[1] == m:
        return message + "; time seems to be on the wrong axis: pass z.transpose(0, 2, 1)"
    if len(shape) == 3 and shape[0] == m:
        return message + "; the measured values seem to be on the first axis: move them last"
    return message


def _list_of_series(value: Any) -> list[Any] | None:
    """The series of a list of arrays (or of lists of different lengths); None if the value is one array."""
    if not isinstance(value, (list, tuple)):
        return None
    if not value:
        raise KelmanError("z: the list is empty")
    if any(getattr(item, "ndim", 0) >= 1 for item in value):
        return list(value)
    if all(isinstance(item, (list, tuple)) for item in value):
        try:
            np.asarray(value)
        except ValueError:
            return list(value)
    return None


def _read_ragged_z(items: list[Any], m: int) -> Series:
    arrays = []
    for i, item in enumerate(items):
        array = as_floats(item, f"z[{i}]", nan_is_missing=True)
        if array.ndim not in (1, 2) or (array.ndim == 1 and m != 1) or (array.ndim == 2 and array.shape[1] != m):
            wanted = "(T,) or (T, 1)" if m == 1 else f"(T, {m})"
            raise KelmanError(f"z[{i}]: expected shape {wanted}, as in a list of series, got {array.shape}")
        if len(array) == 0:
            raise KelmanError(f"z[{i}]: the series is empty")
        arrays.append(array.reshape(-1, m))
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    padded = np.full((len(arrays), int(lengths.max()), m), np.nan, dtype=common_dtype(*(a.dtype for a in arrays)))
    for i, array in enumerate(arrays):
        padded[i, : len(array)] = array
    return Series(padded, lengths, batched=True, ragged=True)


def read_u(
    u: Any,
    p: int,
    *,
    N: int,
    T: int,
    dtype: Dtype,
    lengths: Array | None = None,
    batched: bool = True,
    name: str = "u",
) -> Array | None:
    """Read inputs (T, p), (N, T, p), (T,) for p = 1, or a list; return (N, T, p), shared inputs with stride 0."""
    if p == 0:
        if u is None:
            return None
        raise KelmanError(f"{name}: the model has no inputs (neither B nor D is set), so none can be given")
    if u is None:
        raise KelmanError(f"{name}: the model has {p} input{'s' if p > 1 else ''} (B or D is set), so {name} is needed")
    if isinstance(u, (list, tuple)) and any(getattr(item, "ndim", 0) >= 1 for item in u):
        return _read_list_u(list(u), p, N=N, T=T, dtype=dtype, lengths=lengths, name=name)
    array = as_floats(u, name)
    if array.ndim == 1 and p == 1:
        array = array[:, None]
    expected = (T, p) if array.ndim == 2 else (N, T, p)
    if array.ndim not in (2, 3) or array.shape != expected:
        raise KelmanError(_wrong_u(name, array.shape, N, T, p, batched))
    if lengths is not None and array.ndim == 3:
        array = np.where(np.arange(T)[None, :, None] < lengths[:, None, None], array, 0)
    _require_known(array, name)
    array = laid_out(array, dtype, 1)
    if dtype == FLOAT32:
        _require_known(array, name)
    return array if array.ndim == 3 else np.broadcast_to(array, (N, T, p))


def _require_known(array: Array, name: str) -> None:
    require_finite(array, name, "; inputs are known exactly, so none can be missing")


def _wrong_u(name: str, shape: tuple[int, ...], N: int, T: int, p: int, batched: bool) -> str:
    options = [f"({T},)"] * (p == 1) + [f"({T}, {p})"] + [f"({N}, {T}, {p})"] * batched
    message = f"{name}: expected shape {' or '.join(options)}, got {shape}"
    if shape == (p, T) and p != T:
        message += f"; time seems to be on the wrong axis: pass {name}.T"
    elif shape == (N, T) and p == 1 and batched:
        message += f"; for inputs of each series pass {name}[:, :, None]"
    return message


def _read_list_u(items: list[Any], p: int, *, N: int, T: int, dtype: Dtype, lengths: Array | None, name: str) -> Array:
    if len(items) != N:
        raise KelmanError(f"{name}: a list of inputs needs one array for each of the {N} series, got {len(items)}")
    padded = np.zeros((N, T, p), dtype=dtype)
    for i, item in enumerate(items):
        array = as_floats(item, f"{name}[{i}]")
        steps = T if lengths is None else int(lengths[i])
        if array.shape != (steps, p) and not (p == 1 and array.shape == (steps,)):
            raise KelmanError(f"{name}[{i}]: expected shape {(steps, p)}, got {array.shape}")
        _require_known(array, f"{name}[{i}]")
        padded[i, :steps] = array.reshape(steps, p)
    _require_known(collapsed(padded), name)
    return padded
