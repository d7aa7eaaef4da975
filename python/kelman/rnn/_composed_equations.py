# SPDX-License-Identifier: BSD-3-Clause
"""Gauss-Newton normal equations of networks of several cells, composed of the cells' Jacobians and forward derivatives.

Each cell gives the derivatives of its own states by its own weights; what lies above carries them on as directions of its
inputs, all of them side by side as if they were series. Where the derivatives of all series would fill the memory, series
come in groups.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..models import ACTIVATIONS, Cell, Stack
from ._compute import before_output, run, turned
from ._problem import cell_problem, counted, within

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Bidirectional
    from ._problem import Network, Problem

GROUP = 2**25
"""Numbers in the largest array of derivatives of a group of series (one series may have more)."""


def normal_equations(
    net: Network, problem: Problem, module: Any, threads: int, *, learn_h0: bool
) -> tuple[float, float, Array, Array]:
    """Mean loss, total weight, J'WJ and J'We over the weight; the order of the parameters is that of `pack`."""
    weight = counted(problem)
    total, (N, T) = float(weight.sum()), problem.x.shape[:2]
    loss, JtJ, Jtr = 0.0, np.zeros(()), np.zeros(())
    size = max(1, GROUP // (T * _widest(net) * _parameters(net, learn_h0)))
    for first in range(0, N, size):
        part = slice(first, first + size)
        lengths = None if problem.lengths is None else problem.lengths[part]
        raw = run(net, problem.x[part], lengths, module, threads)
        w = weight[part]
        if raw["status"].any():
            n = _parameters(net, learn_h0)
            return np.inf, total, np.full((n, n), np.nan), np.full(n, np.nan)
        J = jacobian(net, problem.x[part], lengths, raw, module, threads, learn_h0=learn_h0).transpose(1, 0, 2, 3)
        used = w > 0
        error = np.where(used, raw["y"] - cast("Array", problem.y)[part], 0.0)[used]
        J, w = J[:, used], w[used]
        loss += float(w @ error**2)
        JtJ, Jtr = JtJ + (J * w) @ J.T, Jtr + J @ (w * error)
    return loss / total, total, JtJ / total, Jtr / total


def jacobian(
    net: Network, x: Array, lengths: Array | None, raw: dict[str, Any], module: Any, threads: int, *, learn_h0: bool
) -> Array:
    """Derivatives (N, P, T, o) of the outputs, or of the states without a readout; `raw` is what `run` gave."""
    if isinstance(net, Cell):
        J = module.jacobian_raw(cell_problem(net, x, lengths), threads, learn_h0=learn_h0)
        return np.ascontiguousarray(J.transpose(0, 3, 1, 2))
    given = {"learn_h0": learn_h0}
    if isinstance(net, Stack):
        below = [x, *(part["h"] for part in raw["parts"][:-1])]
        found: Array | None = None
        for layer, at, part in zip(net.layers, below, raw["parts"], strict=True):
            at = _filled(at, lengths)
            own = jacobian(layer, at, lengths, part, module, threads, **given)
            found = (
                own
                if found is None
                else np.concatenate([push(layer, at, lengths, part, found, module, threads), own], 1)
            )
        return cast("Array", found)
    back = turned(x, lengths)
    one = jacobian(net.forward, x, lengths, raw["parts"][0], module, threads, **given)
    two = _turned(jacobian(net.backward, back, lengths, raw["parts"][1], module, threads, **given), lengths)
    J = np.zeros((len(x), one.shape[1] + two.shape[1], x.shape[1], raw["h"].shape[2]))
    J[:, : one.shape[1], :, : one.shape[3]], J[:, one.shape[1] :, :, one.shape[3] :] = one, two
    if net.V is None:
        return J
    h, slope = _filled(raw["h"], lengths), _slope(net, raw["h"], x, lengths)
    read = [_readout(slope, h), slope[:, None, :, :] * np.eye(slope.shape[2])[None, :, None, :]]
    if net.D is not None:
        read.append(_readout(slope, x))
    return np.concatenate([(J @ net.V.T) * slope[:, None], *read], axis=1)


def push(
    net: Network, x: Array, lengths: Array | None, raw: dict[str, Any], x_dot: Array, module: Any, threads: int
) -> Array:
    """Derivatives (N, D, T, o) of the outputs along directions x_dot (N, D, T, i) of the inputs."""
    N, D, T, _ = x_dot.shape
    many = None if lengths is None else np.repeat(lengths, D)
    if isinstance(net, Cell):
        problem = cell_problem(net, x, lengths)
        starts: dict[str, Any] = {
            name: None if (start := getattr(problem, name)) is None else np.repeat(start, D, axis=0)
            for name in ("h0", "c0")
        }
        problem = replace(problem, x=np.repeat(x, D, axis=0), lengths=many, **starts)
        dots = module.jvp_raw(problem, {"x": np.ascontiguousarray(x_dot.reshape(N * D, T, -1))}, threads)
        y = dots["h"] if "V" not in problem.weights else dots["y"]
        return _filled(y, many).reshape(N, D, T, -1)
    if isinstance(net, Stack):
        below = [x, *(part["h"] for part in raw["parts"][:-1])]
        for layer, at, part in zip(net.layers, below, raw["parts"], strict=True):
            x_dot = push(layer, _filled(at, lengths), lengths, part, x_dot, module, threads)
        return x_dot
    one = push(net.forward, x, lengths, raw["parts"][0], x_dot, module, threads)
    two = push(net.backward, turned(x, lengths), lengths, raw["parts"][1], _turned(x_dot, lengths), module, threads)
    h_dot = np.concatenate([one, _turned(two, lengths)], axis=3)
    if net.V is None:
        return h_dot
    s_dot = h_dot @ net.V.T
    if net.D is not None:
        s_dot = s_dot + x_dot @ net.D.T
    y_dot: Array = s_dot * _slope(net, raw["h"], x, lengths)[:, None]
    return y_dot


def _filled(array: Array, lengths: Array | None) -> Array:
    """Zeros past the lengths."""
    return array if lengths is None else np.where(within(lengths, array), array, 0)


def _turned(array: Array, lengths: Array | None) -> Array:
    """(N, D, T, columns) backward in time."""
    N, D = array.shape[:2]
    many = None if lengths is None else np.repeat(lengths, D)
    return turned(array.reshape(N * D, *array.shape[2:]), many).reshape(array.shape)


def _slope(net: Bidirectional, h: Array, x: Array, lengths: Array | None) -> Array:
    s = before_output(net, _filled(h, lengths), x)
    slope: Array = ACTIVATIONS[net.output].derivative(s)
    return np.broadcast_to(slope, s.shape)


def _readout(slope: Array, v: Array) -> Array:
    """Derivatives (N, o columns, T, o) of s_y(M v) by M (o, columns)."""
    N, T, o = slope.shape
    J = np.zeros((N, o, v.shape[2], T, o))
    for j in range(o):
        J[:, j, :, :, j] = (slope[:, :, j, None] * v).transpose(0, 2, 1)
    return J.reshape(N, -1, T, o)


def _parameters(net: Network, learn_h0: bool) -> int:
    if isinstance(net, Stack):
        return sum(_parameters(layer, learn_h0) for layer in net.layers)
    own = sum(value.size for value in net.weights.values())
    if isinstance(net, Cell):
        return own + (len(net.STARTS) * net.dims.hidden if learn_h0 else 0)
    return own + _parameters(net.forward, learn_h0) + _parameters(net.backward, learn_h0)


def _widest(net: Network) -> int:
    if isinstance(net, Stack):
        return max(map(_widest, net.layers))
    return max(net.dims.hidden, net.dims.outputs)
