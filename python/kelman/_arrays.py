# SPDX-License-Identifier: BSD-3-Clause
"""The only coercion of users' arrays: what may come in, as which dtype, and in which layout it goes on.

| what comes | what becomes of it |
| --- | --- |
| float64, float32 of this machine's byte order | kept, not copied when its inner axes are C-contiguous |
| other byte order, float16 | the same numbers as float64, float32 |
| integers, booleans | float64 |
| longdouble, complex, object, strings, dates | refused, naming the argument |
| negative or non-contiguous strides, unaligned | copied |
| a masked array | its masked entries become NaN where NaN means missing; refused elsewhere |
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._types import Array, Dtype

FLOAT64: Dtype = np.dtype(np.float64)
FLOAT32: Dtype = np.dtype(np.float32)


def as_floats(value: Any, name: str, *, nan_is_missing: bool = False) -> Array:
    """Return `value` as a float64 or float32 array of native byte order, copying only to convert.

    Parameters
    ----------
    value : array_like
        What the user gave.
    name : str
        The argument's name, for the message.
    nan_is_missing : bool
        Whether masked entries may become NaN.
    """
    if isinstance(value, np.ma.MaskedArray):
        value = _unmask(value, name, nan_is_missing)
    if isinstance(value, np.ndarray):
        array: Array = np.asarray(value)
    elif value is None:
        raise KelmanError(f"{name}: expected an array of numbers, got None")
    elif isinstance(value, (str, bytes, dict, set, frozenset)):
        raise KelmanError(f"{name}: expected an array of numbers, got {describe(value)}")
    else:
        try:
            array = np.asarray(value)
        except Exception as error:  # third-party __array__ methods raise anything
            raise KelmanError(f"{name}: cannot be read as an array of numbers: {_first_line(error)}") from error
    return _as_float_dtype(array, name)


def _as_float_dtype(array: Array, name: str) -> Array:
    dtype = array.dtype
    if dtype in (FLOAT64, FLOAT32):
        if dtype.isnative and dtype.char != "g":
            return array
        if dtype.char != "g":
            return array.astype(dtype.newbyteorder("="))
    kind = dtype.kind
    if kind in "biu":
        return array.astype(np.float64)
    if kind == "f" and dtype.itemsize == 2:
        return array.astype(np.float32)
    if kind == "f" and dtype.char != "g":  # the other byte order
        return array.astype(dtype.newbyteorder("="))
    raise KelmanError(
        f"{name}: expected real numbers (float64 or float32; integers and booleans are converted), got {_refused(array)}"
    )


def _refused(array: Array) -> str:
    kind = array.dtype.kind
    if kind == "f":
        return f"{array.dtype.name} (longdouble): give {array.dtype.name} data as .astype(numpy.float64)"
    if kind == "c":
        return f"{array.dtype.name}: give the real part"
    if kind == "O":
        held = next((item for item in array.flat if not isinstance(item, (int, float))), None)
        shown = f" (for example {held!r:.60})" if array.size else ""
        return f"an array of Python objects{shown}: give .astype(float), with nan for what is missing"
    if kind in "US":
        return "text"
    if kind in "Mm":
        return "dates or time differences"
    return f"dtype {array.dtype}"


def _unmask(value: Any, name: str, nan_is_missing: bool) -> Array:
    if not np.ma.is_masked(value):
        return np.asarray(value.data)
    if not nan_is_missing:
        raise KelmanError(f"{name}: holds masked entries; every entry is needed")
    data = _as_float_dtype(np.asarray(value.data), name)
    return np.where(np.ma.getmaskarray(value), data.dtype.type(np.nan), data)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def describe(value: Any) -> str:
    """Say in a few words what a value is, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, str):
        return f"the text {value!r:.60}"
    if value is None:
        return "None"
    return f"a {type(value).__name__}"


def common_dtype(*dtypes: Dtype | None) -> Dtype:
    """Return float64 if any of the dtypes is, else float32 (float64 if there is none)."""
    if FLOAT64 in dtypes:
        return FLOAT64
    given = [dtype for dtype in dtypes if dtype is not None]
    return FLOAT32 if given and all(dtype == FLOAT32 for dtype in given) else FLOAT64


