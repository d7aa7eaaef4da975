# SPDX-License-Identifier: BSD-3-Clause
"""From what users give to one layout that every backend computes on: (N, T, values), one dtype, strides of 0 allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._arrays import (
    as_count,
    as_floats,
    common_dtype,
    converted,
    describe,
    laid_out,
    require_no_infinity,
)
from ..errors import KelmanError, ModelTypeError
from ..models import Elman

if TYPE_CHECKING:
    from .._types import Array, Dtype

WEIGHTS = ("U", "W", "b", "V", "c", "D")
"""Weights of an Elman network in the order of the vector of parameters; D only where there is one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One call on sequences; what a backend gets.

    `x` (N, T, i) is finite up to each series' length, `y` (N, T, o) holds NaN where nothing is counted, `mask`
    (N, T, 1 or o) holds weights >= 0. `h0` (N, h) may have stride 0.
    """

    cell: str
    hidden: str
    output: str
    weights: dict[str, Array]
    h0: Array
    x: Array
    lengths: Array | None
    y: Array | None = None
    mask: Array | None = None
    warmup: int = 0

    def with_weights(self, rnn: Elman) -> Problem:
        """The same data under other weights of the same sizes and dtype."""
        return replace(self, weights=weights_of(rnn, self.x.dtype), h0=start_of(rnn, self.x.dtype, len(self.x)))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the user gave the series, so that results go back the same way: "one" (T, ...), "batch", or "list"."""

    kind: str

    def back(self, array: Array) -> Array:
        """Results of (N, ...) without the series axis where the user gave one series."""
        return array[0] if self.kind == "one" else array


def as_elman(rnn: Any) -> Elman:
    """The network, or an error in the user's words."""
    if not isinstance(rnn, Elman):
        raise ModelTypeError(f"rnn: expected an Elman network, got {describe(rnn)}")
    return rnn


def weights_of(rnn: Elman, dtype: Dtype) -> dict[str, Array]:
    """The weight arrays that the network has, by name."""
    given = {name: getattr(rnn, name) for name in WEIGHTS}
    return {name: converted(value, dtype) for name, value in given.items() if value is not None}


def start_of(rnn: Elman, dtype: Dtype, series: int) -> Array:
    """The state before the first step for each series (N, h)."""
    if rnn.h0 is None:
        return np.broadcast_to(np.zeros(rnn.dims.hidden, dtype), (series, rnn.dims.hidden))
    if rnn.h0.ndim == 2 and len(rnn.h0) != series:
        raise KelmanError(f"rnn.h0: holds starts for {len(rnn.h0)} series, but x has {series}")
    return np.broadcast_to(converted(rnn.h0, dtype), (series, rnn.dims.hidden))


