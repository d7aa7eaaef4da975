# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the matrices that enter the algebra of linear systems: real, finite, of agreeing sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kelman._arrays import as_count, as_floats
from kelman.errors import KelmanError

FloatArray = NDArray[Any]  # always float64 here; numpy's own annotations are wider


def real_array(name: str, value: ArrayLike) -> FloatArray:
    """Convert to a float64 array; refuse what is not made of finite real numbers."""
    array = np.ascontiguousarray(as_floats(value, name), dtype=np.float64)
    if not np.isfinite(array).all():
        raise KelmanError(f"{name}: every entry must be finite; it holds NaN or inf")
    return array


def matrix(name: str, value: ArrayLike, rows: int | None = None, cols: int | None = None, why: str = "") -> FloatArray:
    """A finite real matrix with the stated number of rows and columns (None: any)."""
    array = real_array(name, value)
    fits = array.ndim == 2 and (rows is None or array.shape[0] == rows) and (cols is None or array.shape[1] == cols)
    if not fits:
        expected = f"({'any' if rows is None else rows}, {'any' if cols is None else cols})"
        reason = f" {why}" if why else ""
        raise KelmanError(f"{name}: expected shape {expected}{reason}, got {array.shape}")
    return array


def square(name: str, value: ArrayLike, size: int | None = None, why: str = "") -> FloatArray:
    """A finite real square matrix."""
    array = real_array(name, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or (size is not None and array.shape[0] != size):
        expected = "a square matrix" if size is None else f"shape ({size}, {size})"
        reason = f" {why}" if why else ""
        raise KelmanError(f"{name}: expected {expected}{reason}, got shape {array.shape}")
    return array


def covariance(name: str, value: ArrayLike, size: int, why: str = "") -> FloatArray:
    """A symmetric positive semi-definite matrix (to rounding), returned exactly symmetric."""
    array = square(name, value, size, why)
    if size == 0:
        return array
    scale = float(np.abs(array).max())
    if not np.allclose(array, array.T, rtol=0.0, atol=1e-8 * scale):
        i, j = np.unravel_index(int(np.abs(array - array.T).argmax()), array.shape)
        raise KelmanError(
            f"{name}: a covariance must be symmetric; entries ({i}, {j}) = {array[i, j]:.6g} "
            f"and ({j}, {i}) = {array[j, i]:.6g} differ"
        )
    array = (array + array.T) / 2
    lowest = float(np.linalg.eigvalsh(array)[0])
    if lowest < -1e-8 * scale:
        raise KelmanError(f"{name}: a covariance must be positive semi-definite; its lowest eigenvalue is {lowest:.6g}")
    return array


def integer(name: str, value: Any, lowest: int) -> int:
    """Return an integer not below ``lowest`` (bool refused)."""
    return as_count(value, name, least=lowest)


def number_between(name: str, value: Any, low: float, high: float) -> float:
    """Return a real number strictly between two bounds (bool refused)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)) or not low < value < high:
        raise KelmanError(f"{name}: expected a number between {low:g} and {high:g}, got {value!r:.60}")
    return float(value)


def symmetric(array: FloatArray) -> FloatArray:
    """The symmetric part."""
    return (array + array.swapaxes(-1, -2)) / 2
