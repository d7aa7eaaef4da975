"""Recurrent cells in NumPy, one step after another, for complex numbers too: obviously right, and slow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.elman_oracle import activate


def sigmoid(s: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-s)), also of complex numbers."""
    return 1 / (1 + np.exp(-s))


def cell_step(
    kind: str, w: dict[str, np.ndarray], options: dict[str, str], x: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The state after one step, for series in rows: h and, of an LSTM, c."""
    n = h.shape[1]
    s = x @ w["W"].T + w["b"]
    if kind == "elman":
        new = activate(options["hidden"], s + h @ w["U"].T)
        if "A" in w:
            new = new + h @ w["A"].T
        if "B" in w:
            new = new + x @ w["B"].T
        return new, c
    if kind == "gru":
        gates = sigmoid(s[:, : 2 * n] + h @ w["U"][: 2 * n].T)
        r, z = gates[:, :n], gates[:, n:]
        if options["reset"] == "after":
            inner = r * (h @ w["U"][2 * n :].T + w["d"])
        else:
            inner = (r * h) @ w["U"][2 * n :].T
        return (1 - z) * np.tanh(s[:, 2 * n :] + inner) + z * h, c
    i, f, g, o = np.split(s + h @ w["U"].T, 4, axis=1)
    P = w.get("P", np.zeros((3, n)))
    new = sigmoid(f + P[1] * c) * c + sigmoid(i + P[0] * c) * np.tanh(g)
    return sigmoid(o + P[2] * new) * np.tanh(new), new


def cell_forward(
    kind: str,
    w: dict[str, np.ndarray],
    options: dict[str, str],
    output: str | None,
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Outputs y (N,T,o), states h (N,T,h) and c (N,T,h) over whole series; y is h without a readout."""
    h, c = h0, np.zeros_like(h0) if c0 is None else c0
    found: dict[str, list[np.ndarray]] = {"y": [], "h": [], "c": []}
    for k in range(x.shape[1]):
        h, c = cell_step(kind, w, options, x[:, k], h, c)
        y = h
        if "V" in w:
            y = h @ w["V"].T + w["c"]
            if "D" in w:
                y = y + x[:, k] @ w["D"].T
            y = activate(str(output), y)
        for name, value in (("y", y), ("h", h), ("c", c)):
            found[name].append(value)
    return {name: np.stack(values, axis=1) for name, values in found.items()}


def moved(arguments: dict[str, Any], name: str, value: np.ndarray) -> dict[str, Any]:
    """The arguments of `cell_forward` with one weight, or x, h0 or c0, replaced."""
    if name in ("x", "h0", "c0"):
        return {**arguments, name: value}
    return {**arguments, "w": {**arguments["w"], name: value}}


def complex_step_jacobian(arguments: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """Derivatives (*result, *argument) of y, h and c with respect to one argument, to the last digits."""
    at = np.asarray(arguments[name] if name in ("x", "h0", "c0") else arguments["w"][name])
    columns = []
    for index in np.ndindex(*at.shape):
        value = at.astype(complex)
        value[index] += 1e-40j
        columns.append(cell_forward(**moved(arguments, name, value)))
    return {
        result: np.stack([c[result].imag / 1e-40 for c in columns], axis=-1).reshape(
            *columns[0][result].shape, *at.shape
        )
        for result in ("y", "h", "c")
    }
