"""fast-kalman: C++ behind Python, fixed sizes, one measurement in a call."""

from __future__ import annotations

from typing import Any

import kalman
import numpy as np

from benchmarks.problems import Problem

NAME = "fast-kalman"
LOOPS = True
GAPS = {"none"}


def _new(problem: Problem) -> Any:
    model = problem.model
    matrices = {"P": model.P0, "F": model.A, "Q": model.Q, "H": model.H, "R": model.R, "x": model.m0}
    flat = {name: x.ravel().tolist() for name, x in matrices.items()}
    return kalman.LinearKalmanFilter(model.n, model.m, **flat)


def stream(problem: Problem) -> tuple[Any, Any]:
    """One call for each step: predict and update, with the measurement as a list, which it takes fastest."""
    rows = problem.z[0].tolist()

    def run() -> Any:
        kf = _new(problem)
        for z in rows:
            kf.update(z)
        return kf.x

    return run, lambda x, _: {"last": np.asarray(x).reshape(1, -1)}
