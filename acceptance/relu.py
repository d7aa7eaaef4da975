"""A rectified network with twice the units of the truth reaches the floor by the default recipe."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 10_000
UNITS = 4


def run(seed: int) -> Row:
    """N x excess of one network, default training, and how it ended."""
    z = series(seed, N)
    result = kelman.train(UNITS, z[:-1], z[1:], hidden="relu", inputs=("z",), target="z_next", rng=seed)
    return {
        "excess": N * float(kelman.excess_risk(result.rnn, MODEL)),
        "converged": result.converged,
        "failed_starts": len(result.failures),
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Mean and median N x excess at most 3 d, none above 10 d; every training converges."""
    del full
    excess = column(rows, "excess")
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("trainings that did not converge", sum(not row.get("converged", False) for row in rows), 0),
        at_most("mean N x excess", np.mean(excess), 3 * D),
        at_most("median N x excess", np.median(excess), 3 * D),
        at_most("largest N x excess", np.max(excess), 10 * D),
    ]


CHECK = Check(
    "relu",
    "rectified networks of 4 units, default training, come within 3 d of the floor at N = 10,000, 20 seeds",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
