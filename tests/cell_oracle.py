"""Every recurrent cell in NumPy, one step after the other as a textbook writes it, and gradients by complex step.

Real or complex numbers go through, so that ``Im f(w + i 1e-30) / 1e-30`` is a derivative without cancellation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.elman_oracle import activate


def _sig(a: np.ndarray) -> np.ndarray:
    return activate("sigmoid", a)


def elman_cell(net: Any, w: dict[str, Any], state: tuple[np.ndarray, ...], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """h = A h + B x + s(U h + W x + b)."""
    h = state[0]
    skip = (0 if w["A"] is None else h @ w["A"].T) + (0 if w["B"] is None else x @ w["B"].T)
    return (activate(net.hidden, h @ w["U"].T + x @ w["W"].T + w["b"]) + skip,)


def gru_cell(net: Any, w: dict[str, Any], state: tuple[np.ndarray, ...], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cho et al. 2014, and the variant of PyTorch and cuDNN."""
    h, n = state[0], state[0].shape[1]
    U_r, U_z, U_n = w["U"][:n], w["U"][n : 2 * n], w["U"][2 * n :]
    W_r, W_z, W_n = w["W"][:n], w["W"][n : 2 * n], w["W"][2 * n :]
    b_r, b_z, b_n = w["b"][:n], w["b"][n : 2 * n], w["b"][2 * n :]
    r = _sig(x @ W_r.T + h @ U_r.T + b_r)
    z = _sig(x @ W_z.T + h @ U_z.T + b_z)
    if net.reset == "before":
        new = np.tanh(x @ W_n.T + b_n + (r * h) @ U_n.T)
    else:
        new = np.tanh(x @ W_n.T + b_n + r * (h @ U_n.T + w["d"]))
    return ((1 - z) * new + z * h,)


def lstm_cell(net: Any, w: dict[str, Any], state: tuple[np.ndarray, ...], x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gers, Schraudolph & Schmidhuber 2002."""
    del net
    (h, c), n = state, state[0].shape[1]
    a = [
        x @ w["W"][k * n : (k + 1) * n].T + h @ w["U"][k * n : (k + 1) * n].T + w["b"][k * n : (k + 1) * n]
        for k in range(4)
    ]
    P = np.zeros((3, n)) if w["P"] is None else w["P"]
    i, f, g = _sig(a[0] + P[0] * c), _sig(a[1] + P[1] * c), np.tanh(a[2])
    c = f * c + i * g
    return _sig(a[3] + P[2] * c) * np.tanh(c), c


STEPS = {"elman": elman_cell, "gru": gru_cell, "lstm": lstm_cell}


def weights_of(net: Any, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """All arrays of a cell by name, some of them replaced."""
    names = (*net.SHAPES, *net.STARTS)
    return {name: getattr(net, name) for name in names} | (changes or {})


def cell_forward(net: Any, x: np.ndarray, **changes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """y (N, T, o), h (N, T, h) and, of an LSTM, c (N, T, h), for x (N, T, i); `changes` replace arrays."""
    w = weights_of(net, changes)
    N, T = x.shape[:2]
    n = net.dims.hidden
    state = tuple(np.zeros((N, n)) if w[name] is None else np.broadcast_to(w[name], (N, n)) for name in net.STARTS)
    states, ys = [], []
    for k in range(T):
        state = STEPS[net.WORD](net, w, state, x[:, k])
        states.append(state)
        y = state[0]
        if w["V"] is not None:
            direct = 0 if w["D"] is None else x[:, k] @ w["D"].T
            y = activate(net.output, state[0] @ w["V"].T + direct + w["c"])
        ys.append(y)
    h = np.stack([s[0] for s in states], 1)
    return np.stack(ys, 1), h, np.stack([s[1] for s in states], 1) if len(net.STARTS) > 1 else None


def reversed_in_time(x: np.ndarray, lengths: Any) -> np.ndarray:
    """Each series backward from its own end."""
    out = np.array(x)
    for n, end in enumerate(lengths if lengths is not None else [x.shape[1]] * len(x)):
        out[n, :end] = x[n, :end][::-1]
    return out


def network_forward(net: Any, x: np.ndarray, lengths: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """y and h of a network of any kind."""
    if hasattr(net, "layers"):
        for layer in net.layers:
            y, x = network_forward(layer, x, lengths)
        return y, x
    if not hasattr(net, "backward"):
        y, h, _ = cell_forward(net, x)
        return y, h
    one = cell_forward(net.forward, x)[1]
    two = reversed_in_time(cell_forward(net.backward, reversed_in_time(x, lengths))[1], lengths)
    h = np.concatenate([one, two], axis=2)
    if net.V is None:
        return h, h
    direct = 0 if net.D is None else x @ net.D.T
    return activate(net.output, h @ net.V.T + direct + net.c), h


def squared(y: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Any:
    """sum weight (y - target)^2 / sum weight over what has weight."""
    error = np.where(weight > 0, y - np.where(weight > 0, target, 0), 0)
    return (weight * error * error).sum() / weight.sum()


def by_complex_step(function: Any, value: np.ndarray, step: float = 1e-30) -> np.ndarray:
    """d function / d entry for every entry of an array."""
    gradient = np.zeros(np.shape(value))
    for index in np.ndindex(*gradient.shape):
        moved = np.array(value, dtype=complex)
        moved[index] += 1j * step
        gradient[index] = function(moved).imag / step
    return gradient


def cell_gradient(net: Any, x: np.ndarray, target: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """d loss / d entry of every weight and start of a cell; that of a start it has not got as of a shared one of zero."""
    out = {}
    for name, value in weights_of(net).items():
        if value is None and name not in net.STARTS:
            continue
        at = np.zeros(net.dims.hidden) if value is None else value
        out[name] = by_complex_step(
            lambda moved, n=name: squared(cell_forward(net, x, **{n: moved})[0], target, weight), at
        )
    return out
