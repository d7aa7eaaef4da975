"""The Elman network in NumPy, one step after the other, and its gradient by the complex-step method."""

from __future__ import annotations

from typing import Any

import numpy as np

_ACTIVATIONS: dict[str, Any] = {
    "identity": lambda a: a,
    "tanh": np.tanh,
    "relu": lambda a: np.where(a.real > 0, a, 0 * a),
    "leaky_relu": lambda a: np.where(a.real > 0, a, 0.01 * a),
    # written so that neither branch overflows; both are analytic, so a complex step passes through
    "sigmoid": lambda a: 0.5 * (1 + np.tanh(0.5 * a)),
    "softplus": lambda a: np.where(a.real > 0, a, 0 * a) + np.log1p(np.exp(np.where(a.real > 0, -a, a))),
}


def activate(name: str, a: np.ndarray) -> np.ndarray:
    """The activation, for real or complex a."""
    return _ACTIVATIONS[name](np.asarray(a))


def elman_forward(rnn: Any, x: np.ndarray, **changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y (N, T, o) and h (N, T, h) of an Elman network for x (N, T, i), one step after the other.

    `changes` replace weights (they may be complex).
    """
    names = ("U", "W", "b", "V", "c", "h0", "D")
    w = {name: changes.get(name, getattr(rnn, name)) for name in names}
    N, T = x.shape[:2]
    hidden = np.asarray(w["U"]).shape[0]
    h = np.zeros((N, hidden)) if w["h0"] is None else np.broadcast_to(w["h0"], (N, hidden))
    hs, ys = [], []
    for k in range(T):
        h = activate(rnn.hidden, h @ w["U"].T + x[:, k] @ w["W"].T + w["b"])
        direct = 0 if w["D"] is None else x[:, k] @ w["D"].T
        hs.append(h)
        ys.append(activate(rnn.output, h @ w["V"].T + direct + w["c"]))
    return np.stack(ys, axis=1), np.stack(hs, axis=1)


def elman_loss(rnn: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray, **changes: np.ndarray) -> Any:
    """Mean squared error over the elements with weight 1: sum weight (yhat - y)^2 / sum weight, weight (N, T, o)."""
    yhat, _ = elman_forward(rnn, x, **changes)
    error = np.where(weight > 0, yhat - np.where(weight > 0, y, 0), 0)
    return (weight * error * error).sum() / weight.sum()


def elman_gradient(rnn: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """d loss / d entry for every weight (and h0, if given), by complex step: Im loss(w + i 1e-30) / 1e-30."""
    step, out = 1e-30, {}
    for name in ("U", "W", "b", "V", "c", "h0", "D"):
        value = getattr(rnn, name)
        if value is None:
            continue
        gradient = np.zeros(np.shape(value))
        for index in np.ndindex(*gradient.shape):
            moved = np.array(value, dtype=complex)
            moved[index] += 1j * step
            gradient[index] = elman_loss(rnn, x, y, weight, **{name: moved}).imag / step
        out[name] = gradient
    return out
