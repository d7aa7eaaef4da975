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
    one_of,
    require_no_infinity,
)
from ..errors import KelmanError, ModelTypeError
from ..models import Bidirectional, Cell, Stack

if TYPE_CHECKING:
    from .._types import Array, Dtype

Network = Cell | Bidirectional | Stack
"""What the verbs take."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One call on sequences; what a backend gets.

    `cell` is "elman", "gru" or "lstm", `options` are its words. `weights` holds what there is: without V (and c) the state
    is the output. `x` (N, T, i) is finite up to each series' length, `y` (N, T, o) holds NaN where nothing is counted, `mask`
    (N, T, 1 or o) holds weights >= 0. `h0` (N, h), and `c0` (N, h) of an LSTM, may have stride 0. Of a network of several
    cells (`cell` "composed") only the data are here: they are computed cell by cell.
    """

    cell: str
    options: dict[str, str]
    output: str
    weights: dict[str, Array]
    h0: Array
    x: Array
    lengths: Array | None
    y: Array | None = None
    mask: Array | None = None
    warmup: int = 0
    c0: Array | None = None

    @property
    def hidden(self) -> str:
        """The hidden activation of an Elman network."""
        return self.options["hidden"]

    def with_weights(self, rnn: Cell) -> Problem:
        """The same data under other weights of the same sizes and dtype."""
        starts = starts_of(rnn, self.x.dtype, len(self.x))
        return replace(self, weights=weights_of(rnn, self.x.dtype), h0=starts["h0"], c0=starts.get("c0"))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the user gave the series, so that results go back the same way: "one" (T, ...), "batch", or "list"."""

    kind: str

    def back(self, array: Array) -> Array:
        """Results of (N, ...) without the series axis where the user gave one series."""
        return array[0] if self.kind == "one" else array


def as_network(rnn: Any) -> Network:
    """The network, of one cell or several, or an error in the user's words."""
    if not isinstance(rnn, (Cell, Bidirectional, Stack)):
        raise ModelTypeError(f"rnn: expected an Elman, GRU, LSTM, Bidirectional or Stack network, got {describe(rnn)}")
    return rnn


def weights_of(rnn: Cell, dtype: Dtype) -> dict[str, Array]:
    """The weight arrays that the network has, by name."""
    return {name: converted(value, dtype) for name, value in rnn.weights.items()}


def starts_of(rnn: Cell, dtype: Dtype, series: int) -> dict[str, Array]:
    """The state before the first step for each series: h0 (N, h), and c0 (N, h) of an LSTM."""
    hidden, found = rnn.dims.hidden, {}
    for name in rnn.STARTS:
        start = getattr(rnn, name)
        if start is None:
            found[name] = np.zeros((series, hidden), dtype)
            continue
        if start.ndim == 2 and len(start) != series:
            raise KelmanError(f"rnn.{name}: holds starts for {len(start)} series, but x has {series}")
        found[name] = np.broadcast_to(converted(start, dtype), (series, hidden))
    return found


def cell_problem(rnn: Cell, x: Array, lengths: Array | None) -> Problem:
    """What a backend gets for one cell on inputs (N, T, i) that are laid out."""
    dtype = x.dtype
    options = {name: getattr(rnn, name) for name in rnn.OPTIONS}
    starts = starts_of(rnn, dtype, len(x))
    return Problem(rnn.WORD, options, rnn.output, weights_of(rnn, dtype), starts["h0"], x, lengths, c0=starts.get("c0"))


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


def forward_problem(rnn: Any, x: Any, lengths: Any, *, check: bool = True) -> tuple[Problem, Layout]:
    """Check and lay out what `forward` was given; with `check`, that the inputs are finite."""
    net = as_network(rnn)
    array, ragged, layout = as_series(x, "x", net.dims.inputs, "i")
    ends = as_lengths(lengths, ragged, *array.shape[:2])
    dtype = common_dtype(array.dtype, net.dtype)
    array = laid_out(array, dtype, 1)
    if check:
        require_inputs_finite(array, ends)
    if isinstance(net, Cell):
        return cell_problem(net, array, ends), layout
    if net.dims.N is not None and len(array) != net.dims.N:
        raise KelmanError(f"rnn: holds starts for {net.dims.N} series, but x has {len(array)}")
    nothing = np.zeros((len(array), 0), dtype)
    return Problem("composed", {}, "identity", {}, nothing, array, ends), layout


