"""A linear network that is shown what a known filter does becomes that filter."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 2_000
FRESH = 1_000
"""Seeds of the fresh series are this much higher."""


def run(seed: int) -> Row:
    """Relative error of networks of 2 and 4 units on fresh measurements, against the filter that they imitate."""
    row: Row = {}
    z, fresh = series(seed, N), series(seed + FRESH, N)
    estimate, wanted = kelman.filter(MODEL, z).mean, kelman.filter(MODEL, fresh).mean
    for units in (2, 4):
        result = kelman.train(units, z, estimate, hidden="identity", inputs=("z",), target="state", rng=seed)
        error = kelman.forward(result.rnn, fresh).y - wanted
        settled = slice(N // 4, None)
        row[f"relative_{units}"] = float(np.abs(error[settled]).max() / wanted.std())
        row[f"converged_{units}"] = result.converged
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Largest error at most 1e-8 of the estimate's deviation, for every seed and size; every training converges."""
    del full
    unfinished = sum(not row.get(f"converged_{units}", False) for row in rows for units in (2, 4))
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("trainings that did not converge", unfinished, 0),
        at_most("largest relative error, 2 units", np.max(column(rows, "relative_2")), 1e-8),
        at_most("largest relative error, 4 units", np.max(column(rows, "relative_4")), 1e-8),
    ]


CHECK = Check(
    "distillation",
    "linear networks trained on the estimates of a known filter repeat it to 1e-8, 20 seeds",
    range(20),
    ("python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
