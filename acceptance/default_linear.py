"""Linear networks of more units than the data have states reach the bound themselves, by the default settings of `train`."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 10_000
UNITS = (2, 4, 8)


def run(seed: int) -> Row:
    """N x excess of the network of each size, as trained: nothing is read off it, nothing is cut."""
    z = series(seed, N)
    row: Row = {}
    for units in UNITS:
        trained = kelman.train(units, z[:-1], z[1:], hidden="identity", inputs=("z",), target="z_next", rng=seed)
        row[f"excess_{units}"] = N * float(kelman.excess_risk(trained.rnn, MODEL))
        row[f"converged_{units}"] = trained.converged
        row[f"radius_{units}"] = float(np.abs(np.linalg.eigvals(trained.rnn.U)).max())
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """For each size: mean and median N x excess at most 1.6 d (d = 4), no mode at the edge of stability."""
    limit = 1.6 * D if full else D + 1 + 3.3 * np.sqrt(2 * (D + 1) / len(rows))
    verdicts = [at_most("trainings that failed", failures(rows), 0)]
    for k in UNITS:
        excess = column(rows, f"excess_{k}")
        marginal = sum(row.get(f"radius_{k}", 1.0) >= 0.999 for row in rows)
        verdicts += [
            at_most(f"{k} units: mean N x excess", np.mean(excess), limit),
            at_most(f"{k} units: median N x excess", np.median(excess), limit),
            at_most(f"{k} units: networks with a mode at the edge of stability", marginal, 0),
            at_most(f"{k} units: trainings that did not converge", sum(not r.get(f"converged_{k}") for r in rows), 0),
        ]
    return verdicts


CHECK = Check(
    "default_linear",
    "linear networks of 2, 4 and 8 units for 2 states, default training, are at the bound at N = 10,000, 20 seeds",
    range(20),
    ("python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
