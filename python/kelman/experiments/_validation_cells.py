# SPDX-License-Identifier: BSD-3-Clause
"""The recurrent cells for `kelman validate`: random ones, and their recursions as they are written, for complex numbers too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import kelman

if TYPE_CHECKING:
    from kelman._types import Array

GATED = ("gru, reset after", "gru, reset before", "lstm", "lstm with peepholes")


def random_cell(rng: np.random.Generator, kind: str, output: Any) -> kelman.GRU | kelman.LSTM:
    """A small gated cell of one of the kinds of `GATED`, with everything that it can have."""
    h, i, o = (int(rng.integers(1, 4)) for _ in range(3))
    gates = 3 if kind.startswith("gru") else 4
    shapes: dict[str, tuple[int, ...]] = {"U": (gates * h, h), "W": (gates * h, i), "b": (gates * h,)}
    shapes |= {"V": (o, h), "c": (o,), "D": (o, i), "h0": (h,), "c0": (h,), "d": (h,), "P": (3, h)}
    w = {name: 0.8 * rng.normal(size=shape) for name, shape in shapes.items()}
    common: dict[str, Any] = {name: w[name] for name in ("U", "W", "b", "V", "c", "D", "h0")}
    if kind.startswith("gru"):
        after = kind.endswith("after")
        return kelman.GRU(**common, output=output, reset="after" if after else "before", d=w["d"] if after else None)
    return kelman.LSTM(**common, output=output, c0=w["c0"], P=w["P"] if kind.endswith("peepholes") else None)


def activate(word: str, s: Array) -> Array:
    """The activation for complex numbers: the kinks are decided by the real part."""
    if word == "identity":
        return s
    if word == "tanh":
        return np.asarray(np.tanh(s))
    if word == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * s))
    if word == "softplus":
        return np.asarray(np.where(s.real > 0, s + np.log1p(np.exp(-s)), np.log1p(np.exp(s))))
    return np.asarray(np.where(s.real > 0, s, (0.01 if word == "leaky_relu" else 0.0) * s))


def recursion(net: Any, x: Array, changed: dict[str, Array]) -> Array:
    """Outputs (N, T, o) of a cell with everything that it can have, some arrays changed."""
    w = {**net.weights, **{name: getattr(net, name) for name in net.STARTS}, **changed}
    state = tuple(np.broadcast_to(w[name], (len(x), net.dims.hidden)) for name in net.STARTS)
    step = {"elman": _elman, "gru": _gru, "lstm": _lstm}[net.WORD]
    rows = []
    for x_k in x.swapaxes(0, 1):
        state = step(net, w, state, x_k)
        rows.append(activate(net.output, state[0] @ w["V"].T + x_k @ w["D"].T + w["c"]))
    return np.stack(rows, axis=1)


def _elman(net: Any, w: dict[str, Array], state: tuple[Array, ...], x: Array) -> tuple[Array, ...]:
    return (activate(net.hidden, state[0] @ w["U"].T + x @ w["W"].T + w["b"]),)


def _gru(net: Any, w: dict[str, Array], state: tuple[Array, ...], x: Array) -> tuple[Array, ...]:
    (h,) = state
    U_r, U_z, U_n = np.split(w["U"], 3)
    x_r, x_z, x_n = np.split(x @ w["W"].T + w["b"], 3, axis=1)
    r, z = activate("sigmoid", x_r + h @ U_r.T), activate("sigmoid", x_z + h @ U_z.T)
    n = np.tanh(x_n + ((r * h) @ U_n.T if net.reset == "before" else r * (h @ U_n.T + w["d"])))
    return ((1 - z) * n + z * h,)


def _lstm(net: Any, w: dict[str, Array], state: tuple[Array, ...], x: Array) -> tuple[Array, ...]:
    h, c = state
    P = w.get("P", np.zeros((3, net.dims.hidden)))
    i, f, g, o = np.split(h @ w["U"].T + x @ w["W"].T + w["b"], 4, axis=1)
    new = activate("sigmoid", f + P[1] * c) * c + activate("sigmoid", i + P[0] * c) * np.tanh(g)
    return activate("sigmoid", o + P[2] * new) * np.tanh(new), new
