"""The networks in NumPy, all series in one product for each step; gradients of the Elman network by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.networks import BATCH, EPOCHS, RATE, NetworkProblem, outputs, slope, training_answer
from benchmarks.peers import NotOffered

NAME = "numpy"
LOOPS = False
GAPS = {"none"}


def net_forward(problem: NetworkProblem) -> Any:
    """Outputs."""
    return lambda: outputs(problem.model, problem.x), lambda y, few: {"y": y[:few]}


def _gradient(w: Any, x: Any, y: Any) -> Any:
    """Return loss and gradient of the Elman network, back-propagated through time; time comes first in x and y."""
    T, N, n = len(x), x.shape[1], w["U"].shape[0]
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


def _time_first(problem: NetworkProblem) -> Any:
    if problem.model.kind != "elman":
        raise NotOffered("only the Elman network is written by hand")
    return problem.model.weights, np.swapaxes(problem.x, 0, 1).copy(), np.swapaxes(problem.y, 0, 1).copy()


def net_gradient(problem: NetworkProblem) -> Any:
    """Mean squared error and its gradient by every weight."""
    w, x, y = _time_first(problem)

    def answer(result: Any, few: int) -> dict[str, np.ndarray]:
        del few
        return {"loss": np.array([result[0]]), "slope": slope(problem.model, result[1])}

    return lambda: _gradient(w, x, y), answer


def net_train(problem: NetworkProblem) -> Any:
    """Epochs of Adam on shuffled batches."""
    problem = problem.standardised()
    first, x, y = _time_first(problem)

    def run() -> Any:
        rng, count = np.random.default_rng(0), 0
        w = {name: value.copy() for name, value in first.items()}
        mean = {name: np.zeros_like(value) for name, value in w.items()}
        square = {name: np.zeros_like(value) for name, value in w.items()}
        for _ in range(EPOCHS):
            order = rng.permutation(problem.N)
            for at in range(0, problem.N, BATCH):
                chosen, count = order[at : at + BATCH], count + 1
                for name, g in _gradient(w, x[:, chosen], y[:, chosen])[1].items():
                    mean[name] += 0.1 * (g - mean[name])
                    square[name] += 0.001 * (g * g - square[name])
                    root = np.sqrt(square[name] / (1 - 0.999**count)) + 1e-8
                    w[name] -= RATE / (1 - 0.9**count) * mean[name] / root
        return w

    def answer(w: Any, few: int) -> dict[str, np.ndarray]:
        del few
        return training_answer(problem, w)

    return run, answer


def net_stream(problem: NetworkProblem) -> Any:
    """One step after another; Elman only."""
    if problem.model.kind != "elman":
        raise NotOffered("only the Elman network is written by hand")
    w, rows = problem.model.weights, list(problem.x[0])

    def run() -> Any:
        U, W, b, V, c = (w[name] for name in ("U", "W", "b", "V", "c"))
        h, y = np.zeros(problem.model.n, problem.x.dtype), c
        for x in rows:
            h = np.tanh(U @ h + W @ x + b)
            y = V @ h + c
        return y

    return run, lambda y, few: {"y": y[None][:few]}