def loss_problem(
    rnn: Any,
    x: Any,
    y: Any,
    *,
    mask: Any = None,
    lengths: Any = None,
    warmup: Any = 0,
    steps: Any = "all",
    dtype: Dtype | None = None,
    check: bool = True,
) -> tuple[Problem, Layout]:
    """Check and lay out what a loss was given; with `check`, also its numbers, at least one of which must be counted."""
    net = as_network(rnn)
    problem, layout = forward_problem(net, x, lengths, check=check)
    last = one_of(steps, "steps", ("all", "last")) == "last"
    y = spread_last(y, problem, layout, net.dims.outputs) if last else y
    target, ragged, target_layout = as_series(y, "y", net.dims.outputs, "o", nan_is_missing=True)
    if target_layout != layout or target.shape[:2] != problem.x.shape[:2]:
        raise KelmanError(
            f"y: expected the series and steps of x, {_told(problem.x, layout)}, got {_told(target, target_layout)}"
        )
    if ragged is not None and (ragged != problem.lengths).any():
        n = int(np.argmax(ragged != problem.lengths))
        raise KelmanError(f"y[{n}]: expected {cast('Array', problem.lengths)[n]} steps as in x[{n}], got {ragged[n]}")
    longest = problem.x.shape[1]
    skipped = as_count(warmup, "warmup", least=0)
    if skipped >= longest:
        raise KelmanError(f"warmup: expected fewer than the {longest} steps, got {skipped}")
    wanted = dtype or common_dtype(problem.x.dtype, target.dtype)
    weights = None if mask is None else as_mask(mask, problem, layout, net.dims.outputs, wanted)
    if last:
        only = last_steps(problem, wanted)
        weights = only if weights is None else weights * only
    result = replace(
        problem if wanted == problem.x.dtype else _converted(problem, wanted),
        y=laid_out(target, wanted, 1),
        mask=weights,
        warmup=skipped,
    )
    if check:
        require_targets(result)
    return result, layout


def require_targets(problem: Problem) -> None:
    """Refuse targets that are infinite, and those of which none is counted."""
    y, ends = cast("Array", problem.y), problem.lengths
    complete = bool(np.isfinite(y).all())
    if not complete:
        require_no_infinity(y if ends is None else np.where(within(ends, y), y, 0), "y")
    if not complete or problem.mask is not None or (ends is not None and ends.max() <= problem.warmup):
        _require_something_counted(problem)


def _converted(problem: Problem, dtype: Dtype) -> Problem:
    """The problem in another dtype."""
    return replace(
        problem,
        weights={name: converted(value, dtype) for name, value in problem.weights.items()},
        h0=converted(problem.h0, dtype),
        c0=None if problem.c0 is None else converted(problem.c0, dtype),
        x=laid_out(problem.x, dtype, 1),
    )


def last_steps(problem: Problem, dtype: Dtype) -> Array:
    """1 at the last step of every series, 0 elsewhere: (N, T, 1)."""
    n, steps = problem.x.shape[:2]
    ends = np.full(n, steps) if problem.lengths is None else problem.lengths
    only: Array = np.arange(steps)[None, :] == ends[:, None] - 1
    return only[:, :, None].astype(dtype)


def spread_last(y: Any, problem: Problem, layout: Layout, outputs: int) -> Any:
    """Targets of the last step alone, (o,) or (N, o), as targets of all steps; anything else as it is."""
    n, steps = problem.x.shape[:2]
    if layout.kind == "list" and is_ragged(y):
        return y
    array = as_floats(y, "y", nan_is_missing=True)
    shape = (outputs,) if layout.kind == "one" else (n, outputs)
    if array.shape != shape or (layout.kind == "one" and steps == outputs == 1):
        return y
    full = np.full((n, steps, outputs), np.nan, array.dtype)
    ends = np.full(n, steps) if problem.lengths is None else problem.lengths
    full[np.arange(n), ends - 1] = array
    if layout.kind == "list":
        return [series[:end] for series, end in zip(full, ends, strict=True)]
    return layout.back(full)


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
