# SPDX-License-Identifier: BSD-3-Clause
"""One recurrent cell as a differentiable function of tensors: the compiled kernels on a CPU, PyTorch's own loop elsewhere.

Tensors and NumPy arrays share their memory; nothing is copied unless the last axis of a tensor is not contiguous.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kelman import _registry
from kelman._arrays import laid_out
from kelman.config import backend_name, thread_count
from kelman.errors import KelmanError
from kelman.models import Cell
from kelman.rnn._compute import run_cell
from kelman.rnn._problem import Problem
from kelman.torch import _cells


class Run(NamedTuple):
    """What a cell computes.

    Attributes
    ----------
    y : Tensor, shape (N, T, o) or (T, o)
        Outputs; the states where there is no V. Zero past a series' length.
    h : Tensor, shape (N, T, h) or (T, h)
        States.
    c : Tensor, shape (N, h) or (h,), or None
        Memory of an LSTM after the last step of each series.
    """

    y: Tensor
    h: Tensor
    c: Tensor | None


class Call(NamedTuple):
    """All of a call that is no tensor, and the names of its tensors after x."""

    kind: type[Cell]
    options: dict[str, str]
    output: str
    names: tuple[str, ...]
    lengths: NDArray[np.int64] | None
    threads: int | None

    def problem(self, x: Tensor, tensors: tuple[Tensor, ...]) -> Problem:
        """What the backend gets: views of the tensors' memory."""
        arrays = {name: array_of(tensor) for name, tensor in zip(self.names, tensors, strict=True)}
        starts = {name: arrays.pop(name) for name in self.kind.STARTS}
        arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        return Problem(
            self.kind.WORD, self.options, self.output, arrays, starts["h0"], array_of(x), self.lengths,
            c0=starts.get("c0"),
        )  # fmt: skip


def _threads(count: int | None) -> int:
    """As many as were asked for, else as PyTorch takes."""
    return thread_count(torch.get_num_threads() if count is None else count)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The tensor's numbers as an array that kernels can walk, without a copy where the last axis is contiguous."""
    array: NDArray[Any] = tensor.detach().numpy()
    return laid_out(array, array.dtype, 1)


class _Recurrence(torch.autograd.Function):
    """Forward and backward by the kernels."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, *tensors: Tensor) -> tuple[Any, ...]:
        """Outputs (None without a readout), states, last memories (None without memory)."""
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *tensors)
        ctx.save_for_forward(x, *tensors)
        raw = run_cell(call.problem(x, tensors), _registry.backend("rnn", "core"), _threads(call.threads))
        _blank(raw, call.lengths)
        y = torch.from_numpy(raw["y"]) if "V" in call.names else None
        memory = torch.from_numpy(_last(raw["c"], call.lengths)) if "c0" in call.names else None
        return y, torch.from_numpy(raw["h"]), memory

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Tensor | None) -> tuple[Any, ...]:
        """Directional derivatives of the results (forward mode)."""
        call, (x, *tensors) = ctx.call, ctx.saved_tensors
        given = zip(("x", *call.names), tangents, strict=True)
        moved = {name: np.ascontiguousarray(array_of(tangent)) for name, tangent in given if tangent is not None}
        raw = _registry.backend("rnn", "core").jvp_raw(call.problem(x, tensors), moved, _threads(call.threads))
        _blank(raw, call.lengths)
        y = torch.from_numpy(raw["y"]) if "V" in call.names else None
        memory = torch.from_numpy(_last(raw["c"], call.lengths)) if "c0" in call.names else None
        return y, torch.from_numpy(raw["h"]), memory

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        """Gradients by x and every tensor."""
        call, (x, *tensors) = ctx.call, ctx.saved_tensors
        g_y, g_h, g_c = (None if g is None else array_of(g) for g in gradients)
        by_x = ctx.needs_input_grad[1]
        memory = {"g_c": g_c} if "c0" in call.names and g_c is not None else {}
        if g_y is None and g_h is None:
            g_h = np.zeros((*x.shape[:2], tensors[0].shape[1]), array_of(x).dtype)
        found = _registry.backend("rnn", "core").vjp_raw(
            call.problem(x, tensors), g_y, g_h, _threads(call.threads), want_x=by_x, **memory
        )
        results: list[Any] = [torch.from_numpy(found["x"]) if by_x else None]
        results += [torch.from_numpy(found[name]) for name in call.names]
        return None, *once(results, (x, *tensors), *(g for g in gradients if g is not None))


class Once(torch.autograd.Function):
    """Gradients that cannot be differentiated again, and say so when it is tried."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The first `count` tensors; the others are what they depend on."""
        del ctx
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Refuse."""
        del ctx, gradients
        raise KelmanError(
            "kelman.torch: double backward is not supported: the compiled gradients cannot be differentiated again. "
            "Compute with PyTorch where you need second derivatives (torch.nn, or KELMAN_BACKEND=torch)"
        )


def once(results: list[Any], saved: Any, *gradients: Tensor) -> list[Any]:
    """The gradients, which say so where they are differentiated again (with create_graph only: grad mode is on then)."""
    if not torch.is_grad_enabled():
        return results
    there = [k for k, one in enumerate(results) if one is not None]
    refusing = Once.apply(len(there), *(results[k] for k in there), *saved, *gradients)
    for k, one in zip(there, refusing, strict=True):
        results[k] = one
    return results


def recurrence(
    kind: type[Cell],
    x: Tensor,
    given: dict[str, Tensor | None],
    options: dict[str, str],
    output: str,
    lengths: Any,
    threads: int | None,
) -> Run:
    """Run a cell on x (N, T, i) or (T, i); `given` are its weights and starts by name."""
    if not isinstance(x, Tensor) or x.ndim not in (2, 3) or 0 in x.shape:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise KelmanError(f"x: expected a tensor of shape (N, T, i) or (T, i), got {shape}")
    single = x.ndim == 2
    x = x[None] if single else x
    tensors = _complete(kind, x, given, options, output)
    ends = _lengths(lengths, x)
    names = tuple(tensors)
    call = Call(kind, options, output, names, ends, threads)
    everything = (x, *tensors.values())
    if kernels_take(everything):
        y, h, c = _Recurrence.apply(call, *everything)
        y = h if y is None else y
    else:
        y, h, c = _loop(call, x, tensors)
    if single:
        y, h, c = y[0], h[0], None if c is None else c[0]
    return Run(y, h, c)


def kernels_take(tensors: tuple[Tensor, ...]) -> bool:
    """Whether the core is what computes here, and all tensors are of one precision that it has, in the CPU's memory."""
    if backend_name(None) != "core":
        return False
    dtypes = {tensor.dtype for tensor in tensors}
    return (
        len(dtypes) == 1 and dtypes <= {torch.float32, torch.float64} and all(t.device.type == "cpu" for t in tensors)
    )


