"""simdkalman: NumPy, vectorised over the series. A vector with any value missing counts as missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import simdkalman

from benchmarks.problems import Problem

NAME = "simdkalman"
LOOPS = False
GAPS = {"none", "whole", "single"}
ENOUGH = 2000  # series: enough to hide what Python adds to a step


def _prepared(problem: Problem, **wanted: bool) -> Any:
    model = problem.model
    kf = simdkalman.KalmanFilter(model.A, model.Q, model.H, model.R)
    m1, P1 = model.first
    options = {"smoothed": False, "filtered": False, "observations": False, **wanted}
    return lambda: kf.compute(problem.z, 0, initial_value=m1, initial_covariance=P1, **options)


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filtered means and covariances."""
    return _prepared(problem, filtered=True), lambda r, few: {
        "mean": r.filtered.states.mean[:few],
        "cov": r.filtered.states.cov[:few],
    }


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods; it leaves out the constant of 2 pi, which is put back here."""
    constants = np.log(2 * np.pi) / 2 * np.isfinite(problem.z).all(-1).sum(-1) * problem.model.m
    return _prepared(problem, log_likelihood=True), lambda r, few: {
        "loglik": np.asarray(r.log_likelihood)[:few] - constants[:few]
    }


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Smoothed means and covariances."""
    return _prepared(problem, smoothed=True), lambda r, few: {
        "mean": r.smoothed.states.mean[:few],
        "cov": r.smoothed.states.cov[:few],
    }
