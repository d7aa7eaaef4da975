"""Every answer against the textbook recursion, before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks import networks
from benchmarks.peers import numpy_loop
from benchmarks.problems import MATRICES, Model, Problem

OURS, THEIRS = 1e-9, 1e-5  # a peer may add jitter (dynamax: 1e-9) or round harder; its difference is printed
SYMMETRIC = ("Q", "R", "P0")
STEP = 1e-20
DIRECTIONS = 6

Array = np.ndarray
Answer = Mapping[str, Array]


class WrongAnswer(Exception):
    """Two implementations that should agree do not."""


def reference(task: str, problem: Problem | networks.NetworkProblem) -> dict[str, Array]:
    """Return what the textbook recursion says about a task: of all series of the (small) problem."""
    if isinstance(problem, networks.NetworkProblem):
        return networks.reference(task, problem)
    if task == "gradient":
        return derivatives(problem)
    run, answer = getattr(numpy_loop, "filter" if task == "stream" else task)(problem)
    found: dict[str, Array] = answer(run(), problem.N)
    return found


def directions(model: Model) -> list[dict[str, Array]]:
    """Draw a few directions in which the entries of all matrices move at once, those of covariances symmetrically."""
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(DIRECTIONS):
        one = {name: rng.standard_normal(getattr(model, name).shape[-2 if name != "m0" else -1 :]) for name in MATRICES}
        drawn.append({k: (x + x.T) / 2 if k in SYMMETRIC else x for k, x in one.items()})
    return drawn


def derivatives(problem: Problem) -> dict[str, Array]:
    """Return the log-likelihood (N,) and its derivative along each of `directions` (N, directions), by complex steps."""
    slopes = np.empty((problem.N, DIRECTIONS))
    loglik = np.empty(problem.N)
    for i, z in enumerate(problem.z):
        model = problem.model.of(i)
        for j, one in enumerate(directions(problem.model)):
            moved = Model(*(getattr(model, name) + 1j * STEP * one[name] for name in MATRICES))
            value = numpy_loop.forward(moved, z)[2]
            loglik[i], slopes[i, j] = value.real, value.imag / STEP
    return {"loglik": loglik, "slopes": slopes}


def slopes(model: Model, gradient: Answer) -> Array:
    """Return the derivative along each direction that a gradient (..., entries) predicts: (..., directions)."""
    return np.stack(
        [
            sum(np.sum(gradient[x] * one[x], axis=(-1,) if x == "m0" else (-2, -1)) for x in MATRICES)
            for one in directions(model)
        ],
        axis=-1,
    )


def compare(answer: Answer, expected: Answer, tolerance: float) -> float:
    """Return the largest difference, relative to the largest entry of its array; raise where it exceeds the tolerance."""
    worst = 0.0
    for name, right in expected.items():
        if name not in answer:
            continue
        ours = np.asarray(answer[name])
        if ours.shape != right.shape:
            raise WrongAnswer(f"{name}: shape {ours.shape}, not {right.shape}")
        difference = float(np.max(np.abs(ours - right)) / max(float(np.max(np.abs(right))), 1e-300))
        if not difference <= tolerance:
            raise WrongAnswer(
                f"{name} differs from the textbook recursion by {difference:.1e} (tolerance {tolerance:.0e})"
            )
        worst = max(worst, difference)
    return worst
