# SPDX-License-Identifier: BSD-3-Clause
"""Pre-activations and local Jacobians of every recurrent cell, at any number of states and inputs at once.

The state s is h, of an LSTM [h, c] with the memory c; of a stack the states of its layers one after the other. With F = ds_k /
ds_{k-1}, G = ds_k / dx_k, H = dy_k / ds_k and D = dy_k / dx_k at fixed s_k, layer upon layer (1 below 2, C_1 picks h out of s_1)

    F = [[F_1, 0], [G_2 C_1 F_1, F_2]]      G = [G_1; G_2 C_1 G_1]      H = [D_2 C_1, H_2]      D = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kelman.models import ACTIVATIONS, GRU, LSTM, Cell, Elman, Stack

if TYPE_CHECKING:
    from kelman.bridge._data import FloatArray

__all__: list[str] = []

_sigmoid = ACTIVATIONS["sigmoid"].function


class Part(NamedTuple):
    """Pre-activations (S, h) of one row of units, and the word of the activation that they go through."""

    name: str
    word: str
    before: FloatArray


class Local(NamedTuple):
    """Jacobians at S points: F (S, s, s), G (S, s, i), H (S, o, s), D (S, o, i)."""

    F: FloatArray
    G: FloatArray
    H: FloatArray
    D: FloatArray


def layers_of(net: Cell | Stack) -> tuple[Cell, ...]:
    """The cells of a network, from the input to the output."""
    return net.layers if isinstance(net, Stack) else (net,)


def parts_of(cell: Cell, s: FloatArray, x: FloatArray) -> tuple[Part, ...]:
    """Every activation of a cell (but that of the output) at states s (S, s) before the step and inputs x (S, i)."""
    w = {name: np.asarray(value, dtype=np.float64) for name, value in cell.weights.items()}
    n = cell.dims.hidden
    h = s[:, :n]
    drive = x @ w["W"].T + w["b"]
    if isinstance(cell, Elman):
        return (Part("hidden", cell.hidden, drive + h @ w["U"].T),)
    if isinstance(cell, GRU):
        first = drive[:, : 2 * n] + h @ w["U"][: 2 * n].T
        r, U_n = _sigmoid(first[:, :n]), w["U"][2 * n :]
        inside = (r * h) @ U_n.T if cell.reset == "before" else r * (h @ U_n.T + w["d"])
        return (
            Part("reset gate", "sigmoid", first[:, :n]),
            Part("update gate", "sigmoid", first[:, n:]),
            Part("candidate", "tanh", drive[:, 2 * n :] + inside),
        )
    c, P = s[:, n:], w.get("P", np.zeros((3, n)))
    a_i, a_f, a_g, a_o = np.split(drive + h @ w["U"].T, 4, axis=1)
    a_i, a_f = a_i + P[0] * c, a_f + P[1] * c
    new = _sigmoid(a_f) * c + _sigmoid(a_i) * np.tanh(a_g)
    return (
        Part("input gate", "sigmoid", a_i),
        Part("forget gate", "sigmoid", a_f),
        Part("candidate", "tanh", a_g),
        Part("output gate", "sigmoid", a_o + P[2] * new),
        Part("memory", "tanh", new),
    )


def local_of(net: Cell | Stack, before: list[FloatArray], after: list[FloatArray], x: FloatArray) -> Local:
    """Jacobians at S points: for each layer the states before and after the step (S, s), and the inputs x (S, i)."""
    cells = layers_of(net)
    whole = _local_of_cell(cells[0], before[0], after[0], x)
    start = 0  # where the layer below stands in the state
    for k in range(1, len(cells)):
        below = cells[k - 1].dims.hidden
        one = _local_of_cell(cells[k], before[k], after[k], after[k - 1][:, :below])
        S, size, own = len(x), whole.F.shape[1], one.F.shape[1]
        at = slice(start, start + below)
        F, H = np.zeros((S, size + own, size + own)), np.zeros((S, one.H.shape[1], size + own))
        F[:, :size, :size], F[:, size:, size:], F[:, size:, :size] = whole.F, one.F, one.G @ whole.F[:, at]
        H[:, :, size:], H[:, :, at] = one.H, one.D
        G = np.concatenate([whole.G, one.G @ whole.G[:, at]], axis=1)
        whole, start = Local(F, G, H, np.zeros((S, H.shape[1], G.shape[2]))), size
    return whole


def _local_of_cell(cell: Cell, s: FloatArray, new: FloatArray, x: FloatArray) -> Local:
    parts = parts_of(cell, s, x)
    w = {name: np.asarray(value, dtype=np.float64) for name, value in cell.weights.items()}
    if isinstance(cell, Elman):
        F, G = _elman(w, parts)
    elif isinstance(cell, GRU):
        F, G = _gru(w, parts, s, cell.reset == "before")
    else:
        assert isinstance(cell, LSTM)
        F, G = _lstm(w, parts, s)
    n = cell.dims.hidden
    S, o = len(s), cell.dims.outputs
    H, D = np.zeros((S, o, F.shape[1])), np.zeros((S, o, x.shape[1]))
    if cell.V is None:
        H[:, :, :n] = np.eye(n)
        return Local(F, G, H, D)
    read = new[:, :n] @ w["V"].T + w["c"]
    read = read + x @ w["D"].T if "D" in w else read
    slope = ACTIVATIONS[cell.output].derivative(read)[:, :, None]
    H[:, :, :n] = slope * w["V"]
    if "D" in w:
        D = slope * w["D"]
    return Local(F, G, H, D)


def _slope(part: Part) -> FloatArray:
    """Slopes (S, h, 1), to scale the rows of a matrix with."""
    return ACTIVATIONS[part.word].derivative(part.before)[:, :, None]


def _value(part: Part) -> FloatArray:
    return ACTIVATIONS[part.word].function(part.before)


def _elman(w: dict[str, FloatArray], parts: tuple[Part, ...]) -> tuple[FloatArray, FloatArray]:
    slope = _slope(parts[0])
    return slope * w["U"] + w.get("A", 0.0), slope * w["W"] + w.get("B", 0.0)


def _gru(
    w: dict[str, FloatArray], parts: tuple[Part, ...], h: FloatArray, before: bool
) -> tuple[FloatArray, FloatArray]:
    n = h.shape[1]
    r, z, new = (_value(part) for part in parts)
    slope_r, slope_z, slope_n = (_slope(part) for part in parts)
    U_n = w["U"][2 * n :]
    found = []
    for name, own in (("U", U_n), ("W", w["W"][2 * n :])):
        d_r, d_z = slope_r * w[name][:n], slope_z * w[name][n : 2 * n]
        if before:
            inner = U_n @ (h[:, :, None] * d_r)
            d_n = inner + (U_n * r[:, None, :] if name == "U" else own)
        else:
            inner = (h @ U_n.T + w["d"])[:, :, None] * d_r
            d_n = inner + (r[:, :, None] * own if name == "U" else own)
        found.append((1 - z)[:, :, None] * slope_n * d_n + (h - new)[:, :, None] * d_z)
    F, G = found
    return F + z[:, :, None] * np.eye(n), G


def _lstm(w: dict[str, FloatArray], parts: tuple[Part, ...], s: FloatArray) -> tuple[FloatArray, FloatArray]:
    n = s.shape[1] // 2
    c = s[:, n:]
    i, f, g, o, tanh_c = (_value(part) for part in parts)
    slope_i, slope_f, slope_g, slope_o, slope_c = (_slope(part) for part in parts)
    P = w.get("P", np.zeros((3, n)))
    by_c = np.zeros((len(s), n, n))
    own = f + c * slope_f[:, :, 0] * P[1] + g * slope_i[:, :, 0] * P[0]
    by_c[:, np.arange(n), np.arange(n)] = own
    found = []
    for name in ("U", "W"):
        rows = w[name]
        memory = (c[:, :, None] * slope_f) * rows[n : 2 * n] + (g[:, :, None] * slope_i) * rows[:n]
        memory = memory + (i[:, :, None] * slope_g) * rows[2 * n : 3 * n]
        d_o = np.broadcast_to(rows[3 * n :], memory.shape)
        if name == "U":
            memory, d_o = np.concatenate([memory, by_c], axis=2), np.concatenate([d_o, np.zeros_like(by_c)], axis=2)
        d_o = slope_o * (d_o + P[2][:, None] * memory)
        found.append(np.concatenate([tanh_c[:, :, None] * d_o + o[:, :, None] * slope_c * memory, memory], axis=1))
    return found[0], found[1]
