"""Gated and curved networks trained by the default recipe come close to the filter."""

from __future__ import annotations

from typing import Any

import numpy as np

import kelman
from acceptance._bed import MODEL, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 100_000
FRESH = 1_000
"""Seeds of the fresh series are this much higher."""
NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {"gru_16": (16, {"cell": "gru"}), "lstm_4": (4, {"cell": "lstm"})}


def run(seed: int) -> Row:
    """Excess risk relative to the innovation variance, on fresh measurements and against the filter's own predictions."""
    z, fresh = series(seed, N), series(seed + FRESH, N)
    best = kelman.filter(MODEL, fresh, store="all")
    wanted = fresh[1:] - best.innovation[1:]
    variance = float(best.innovation_cov[-1, 0, 0])
    row: Row = {}
    for name, (units, options) in NETWORKS.items():
        result = kelman.train(units, z[:-1], z[1:], inputs=("z",), target="z_next", rng=seed, **options)
        error = kelman.forward(result.rnn, fresh[:-1]).y - wanted
        row[name] = float(np.mean(error[200:] ** 2)) / variance
        row[f"{name}_converged"] = result.converged
        row[f"{name}_method"] = result.method
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Excess at most 1e-3 for every seed."""
    del full
    verdicts = [at_most("trainings that failed", failures(rows), 0)]
    return verdicts + [
        at_most(f"{name}: largest relative excess", np.max(column(rows, name)), 1e-3) for name in NETWORKS
    ]


CHECK = Check(
    "gated",
    "GRU networks of 16 units and LSTM networks of 4, default training, reach a relative excess of 1e-3 at N = 100,000, 20 seeds",
    range(20),
    ("python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