def _complete(
    kind: type[Cell], x: Tensor, given: dict[str, Tensor | None], options: dict[str, str], output: str
) -> dict[str, Tensor]:
    """The tensors of a cell in order, checked, with zeros for what was left out; starts for each series."""
    tensors = {name: value for name, value in given.items() if value is not None}
    for name in ("U", "W"):
        if name not in tensors:
            raise KelmanError(f"{name}: a network needs this weight matrix, got None")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise KelmanError(f"{name}: expected a tensor, got a {type(tensor).__name__}")
    kind.check_readout(tensors, output)
    sizes = kind.sizes_of(tensors)
    for name in kind.zeros_of(tensors, options):
        tensors.setdefault(name, x.new_zeros([sizes[letter] for letter in kind.SHAPES[name]]))
    kind.check_shapes(tensors, sizes)
    if x.shape[2] != sizes["i"]:
        raise KelmanError(f"x: expected {sizes['i']} columns on the last axis, got shape {tuple(x.shape)}")
    for name in kind.STARTS:
        start = tensors.get(name)
        start = x.new_zeros(sizes["h"]) if start is None else start
        if start.ndim == 2 and len(start) != len(x):
            raise KelmanError(f"{name}: holds starts for {len(start)} series, but x has {len(x)}")
        tensors[name] = start.expand(len(x), sizes["h"])
    return {name: tensors[name] for name in (*kind.SHAPES, *kind.STARTS) if name in tensors}


def _lengths(lengths: Any, x: Tensor) -> NDArray[np.int64] | None:
    if lengths is None:
        return None
    ends = np.asarray(lengths.cpu() if isinstance(lengths, Tensor) else lengths)
    if ends.dtype.kind not in "iu" or ends.shape != (len(x),) or ends.min() < 1 or ends.max() > x.shape[1]:
        raise KelmanError(f"lengths: expected {len(x)} whole numbers from 1 to {x.shape[1]}, got {lengths!r:.80}")
    return np.ascontiguousarray(ends, dtype=np.int64)


def _blank(raw: dict[str, Any], lengths: NDArray[np.int64] | None) -> None:
    """Write zeros past the lengths."""
    if lengths is not None:
        past = np.arange(raw["h"].shape[1])[None, :] >= lengths[:, None]
        for name in ("y", "h"):
            raw[name][past] = 0


def _last(track: NDArray[Any], lengths: NDArray[np.int64] | None) -> NDArray[Any]:
    ends = np.full(len(track), track.shape[1]) if lengths is None else lengths
    found: NDArray[Any] = track[np.arange(len(track)), ends - 1]
    return found


def _loop(call: Call, x: Tensor, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same in plain PyTorch, wherever the tensors are."""
    start = tuple(tensors[name] for name in call.kind.STARTS)
    if call.lengths is None:
        inside = None
    else:
        ends = torch.as_tensor(call.lengths, device=x.device)
        inside = (torch.arange(x.shape[1], device=x.device) < ends[:, None])[..., None]
        x = torch.where(inside, x, 0)
    tracks = _cells.run(call.kind.WORD, call.options, call.output, tensors, start, x)
    memory = tracks.c
    if memory is not None:
        memory = memory[:, -1] if inside is None else memory[torch.arange(len(x), device=x.device), ends - 1]
    if inside is None:
        return tracks.y, tracks.h, memory
    return torch.where(inside, tracks.y, 0), torch.where(inside, tracks.h, 0), memory
