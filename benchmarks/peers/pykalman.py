"""pykalman: one series after another, in NumPy. A vector with any value masked counts as missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from pykalman import KalmanFilter

from benchmarks.problems import Problem

NAME = "pykalman"
LOOPS = True
GAPS = {"none", "whole", "single"}


def _new(problem: Problem, i: int) -> Any:
    model = problem.model.of(i)
    m1, P1 = model.first
    return KalmanFilter(model.A, model.H, model.Q, model.R, initial_state_mean=m1, initial_state_covariance=P1)


def _each(problem: Problem, verb: str) -> Any:
    masked = [np.ma.masked_invalid(z) for z in problem.z]
    return lambda: [getattr(_new(problem, i), verb)(z) for i, z in enumerate(masked)]


def _moments(results: Any, few: int) -> dict[str, Any]:
    return {"mean": np.array([r[0] for r in results[:few]]), "cov": np.array([r[1] for r in results[:few]])}


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances."""
    return _each(problem, "filter"), _moments


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Smoothed means and covariances."""
    return _each(problem, "smooth"), _moments


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods."""
    return _each(problem, "loglikelihood"), lambda results, few: {"loglik": np.array(results[:few])}


def em(problem: Problem) -> tuple[Any, Any]:
    """Twenty EM iterations of each series by itself; the log-likelihoods before the first five."""
    names = ["transition_matrices", "observation_matrices", "transition_covariance", "observation_covariance"]
    names += ["initial_state_mean", "initial_state_covariance"]

    def run(steps: int = 20) -> list[Any]:
        return [_new(problem, i).em(z, n_iter=steps, em_vars=names) for i, z in enumerate(problem.z)]

    def answer(_: Any, few: int) -> dict[str, Any]:
        found = np.empty((few, 5))
        for i in range(few):
            for k in range(5):
                known = _new(problem, i).em(problem.z[i], n_iter=k, em_vars=names) if k else _new(problem, i)
                found[i, k] = known.loglikelihood(problem.z[i])
        return {"loglik": found}

    return run, answer


def both(problem: Problem) -> tuple[Any, Any]:
    """Filter, then smoother: two calls, as the second does not give the first's results."""
    filtered, smoothed = _each(problem, "filter"), _each(problem, "smooth")

    def answer(results: Any, few: int) -> dict[str, Any]:
        later = _moments(results[1], few)
        return {**_moments(results[0], few), "smoothed_mean": later["mean"], "smoothed_cov": later["cov"]}

    return lambda: (filtered(), smoothed()), answer
