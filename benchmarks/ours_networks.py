"""How kelman runs recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import kelman
from benchmarks.networks import BATCH, EPOCHS, RATE, NetworkProblem, slope, training_answer

Way = tuple[Callable[[], Any], Callable[[Any], dict[str, np.ndarray]]]


def network(problem: NetworkProblem) -> Any:
    """Return kelman's network of a problem."""
    weights = problem.model.weights
    kind = {"elman": kelman.Elman, "gru": kelman.GRU, "lstm": kelman.LSTM}[problem.model.kind]
    return kind(**weights)


def net_forward(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """Outputs, which is what the others give; then with all states, which they do not."""
    net = network(problem)

    def answer(result: Any) -> dict[str, np.ndarray]:
        return {"y": result.y}

    return {
        "forward": (lambda: kelman.forward(net, problem.x, store="outputs", threads=threads), answer),
        "forward, states": (lambda: kelman.forward(net, problem.x, threads=threads), answer),
    }


def net_gradient(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """Mean squared error and its gradient."""
    net = network(problem)

    def answer(result: Any) -> dict[str, np.ndarray]:
        loss, gradient = result
        found = {name: getattr(gradient, name) for name in problem.model.weights}
        return {"loss": np.array([loss]), "slope": slope(problem.model, found)}

    return {"gradient": (lambda: kelman.loss_and_grad(net, problem.x, problem.y, threads=threads), answer)}


def net_stream(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """One call of the public stepper for each step."""
    del threads
    net, rows = network(problem), list(problem.x[0])

    def work() -> Any:
        step = net.stepper()
        y = None
        for x in rows:
            y = step(x)
        return y

    return {"stepper": (work, lambda last: {"y": last[None]})}


def net_train(problem: NetworkProblem, threads: int) -> dict[str, Way]:
    """Adam with fixed settings, nothing held out, on data that are standardised already."""
    problem = problem.standardised()
    net = network(problem)

    def work() -> Any:
        return kelman.train(
            net,
            problem.x,
            problem.y,
            method="adam",
            start="given",
            max_iterations=EPOCHS,
            batch=BATCH,
            window=problem.T,
            learning_rate=RATE,
            schedule="constant",
            clip=float("inf"),
            validation=0,
            warmup=0,
            progress=False,
            threads=threads,
        )

    return {"adam": (work, lambda result: training_answer(problem, result.rnn.weights))}


TASKS = {"net_forward": net_forward, "net_gradient": net_gradient, "net_stream": net_stream, "net_train": net_train}