def well_laid_out(array: Array, inner: int) -> bool:
    """Whether the last `inner` axes are C-contiguous and the leading ones have strides that a kernel can walk."""
    flags = array.flags
    if not flags.aligned:
        return False
    if flags.c_contiguous:
        return True
    expected = array.itemsize
    for axis in range(array.ndim - 1, array.ndim - 1 - inner, -1):
        if array.shape[axis] > 1 and array.strides[axis] != expected:
            return False
        expected *= array.shape[axis]
    return all(
        array.strides[axis] >= 0 and array.strides[axis] % array.itemsize == 0
        for axis in range(array.ndim - inner)
        if array.shape[axis] > 1
    )


def laid_out(array: Array, dtype: Dtype, inner: int) -> Array:
    """Return `array` in `dtype` with its last `inner` axes C-contiguous, copying only if it is not so already."""
    if array.dtype != dtype:
        return converted(array, dtype)
    return array if well_laid_out(array, inner) else np.require(array, requirements=("C", "A"))


def converted(array: Array, dtype: Dtype) -> Array:
    """Return `array` in `dtype`, C-contiguous, keeping axes of stride 0 as they are."""
    if array.dtype == dtype:
        return array
    return np.broadcast_to(contiguous(collapsed(array), dtype), array.shape)


def contiguous(array: Array, dtype: Dtype) -> Array:
    """Return `array` in `dtype`, C-contiguous; what float32 cannot hold becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def collapsed(array: Array) -> Array:
    """Return `array` with every axis of stride 0 cut to length 1."""
    if array.size == 0 or 0 not in array.strides:
        return array
    return array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]


def frozen(array: Array, inner: int) -> Array:
    """Return a read-only array with the same numbers: itself if nobody can write to it, else a copy."""
    if _nobody_writes(array) and well_laid_out(array, inner):
        return array
    copy = np.array(collapsed(array), order="C")
    copy.flags.writeable = False
    return copy if copy.shape == array.shape else np.broadcast_to(copy, array.shape)


def _nobody_writes(array: Array) -> bool:
    holder: Any = array
    while isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            return False
        holder = holder.base
    return holder is None or isinstance(holder, bytes)


def require_finite(array: Array, name: str, why: str = "") -> None:
    """Raise if `array` holds NaN or infinity, naming the first place."""
    finite = np.isfinite(collapsed(array))
    if finite.all():
        return
    place = tuple(int(index) for index in np.argwhere(~finite)[0])
    raise KelmanError(f"{name}: every entry must be finite, got {array[place]} at index {list(place)}{why}")


def require_no_infinity(array: Array, name: str) -> None:
    """Raise if `array` holds an infinity, naming the first place (NaN is allowed)."""
    infinite = np.isinf(collapsed(array))
    if infinite.any():
        place = tuple(int(index) for index in np.argwhere(infinite)[0])
        raise KelmanError(
            f"{name}: infinite value {array[place]} at index {list(place)}; a missing value is nan, not infinity"
        )


_MOST = 2**40


def as_count(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number that is at least `least`, and not absurdly big."""
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if isinstance(value, (bool, np.bool_)) or count < least:
        raise KelmanError(f"{name}: expected a whole number of at least {least}, got {value!r:.60}")
    if count > _MOST:
        raise KelmanError(f"{name}: expected at most 2**40, got {count:.6g}")
    return count


def as_flag(value: Any, name: str) -> bool:
    """Return True or False, or raise naming the argument."""
    if not isinstance(value, (bool, np.bool_)):
        raise KelmanError(f"{name}: expected True or False, got {value!r:.60}")
    return bool(value)


def room(*shape: int, name: str) -> Array:
    """Return an uninitialised float64 array, or raise naming the argument that made it too big."""
    try:
        return np.empty(shape)
    except (MemoryError, ValueError) as error:
        raise KelmanError(f"{name}: the result, of shape {shape}, does not fit into memory") from error


def one_of(value: Any, name: str, options: Sequence[str]) -> str:
    """Return `value` if it is one of the words `options`."""
    if isinstance(value, str) and value in options:
        return value
    raise KelmanError(f"{name}: expected one of {', '.join(map(repr, options))}, got {value!r:.60}")