def is_ragged(value: Any) -> bool:
    """Whether a list or tuple holds one array per series (and not the numbers of one array)."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(hasattr(item, "__array__") and np.ndim(item) > 0 for item in value)
    )


def as_series(
    value: Any, name: str, columns: int, letter: str, *, nan_is_missing: bool = False
) -> tuple[Array, Array | None, Layout]:
    """(N, T, columns), lengths of ragged series, and how they were given.

    Accepted: (T,) when `columns` is 1, (T, columns), (N, T, columns), or a list of the first two.
    """
    if is_ragged(value):
        items = [_one_series(item, f"{name}[{k}]", columns, letter, nan_is_missing) for k, item in enumerate(value)]
        return _padded(items)
    array = as_floats(value, name, nan_is_missing=nan_is_missing)
    if array.ndim == 3:
        _check_columns(array, name, columns, letter)
        if array.shape[0] == 0 or array.shape[1] == 0:
            raise KelmanError(f"{name}: expected at least one series and one step, got shape {array.shape}")
        return array, None, Layout("batch")
    return _one_series(array, name, columns, letter, nan_is_missing)[None], None, Layout("one")


def _one_series(value: Any, name: str, columns: int, letter: str, nan_is_missing: bool) -> Array:
    array = as_floats(value, name, nan_is_missing=nan_is_missing)
    if array.ndim == 1 and columns == 1:
        array = array[:, None]
    if array.ndim != 2:
        one = f"(T,), (T, {letter})" if columns == 1 else f"(T, {letter})"
        raise KelmanError(
            f"{name}: expected shape {one}, (N, T, {letter}) or a list of series with {letter} = {columns}, "
            f"got {array.shape}"
        )
    _check_columns(array, name, columns, letter)
    if len(array) == 0:
        raise KelmanError(f"{name}: expected at least one step, got shape {array.shape}")
    return array


def _check_columns(array: Array, name: str, columns: int, letter: str) -> None:
    if array.shape[-1] == columns:
        return
    hint = ""
    if array.shape[-2] == columns:
        hint = f"; time seems to be on the last axis: give {name}.swapaxes(-1, -2)"
    raise KelmanError(
        f"{name}: expected {letter} = {columns} columns on the last axis, as the network has, got shape {array.shape}{hint}"
    )


def _padded(items: list[Array]) -> tuple[Array, Array | None, Layout]:
    lengths = np.array([len(item) for item in items], dtype=np.int64)
    out = np.full((len(items), int(lengths.max()), items[0].shape[1]), np.nan, common_dtype(*(i.dtype for i in items)))
    for row, item in zip(out, items, strict=True):
        row[: len(item)] = item
    return out, lengths, Layout("list")


def as_lengths(lengths: Any, ragged: Array | None, series: int, steps: int) -> Array | None:
    """Lengths (N,) from the argument or from ragged series; None when all are complete."""
    if lengths is None:
        return ragged
    if ragged is not None:
        raise KelmanError("lengths: a list of series has its own lengths; leave the argument out")
    try:
        array = np.asarray(lengths)
    except ValueError:
        raise KelmanError(f"lengths: expected {series} whole numbers, one per series, got a ragged list") from None
    if array.dtype.kind not in "iu" or array.shape != (series,):
        raise KelmanError(
            f"lengths: expected {series} whole numbers, one per series, got dtype {array.dtype} and shape {array.shape}"
        )
    if array.min() < 1 or array.max() > steps:
        raise KelmanError(f"lengths: expected numbers from 1 to {steps}, got {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def within(lengths: Array | None, array: Array) -> Array:
    """True where a step belongs to its series, shaped to broadcast over (N, T, values)."""
    if lengths is None:
        return np.ones((1, 1, 1), dtype=bool)
    return (np.arange(array.shape[1])[None, :] < lengths[:, None])[:, :, None]


def require_inputs_finite(x: Array, lengths: Array | None) -> None:
    """Raise on NaN or infinity in the inputs, which a network cannot skip."""
    finite = np.isfinite(x)
    if lengths is not None:
        finite |= ~within(lengths, x)
    if finite.all():
        return
    n, k, j = (int(v) for v in np.argwhere(~finite)[0])
    raise KelmanError(
        f"x: a network needs every input; got {x[n, k, j]} in series {n}, step {k}, column {j}. "
        "Fill the gap, or cut the series there; only targets may be missing (nan)"
    )


def forward_problem(rnn: Any, x: Any, lengths: Any) -> tuple[Problem, Layout]:
    """Check and lay out what `forward` was given."""
    net = as_elman(rnn)
    array, ragged, layout = as_series(x, "x", net.dims.inputs, "i")
    ends = as_lengths(lengths, ragged, *array.shape[:2])
    dtype = common_dtype(array.dtype, net.dtype)
    array = laid_out(array, dtype, 1)
    require_inputs_finite(array, ends)
    start = start_of(net, dtype, len(array))
    return Problem("elman", net.hidden, net.output, weights_of(net, dtype), start, array, ends), layout


def loss_problem(
    rnn: Any, x: Any, y: Any, *, mask: Any = None, lengths: Any = None, warmup: Any = 0, dtype: Dtype | None = None
) -> tuple[Problem, Layout]:
    """Check and lay out what a loss was given; at least one number must be counted."""
    net = as_elman(rnn)
    problem, layout = forward_problem(net, x, lengths)
    target, ragged, target_layout = as_series(y, "y", net.dims.outputs, "o", nan_is_missing=True)
    if target_layout != layout or target.shape[:2] != problem.x.shape[:2]:
        raise KelmanError(
            f"y: expected the series and steps of x, {_told(problem.x, layout)}, got {_told(target, target_layout)}"
        )
    if ragged is not None and (ragged != problem.lengths).any():
        n = int(np.argmax(ragged != problem.lengths))
        raise KelmanError(f"y[{n}]: expected {cast('Array', problem.lengths)[n]} steps as in x[{n}], got {ragged[n]}")
    require_no_infinity(np.where(within(problem.lengths, target), target, 0), "y")
    steps = problem.x.shape[1]
    skipped = as_count(warmup, "warmup", least=0)
    if skipped >= steps:
        raise KelmanError(f"warmup: expected fewer than the {steps} steps, got {skipped}")
    wanted = dtype or common_dtype(problem.x.dtype, target.dtype)
    weights = None if mask is None else as_mask(mask, problem, layout, net.dims.outputs, wanted)
    result = replace(
        problem,
        weights={name: converted(value, wanted) for name, value in problem.weights.items()},
        h0=converted(problem.h0, wanted),
        x=laid_out(problem.x, wanted, 1),
        y=laid_out(target, wanted, 1),
        mask=weights,
        warmup=skipped,
    )
    _require_something_counted(result)
    return result, layout


def _told(array: Array, layout: Layout) -> str:
    n, steps = array.shape[:2]
    return f"one series of {steps} steps" if layout.kind == "one" else f"{n} series of {steps} steps ({layout.kind})"


def as_mask(mask: Any, problem: Problem, layout: Layout, outputs: int, dtype: Dtype) -> Array:
    """Weights (N, T, 1) or (N, T, o): zero or positive, finite."""
    n, steps = problem.x.shape[:2]
    if layout.kind == "list":
        if not is_ragged(mask) or len(mask) != n:
            raise KelmanError(f"mask: expected a list of {n} arrays, one per series of x, got {describe(mask)}")
        items = [_column_mask(as_floats(item, f"mask[{k}]")) for k, item in enumerate(mask)]
        wide = {item.shape[1] for item in items}
        if len(wide) != 1:
            raise KelmanError(f"mask: expected the same number of columns in every series, got {sorted(wide)}")
        array, lengths, _ = _padded(items)
        if not np.array_equal(cast("Array", lengths), cast("Array", problem.lengths)):
            raise KelmanError("mask: expected as many steps as x in every series")
        array = np.nan_to_num(array, nan=0.0) if np.isfinite(array[within(lengths, array)[:, :, 0]]).all() else array
    else:
        array = as_floats(mask, "mask")
        array = array[None] if layout.kind == "one" else array
        array = array[:, :, None] if array.ndim == 2 else array
    if array.shape not in ((n, steps, 1), (n, steps, outputs)):
        shapes = (
            f"({steps},) or ({steps}, {outputs})"
            if layout.kind == "one"
            else f"({n}, {steps}) or ({n}, {steps}, {outputs})"
        )
        raise KelmanError(
            f"mask: expected shape {shapes} to match y, got {np.shape(mask) if layout.kind != 'list' else array.shape}"
        )
    if not (np.isfinite(array) & (array >= 0)).all():
        raise KelmanError("mask: expected finite weights that are zero or positive (or booleans: True is counted)")
    return laid_out(array, dtype, 1)


def _column_mask(array: Array) -> Array:
    return array[:, None] if array.ndim == 1 else array


def counted(problem: Problem) -> Array:
    """Weight of every number of y: zero in the warm-up, past the lengths, where y is NaN, and where the mask says so."""
    y = cast("Array", problem.y)
    weight = (~np.isnan(y) & within(problem.lengths, y)).astype(y.dtype)
    weight[:, : problem.warmup] = 0
    return weight if problem.mask is None else weight * problem.mask


def _require_something_counted(problem: Problem) -> None:
    if not counted(problem).any():
        raise KelmanError(
            "y: nothing is left to count: every target is missing, masked, past its series' length or in the warm-up "
            f"of {problem.warmup} steps"
        )
