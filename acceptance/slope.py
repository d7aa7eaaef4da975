"""The excess risk of every linear method falls like 1 / N: the slope of its logarithm over 1e3 to 1e6 is -1 +- 0.1."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, series
from acceptance._check import Check, Row, Verdict, at_most, between, column, failures

SIZES = (1_000, 10_000, 100_000, 1_000_000)
METHODS = ("subspace", "pem", "mle", "em")


def run(seed: int) -> Row:
    """Excess risk of each method at each size, on records of their own."""
    row: Row = {}
    for k, N in enumerate(SIZES):
        z = series(1_000 * (k + 1) + seed, N)
        for method in METHODS:
            # Maximum likelihood knows that it is a damped cycle in noise: three numbers decide its predictor, not four.
            known = method == "mle"
            fit = (
                kelman.fit(z, template=kelman.structural.cycle()) if known else kelman.fit(z, n_states=2, method=method)
            )
            row[f"{method}_{N}"] = float(kelman.excess_risk(fit.model, MODEL))
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Slope of log mean excess; with few seeds only that N x excess is near d at every size."""
    out = [at_most("records that failed", failures(rows), 0)]
    for method in METHODS:
        means = np.array([np.mean(column(rows, f"{method}_{N}")) for N in SIZES])
        if full:
            slope = np.polyfit(np.log(SIZES), np.log(means), 1)[0]
            out.append(between(f"slope of log excess against log N, {method}", slope, -1.1, -0.9))
        else:
            reach = 3.3 * np.sqrt(2 * D / len(rows))
            worst = float(np.max(means * np.array(SIZES)))
            out.append(at_most(f"largest mean N x excess over the sizes, {method}", worst, D + reach))
    return out


CHECK = Check(
    "slope",
    "subspace, PEM, maximum likelihood and EM: excess risk falls like 1 / N over 1e3 to 1e6, 20 seeds at each size",
    range(20),
    (
        "python/kelman/identify",
        "python/kelman/lti",
        "python/kelman/bridge",
        "python/kelman/linear",
        "cpp/kelman/linear",
    ),
    run,
    judge,
)
