"""filterpy: one series after another, one step at a time, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from filterpy.kalman import KalmanFilter

from benchmarks.problems import Problem

NAME = "filterpy"
LOOPS = True
GAPS = {"none", "whole"}


def _new(problem: Problem, i: int) -> Any:
    model = problem.model.of(i)
    kf = KalmanFilter(dim_x=model.n, dim_z=model.m)
    kf.F, kf.H, kf.Q, kf.R = model.A, model.H, model.Q, model.R
    kf.x, kf.P = model.m0.copy(), model.P0.copy()
    return kf


def _measured(z: Any) -> list[Any]:
    return [None if np.isnan(row).all() else row for row in z]


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances of its batch function."""
    measured = [_measured(z) for z in problem.z]

    def run() -> Any:
        return [_new(problem, i).batch_filter(z)[:2] for i, z in enumerate(measured)]

    return run, lambda results, few: {
        "mean": np.array([r[0] for r in results[:few]]).reshape(few, problem.T, -1),
        "cov": np.array([r[1] for r in results[:few]]),
    }


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Sums of the log-likelihoods of its steps."""
    measured = [_measured(z) for z in problem.z]

    def run() -> list[float]:
        sums = []
        for i, z in enumerate(measured):
            kf, total = _new(problem, i), 0.0
            for row in z:
                kf.predict()
                kf.update(row)
                if row is not None:
                    total += kf.log_likelihood
            sums.append(total)
        return sums

    return run, lambda results, few: {"loglik": np.array(results[:few])}


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Its batch function, then its smoother."""
    measured = [_measured(z) for z in problem.z]

    def run() -> Any:
        found = []
        for i, z in enumerate(measured):
            kf = _new(problem, i)
            found.append(kf.rts_smoother(*kf.batch_filter(z)[:2])[:2])
        return found

    return run, lambda results, few: {
        "mean": np.array([r[0] for r in results[:few]]).reshape(few, problem.T, -1),
        "cov": np.array([r[1] for r in results[:few]]),
    }


def stream(problem: Problem) -> tuple[Any, Any]:
    """One call of predict and one of update for each step."""
    rows = list(problem.z[0])

    def run() -> Any:
        kf = _new(problem, 0)
        for z in rows:
            kf.predict()
            kf.update(z)
        return kf.x

    return run, lambda x, _: {"last": x.reshape(1, -1)}
