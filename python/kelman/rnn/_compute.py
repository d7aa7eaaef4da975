# SPDX-License-Identifier: BSD-3-Clause
"""Networks of several cells, composed from the forward and backward passes of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import _core, _registry
from ..config import backend_name
from ..errors import BackendError
from ..models import ACTIVATIONS, Bidirectional, Cell, Stack
from ._problem import cell_problem, counted, within

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Network, Problem

Raw = dict[str, Any]


def cells_of(net: Network) -> tuple[Cell, ...]:
    """All cells of a network, from the input to the output."""
    if isinstance(net, Stack):
        return tuple(cell for layer in net.layers for cell in cells_of(layer))
    return (net.forward, net.backward) if isinstance(net, Bidirectional) else (net,)


def backend_for(net: Network, name: str | None, *functions: str) -> Any:
    """The module that computes a network; an error where the compiled core has not got a function for one of its cells."""
    module = _registry.backend("rnn", name)
    if backend_name(name) == "core":
        native = _core.recurrent()
        for cell in cells_of(net):
            if not all(hasattr(native, f"{cell.WORD}_{one}") for one in functions):
                raise BackendError(
                    f"rnn: the compiled core cannot compute this {type(cell).__name__} network; "
                    'give backend="torch" (needs PyTorch: pip install "kelman[torch]")'
                )
    return module


def run(
    net: Network, x: Array, lengths: Array | None, module: Any, threads: int, *, store: str = "all"
) -> Raw:  # fmt: skip
    """Forward pass on (N, T, i): y, h, status, failed_at, c (memories, where cells are LSTMs), and the parts' own results.

    With store="outputs" only y counts: what it does not need is not kept.
    """
    if isinstance(net, Cell):
        return run_cell(cell_problem(net, x, lengths), module, threads, store=store)
    if isinstance(net, Stack):
        parts, given = [], x
        for layer in net.layers:
            parts.append(run(layer, given, lengths, module, threads, store=store))
            given = parts[-1]["y"]  # only the last layer has a readout
        status, failed_at = _first_failure(parts, x.shape[1])
        return {**parts[-1], "status": status, "failed_at": failed_at, "parts": parts}
    one = run(net.forward, x, lengths, module, threads, store=store)
    two = run(net.backward, turned(x, lengths), lengths, module, threads, store=store)
    raw: Raw = {"parts": [one, two]}
    for name in ("h", "c"):
        if name in one:
            raw[name] = np.concatenate([one[name], turned(two[name], lengths)], axis=2)
    raw["y"] = _read(net, raw["h"], x)
    back = np.where(two["status"] > 0, 0, -1)  # what fails backward in time fails from the start
    raw["status"], raw["failed_at"] = _first_failure([one, {**two, "failed_at": back}], x.shape[1])
    return raw


def run_cell(problem: Problem, module: Any, threads: int, *, store: str = "all", out: Raw | None = None) -> Raw:
    """Forward pass of one cell; without a readout the state is the output."""
    raw: Raw = module.forward_raw(problem, threads, store=store, out=out)
    if "V" not in problem.weights:
        raw["y"] = raw["h"]
    return raw


def pull(
    net: Network, x: Array, lengths: Array | None, raw: Raw, g_y: Array | None, g_h: Array | None, module: Any, threads: int
) -> Raw:  # fmt: skip
    """Gradient of sum(g_y * y) + sum(g_h * h) by every weight, start (for each series) and x, in the shape of the network."""
    if isinstance(net, Cell):
        if net.V is None and g_y is not None:
            g_y, g_h = None, g_y if g_h is None else g_y + g_h
        return cast("Raw", module.vjp_raw(cell_problem(net, x, lengths), g_y, g_h, threads))
    if isinstance(net, Stack):
        found = []
        below = [x, *(part["h"] for part in raw["parts"][:-1])]
        for layer, given, part in zip(net.layers[::-1], below[::-1], raw["parts"][::-1], strict=True):
            found.append(pull(layer, given, lengths, part, g_y, g_h, module, threads))
            g_y, g_h = None, found[-1]["x"]
        return {"layers": found[::-1], "x": found[-1]["x"]}
    return _pull_both(net, x, lengths, raw, g_y, g_h, module, threads)


def _pull_both(
    net: Bidirectional, x: Array, lengths: Array | None, raw: Raw, g_y: Array | None, g_h: Array | None, module: Any, threads: int
) -> Raw:  # fmt: skip
    h, found = raw["h"], {}
    g_state = np.zeros_like(h) if g_h is None else np.where(within(lengths, h), g_h, 0)
    g_x = np.zeros_like(x)
    if g_y is not None and net.V is None:
        g_state = g_state + np.where(within(lengths, h), g_y, 0)
    elif g_y is not None:
        inside = within(lengths, h)
        h, read = np.where(inside, h, 0), np.where(inside, x, 0)
        s = before_output(net, h, read)
        g_s = np.where(inside, g_y, 0) * ACTIVATIONS[net.output].derivative(s)
        found = {"V": _summed(g_s, h), "c": g_s.sum((0, 1), dtype="float64").astype(h.dtype)}
        if net.D is not None:
            found["D"] = _summed(g_s, read)
            g_x = g_s @ net.D.astype(h.dtype)
        g_state = g_state + g_s @ net.V.astype(h.dtype)
    n = net.forward.dims.hidden
    g_one, g_two = np.ascontiguousarray(g_state[..., :n]), turned(g_state[..., n:], lengths)
    one = pull(net.forward, x, lengths, raw["parts"][0], None, g_one, module, threads)
    two = pull(net.backward, turned(x, lengths), lengths, raw["parts"][1], None, g_two, module, threads)
    return {**found, "forward": one, "backward": two, "x": g_x + one["x"] + turned(two["x"], lengths)}


def loss_and_grad(net: Network, problem: Problem, module: Any, threads: int) -> tuple[float, float, Raw]:
    """Mean squared error, total weight and gradients, also of networks of several cells."""
    if isinstance(net, Cell):
        return cast("tuple[float, float, Raw]", module.loss_and_grad_raw(problem, threads))
    raw = run(net, problem.x, problem.lengths, module, threads)
    weight = counted(problem)
    total = float(weight.sum(dtype="float64"))
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is an infinite loss
        error = np.where(weight > 0, raw["y"] - cast("Array", problem.y), 0)
        loss = float((weight * error * error).sum(dtype="float64")) / total
    if raw["status"].any() or not np.isfinite(loss):
        nothing = np.zeros_like(error)
        return np.inf, total, pull(net, problem.x, problem.lengths, raw, nothing, None, module, threads)
    g_y = (weight * error * (2 / total)).astype(error.dtype)
    return loss, total, pull(net, problem.x, problem.lengths, raw, g_y, None, module, threads)


def turned(array: Array, lengths: Array | None) -> Array:
    """Each series of (N, T, values) backward in time from its own end; what lies beyond stays where it is."""
    if lengths is None:
        return np.ascontiguousarray(array[:, ::-1])
    steps = np.arange(array.shape[1])[None, :]
    order = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return np.take_along_axis(array, order[:, :, None], axis=1)


def _read(net: Bidirectional, h: Array, x: Array) -> Array:
    if net.V is None:
        return h
    y: Array = ACTIVATIONS[net.output].function(before_output(net, h, x))
    return y


def before_output(net: Bidirectional, h: Array, x: Array) -> Array:
    """V h + D x + c."""
    s: Array = h @ net.V.astype(h.dtype).T + net.c.astype(h.dtype)
    return s if net.D is None else s + x @ net.D.astype(h.dtype).T


def _summed(g: Array, v: Array) -> Array:
    """Sum over series and steps of g v', accumulated in float64."""
    wide = g.reshape(-1, g.shape[2]).astype(np.float64).T @ v.reshape(-1, v.shape[2]).astype(np.float64)
    return wide.astype(g.dtype)


def _first_failure(parts: list[Raw], steps: int) -> tuple[Array, Array]:
    """Status and first failing step over several parts."""
    at = np.min([np.where(part["status"] > 0, part["failed_at"], steps) for part in parts], axis=0)
    status = np.max([part["status"] for part in parts], axis=0)
    return status, np.where(status > 0, at, -1)
