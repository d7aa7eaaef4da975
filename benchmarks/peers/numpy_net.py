"""The networks in NumPy, all series in one product for each step; gradients of the Elman network by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.networks import NetworkProblem, outputs, slope

NAME = "numpy"
LOOPS = False
GAPS = {"none"}


def net_forward(problem: NetworkProblem) -> Any:
    """Outputs."""
    return lambda: outputs(problem.model, problem.x), lambda y, few: {"y": y[:few]}


def net_gradient(problem: NetworkProblem) -> Any:
    """Mean squared error and its gradient by every weight, back-propagated through time."""
    if problem.model.kind != "elman":
        raise NotImplementedError("only the Elman network is written by hand")
    w, x, y = problem.model.weights, np.swapaxes(problem.x, 0, 1).copy(), np.swapaxes(problem.y, 0, 1).copy()
    T, N, n = len(x), problem.N, problem.model.n

    def run() -> Any:
        h = np.zeros((T + 1, N, n), x.dtype)
        for k in range(T):
            h[k + 1] = np.tanh(x[k] @ w["W"].T + h[k] @ w["U"].T + w["b"])
        e = h[1:].reshape(T * N, n) @ w["V"].T + w["c"] - y.reshape(T * N, -1)
        g = (2 / e.size) * e
        back = (g @ w["V"]).reshape(T, N, n)
        s = np.empty_like(back)
        carried = np.zeros((N, n), x.dtype)
        for k in range(T - 1, -1, -1):
            s[k] = (back[k] + carried) * (1 - h[k + 1] ** 2)
            carried = s[k] @ w["U"]
        flat = s.reshape(T * N, n)
        return (e * e).mean(), {
            "U": flat.T @ h[:-1].reshape(T * N, n),
            "W": flat.T @ x.reshape(T * N, -1),
            "b": flat.sum(axis=0),
            "V": g.T @ h[1:].reshape(T * N, n),
            "c": g.sum(axis=0),
        }

    def answer(result: Any, few: int) -> dict[str, np.ndarray]:
        del few
        return {"loss": np.array([result[0]]), "slope": slope(problem.model, result[1])}

    return run, answer


def net_stream(problem: NetworkProblem) -> Any:
    """One step after another; Elman only."""
    if problem.model.kind != "elman":
        raise NotImplementedError("only the Elman network is written by hand")
    w, rows = problem.model.weights, list(problem.x[0])

    def run() -> Any:
        U, W, b, V, c = (w[name] for name in ("U", "W", "b", "V", "c"))
        h, y = np.zeros(problem.model.n, problem.x.dtype), c
        for x in rows:
            h = np.tanh(U @ h + W @ x + b)
            y = V @ h + c
        return y

    return run, lambda y, few: {"y": y[None][:few]}
