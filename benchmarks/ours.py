"""How kelman does each task: the ways of running it, and the answer of the first series."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import kelman
from benchmarks import ours_networks
from benchmarks.check import MATRICES
from benchmarks.problems import Problem

Run = Callable[[], Any]
Answer = dict[str, np.ndarray]
Way = tuple[Run, Callable[[Any], Answer]]  # the work, and the arrays of what it returned


class Missing(Exception):
    """What the workload needs is not in this installation."""


def state_space(problem: Problem) -> kelman.StateSpace:
    """Return kelman's model of a problem."""
    matrices = {name: getattr(problem.model, name) for name in MATRICES}
    if problem.model.A.ndim == 3:  # one for each series: an axis of time, of length one, comes second
        matrices |= {name: matrices[name][:, None] for name in "AHQR"}
    return kelman.StateSpace(**matrices)


def _moments(r: Any) -> Answer:
    return {"mean": r.mean, "cov": r.cov}


def filter(problem: Problem, threads: int) -> dict[str, Way]:
    """Means and covariances: into results of an earlier call, and into fresh ones."""
    model, z = state_space(problem), problem.z if problem.N > 1 else problem.z[0]

    def fresh(**more: Any) -> Any:
        return kelman.filter(model, z, threads=threads, **more)

    kept = fresh()
    batch = _moments if problem.N > 1 else lambda r: {k: v[None] for k, v in _moments(r).items()}
    ways = {"out=": (lambda: fresh(out=kept), batch), "fresh": (fresh, batch)}
    if problem.N == 1 and "steady_state" in inspect.signature(kelman.filter).parameters:
        ways["out=, every step"] = (lambda: fresh(out=kept, steady_state=False), batch)
    return ways


def loglik(problem: Problem, threads: int) -> dict[str, Way]:
    """Log-likelihoods only."""
    model, z = state_space(problem), problem.z

    def answer(value: Any) -> Answer:
        return {"loglik": np.asarray(value)}

    ways: dict[str, Way] = {"loglik": (lambda: kelman.loglik(model, z, threads=threads), answer)}
    if problem.N == 1 and "steady_state" in inspect.signature(kelman.loglik).parameters:
        ways["every step"] = (lambda: kelman.loglik(model, z, threads=threads, steady_state=False), answer)
    return ways


def smooth(problem: Problem, threads: int) -> dict[str, Way]:
    """Smoothed means and covariances."""
    model, z = state_space(problem), problem.z

    def fresh(**more: Any) -> Any:
        return kelman.smooth(model, z, threads=threads, **more)

    ways: dict[str, Way] = {"fresh": (fresh, _moments)}
    if "out" in inspect.signature(kelman.smooth).parameters:
        kept = fresh()
        ways["out="] = (lambda: fresh(out=kept), _moments)
    return ways


def both(problem: Problem, threads: int) -> dict[str, Way]:
    """Filtered and smoothed moments of one call, as the peers' one call gives them."""
    model, z = state_space(problem), problem.z

    def answer(r: Any) -> Answer:
        found = {"smoothed_mean": r.mean, "smoothed_cov": r.cov}
        return found | ({"mean": r.filtered_mean, "cov": r.filtered_cov} if "filtered_mean" in r._arrays else {})

    def run(**more: Any) -> Way:
        return lambda: kelman.smooth(model, z, threads=threads, **more), answer

    return {
        "both": run(filtered=True),
        "both, every step": run(filtered=True, steady_state=False),
        "smoothed only": run(),
    }


def gradient(problem: Problem, threads: int) -> dict[str, Way]:
    """Log-likelihood and its derivatives by every entry of A, H, Q, R, m0, P0."""
    if not hasattr(kelman, "loglik_and_grad"):
        raise Missing("kelman.loglik_and_grad is not in this installation")
    model, z = state_space(problem), problem.z
    shared = problem.model.A.ndim == 2

    def answer(r: Any) -> Answer:
        loglik, found = r
        arrays = {name: np.asarray(found[name]) for name in MATRICES}
        if not shared:
            arrays |= {name: arrays[name][:, 0] for name in "AHQR"}
        return {"loglik": loglik.sum() if shared else loglik, **arrays}

    return {"gradient": (lambda: kelman.loglik_and_grad(model, z, threads=threads), answer)}


def em(problem: Problem, threads: int) -> dict[str, Way]:
    """Twenty EM iterations of all series at once, everything free, begun at the models of the problem."""
    if not hasattr(kelman.identify, "em"):
        raise Missing("kelman.identify.em is not in this installation")
    model, free = problem.model.of(0), kelman.Free
    m1, P1 = problem.model.first
    given = {"A": problem.model.A, "H": problem.model.H, "Q": problem.model.Q, "R": problem.model.R, "m1": m1, "P1": P1}
    template = kelman.Template(
        *(free(getattr(model, name)) for name in "AHQR"), m1=free(model.first[0]), P1=free(model.first[1])
    )
    low = {name: np.tril_indices(given[name].shape[-1]) for name in ("Q", "R", "P1")}
    start = np.concatenate(
        [
            value[:, low[name][0], low[name][1]] if name in low else value.reshape(problem.N, -1)
            for name, value in given.items()
        ],
        axis=1,
    )

    def work() -> Any:
        return kelman.identify.em(
            template, start, problem.z, per_series=True, max_iter=20, tol=0, accelerate=False, threads=threads
        )

    return {"EM": (work, lambda r: {"loglik": r.history[:, :5]})}


def variances(problem: Problem, threads: int) -> dict[str, Way]:
    """The most likely variances of each series; what is compared is the likelihood that they reach."""
    if not hasattr(kelman, "Template"):
        raise Missing("kelman.Template is not in this installation")
    model, free = problem.model, kelman.Free
    m1, P1 = model.first
    template = kelman.Template(model.A, model.H, [[free()]], [[free()]], m1=m1, P1=P1)

    def work() -> Any:
        return kelman.fit(problem.z, template=template, per_series=True, threads=threads)

    return {"fit": (work, lambda r: {"loglik": np.asarray(r.loglik)})}


def stream(problem: Problem, threads: int) -> dict[str, Way]:
    """One call of a Stepper for each step."""
    model, rows = state_space(problem), list(problem.z[0])

    def work() -> Any:
        step = kelman.Stepper(model, threads=threads)
        for z in rows:
            step(z)
        return step.mean

    return {"Stepper": (work, lambda mean: {"last": mean[None]})}


TASKS: Mapping[str, Callable[[Any, int], dict[str, Way]]] = {
    **ours_networks.TASKS,
    "filter": filter,
    "loglik": loglik,
    "smooth": smooth,
    "both": both,
    "gradient": gradient,
    "em": em,
    "variances": variances,
    "stream": stream,
}
