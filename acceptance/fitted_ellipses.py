"""The 95 % ellipses around the poles of fitted models contain the true poles about 95 times in 100."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import CRB, POLES, series
from acceptance._check import Check, Row, Verdict, at_most, between, column, failures

N = 4_000
METHODS = ("subspace", "pem", "mle", "em")
INSIDE = -2 * np.log(0.05)
"""Quantile 0.95 of chi-square with two degrees of freedom."""


def run(seed: int) -> Row:
    """Whether each method's ellipse of the upper pole covers the truth, and its standard deviations times sqrt N."""
    z = series(seed, N)
    row: Row = {}
    for method in METHODS:
        fit = kelman.fit(z, n_states=2, method=method, progress=False)
        upper = int(np.argmax(fit.poles.imag))
        pole, spread = fit.poles[upper], fit.pole_covariance[upper]
        error = np.array([pole.real - POLES[0].real, pole.imag - POLES[0].imag])
        row[f"{method}_covered"] = bool(error @ np.linalg.solve(spread, error) <= INSIDE)
        radius, angle = abs(pole), np.angle(pole)
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-np.sin(angle), np.cos(angle)]) / radius
        row[f"{method}_std_modulus"] = float(np.sqrt(N * along @ spread @ along))
        row[f"{method}_std_angle"] = float(np.sqrt(N * across @ spread @ across))
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """90 to 98.5 % covered; standard deviations within 15 % of the Cramér-Rao bound."""
    out = [at_most("seeds with a fit that failed", failures(rows), 0)]
    for method in METHODS:
        covered = [0.0 if "error" in row else float(row[f"{method}_covered"]) for row in rows]
        low, high = (0.9, 0.985) if full else (0.0, 1.0)
        out.append(between(f"share of poles inside their 95 % ellipse, {method}", np.mean(covered), low, high))
        for part, bound in CRB.items():
            median = np.median(column(rows, f"{method}_std_{part}"))
            out.append(between(f"median sd of the {part} times sqrt N, {method}", median, 0.85 * bound, 1.15 * bound))
    return out


CHECK = Check(
    "fitted_ellipses",
    "95 % ellipses of poles of subspace, PEM, maximum likelihood and EM fits cover the truth in 90 to 98.5 % of 500 runs "
    "at N = 4,000",
    range(500),
    ("python/kelman/identify", "python/kelman/lti", "python/kelman/models", "cpp/kelman/linear"),
    run,
    judge,
)
