# SPDX-License-Identifier: BSD-3-Clause
"""Users' series for the read-outs: always a list of float64 arrays (T_i, k), whatever came in."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kelman._arrays import as_floats, require_finite
from kelman.errors import KelmanError

__all__: list[str] = []

FloatArray: TypeAlias = NDArray[Any]


def real_array(name: str, value: Any) -> FloatArray:
    """Float64 array of finite real numbers; everything else is refused by name."""
    array = as_floats(value, name).astype(np.float64, copy=False)
    require_finite(array, name, " (a network has no gain for missing values: use kelman.filter)" if name == "z" else "")
    return array


def series_list(name: str, value: Any, width: int | None = None) -> list[FloatArray]:
    """Split (T,), (T, k), (N, T, k) or a ragged list into a list of (T_i, k)."""
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) and item.ndim > 0 for item in value):
        items = [real_array(name, item) for item in value]
        items = [item[:, None] if item.ndim == 1 else item for item in items]
        bad = [item.shape for item in items if item.ndim != 2]
        if bad:
            raise KelmanError(f"{name}: expected every series of the list to be (T,) or (T, k), got {bad[0]}")
    else:
        array = real_array(name, value)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim not in (2, 3):
            raise KelmanError(f"{name}: expected shape (T,), (T, k) or (N, T, k), got {array.shape}")
        items = list(array) if array.ndim == 3 else [array]
    if not items:
        raise KelmanError(f"{name}: expected at least one series, got none")
    k = items[0].shape[1] if width is None else width
    for item in items:
        if item.shape[1] != k:
            turn = " (time runs along the first axis: transpose?)" if item.shape[0] == k else ""
            raise KelmanError(f"{name}: expected {k} columns, got shape {item.shape}{turn}")
        if item.shape[0] < 1:
            raise KelmanError(f"{name}: expected at least one time step, got shape {item.shape}")
    return items


def paired_series(z: Any, u: Any, m: int | None, p: int | None) -> tuple[list[FloatArray], list[FloatArray]]:
    """Measurements and inputs as two lists of equal lengths; inputs of width 0 where there are none."""
    zs = series_list("z", z, m)
    if u is None:
        if p:
            raise KelmanError(f"u: expected {p} input columns beside z, got None")
        return zs, [np.zeros((len(item), 0)) for item in zs]
    if p == 0:
        raise KelmanError("u: expected None, because nothing here has inputs")
    us = series_list("u", u, p)
    if len(us) == 1 and len(zs) > 1:
        us = us * len(zs)
    if len(us) != len(zs):
        raise KelmanError(f"u: expected {len(zs)} series to go with z, got {len(us)}")
    for i, (a, b) in enumerate(zip(zs, us, strict=True)):
        if len(a) != len(b):
            raise KelmanError(f"u: expected {len(a)} steps to go with z (series {i}), got {len(b)}")
    return zs, us


def restore(like: Any, items: list[FloatArray]) -> Any:
    """Give a list of (T_i, k) the shape family of the user's argument: (T, k), (N, T, k) or a list."""
    if isinstance(like, list | tuple) and any(isinstance(item, np.ndarray) and item.ndim > 0 for item in like):
        return items
    return np.stack(items) if np.asarray(like).ndim == 3 else items[0]
