"""How kelman runs recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import kelman
from benchmarks.networks import NetworkProblem, slope

Way = tuple[Callable[[], Any], Callable[[Any], dict[str, np.ndarray]]]


def network(problem: NetworkProblem) -> Any:
    """Return kelman's network of a problem."""
    weights = problem.model.weights
    kind = {"elman": kelman.Elman, "gru": kelman.GRU, "lstm": kelman.LSTM}[problem.model.kind]
    return kind(**weights)


def net_forward(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """Outputs and states."""
    net = network(problem)
    return {"forward": (lambda: kelman.forward(net, problem.x, threads=threads), lambda r: {"y": r.y})}


def net_gradient(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """Mean squared error and its gradient."""
    net = network(problem)

    def answer(result: Any) -> dict[str, np.ndarray]:
        loss, gradient = result
        found = {name: getattr(gradient, name) for name in problem.model.weights}
        return {"loss": np.array([loss]), "slope": slope(problem.model, found)}

    return {"gradient": (lambda: kelman.loss_and_grad(net, problem.x, problem.y, threads=threads), answer)}


def net_stream(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """One call of the core's stepper for each step."""
    del threads
    from kelman.rnn._native import stepper
    from kelman.rnn._problem import forward_problem

    core, rows = (
        forward_problem(network(problem), problem.x, None)[0],
        [np.ascontiguousarray(x[None]) for x in problem.x[0]],
    )
    y = np.empty((1, problem.y.shape[2]), problem.y.dtype)

    def work() -> Any:
        step = stepper(core).step
        for x in rows:
            step(x, y)
        return y.copy()

    return {"stepper": (work, lambda last: {"y": last})}


TASKS = {"net_forward": net_forward, "net_gradient": net_gradient, "net_stream": net_stream}
