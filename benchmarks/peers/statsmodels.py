"""statsmodels: one series after another. A new object for each: `bind` of a second series of equal length is not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from benchmarks.problems import Problem

NAME = "statsmodels"
LOOPS = True
GAPS = {"none", "whole", "single"}


def _bound(problem: Problem, i: int) -> Any:
    model = problem.model.of(i)
    found = KalmanSmoother(
        model.m,
        model.n,
        transition=model.A,
        design=model.H,
        state_cov=model.Q,
        obs_cov=model.R,
        selection=np.eye(model.n),
    )
    found.bind(problem.z[i])
    found.initialize_known(*model.first)
    return found


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances, its arrays as they are."""

    def run() -> Any:
        return [_bound(problem, i).filter() for i in range(problem.N)]

    return run, lambda results, few: {
        "mean": np.array([r.filtered_state.T for r in results[:few]]),
        "cov": np.array([np.moveaxis(r.filtered_state_cov, -1, 0) for r in results[:few]]),
    }


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods, with nothing else kept in memory."""
    return lambda: [_bound(problem, i).loglike() for i in range(problem.N)], lambda results, few: {
        "loglik": np.array(results[:few])
    }


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Smoothed means and covariances."""
    run, every = both(problem)

    def answer(results: Any, few: int) -> dict[str, Any]:
        found = every(results, few)
        return {"mean": found["smoothed_mean"], "cov": found["smoothed_cov"]}

    return run, answer


def both(problem: Problem) -> tuple[Any, Any]:
    """Filter and smoother."""

    def run() -> Any:
        return [_bound(problem, i).smooth() for i in range(problem.N)]

    return run, lambda results, few: {
        "mean": np.array([r.filtered_state.T for r in results[:few]]),
        "cov": np.array([np.moveaxis(r.filtered_state_cov, -1, 0) for r in results[:few]]),
        "smoothed_mean": np.array([r.smoothed_state.T for r in results[:few]]),
        "smoothed_cov": np.array([np.moveaxis(r.smoothed_state_cov, -1, 0) for r in results[:few]]),
    }


def variances(problem: Problem) -> tuple[Any, Any]:
    """Maximum likelihood of a local level, series after series, from its own starts by its own optimiser."""
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    m1, P1 = problem.model.first

    def run() -> Any:
        found = []
        for z in problem.z:
            model = UnobservedComponents(z[:, 0], "local level")
            model.ssm.initialize_known(m1, P1)
            model.loglikelihood_burn = 0
            found.append(model.fit(disp=0, cov_type="none").llf)
        return np.array(found)

    return run, lambda results, few: {"loglik": results[:few]}
