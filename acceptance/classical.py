"""The classical companions are statistically efficient: N times their excess risk is chi-square with d = 4."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import CRB, MODEL, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_most, between, column, failures

N = 10_000
METHODS = ("subspace", "pem", "mle", "em")


def run(seed: int) -> Row:
    """N x excess and pole errors of each method on one record."""
    z = series(seed, N)
    row: Row = {}
    for method in METHODS:
        fit = kelman.fit(z, n_states=2, method=method)
        row[f"{method}_excess"] = N * float(kelman.excess_risk(fit.model, MODEL))
        row[f"{method}_modulus"], row[f"{method}_angle"] = pole_error(np.linalg.eigvals(fit.model.A), N)
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Mean within 3.3 standard errors of d, where the standard deviation of one run is sqrt(2 d)."""
    reach = 3.3 * np.sqrt(2 * D / len(rows))
    out = [at_most("fits that failed", failures(rows), 0)]
    for method in METHODS:
        out.append(
            between(
                f"mean N x excess, {method}", np.mean(column(rows, f"{method}_excess")), max(D - reach, 0), D + reach
            )
        )
        pooled = np.array([column(rows, f"{method}_{part}") for part in CRB])
        out.append(at_most(f"pole error, {method}, in Cramér-Rao units", np.sqrt(np.mean(pooled**2)), 1.4))
    return out


CHECK = Check(
    "classical",
    "subspace (CCA), PEM, maximum likelihood and EM reach the Cramér-Rao bound on the test bed at N = 10,000, 50 seeds",
    range(50),
    ("python/kelman/identify", "python/kelman/lti", "python/kelman/bridge"),
    run,
    judge,
)
