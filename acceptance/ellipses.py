"""The 95 % ellipses around poles read off trained networks contain the true poles about 95 times in 100."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, POLES, series
from acceptance._check import Check, Row, Verdict, at_most, between, column, failures

N = 4_000


def run(seed: int) -> Row:
    """Whether the ellipse of the upper pole covers the truth; one network of two linear units, trained from a random start."""
    z = series(seed, N)
    net = kelman.train(
        2, z[:-1], z[1:], hidden="identity", start="random", inputs=("z",), target="z_next", rng=seed
    ).rnn
    d = kelman.read_dynamics(net, z=z, order=2)
    return {
        "covered": bool(d.covers(POLES)[0]),
        "excess": N * float(kelman.excess_risk(net, MODEL)),
        "std_modulus": float(d.pole_std[0, 0] * np.sqrt(N)),
        "std_angle": float(d.pole_std[0, 1] * np.sqrt(N)),
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """90 to 98.5 % covered."""
    covered = [0.0 if "error" in row else float(row["covered"]) for row in rows]
    low = 0.9 if full else 0.0
    return [
        at_most("trainings that failed", failures(rows), 0),
        between("share of poles inside their 95 % ellipse", np.mean(covered), low, 0.985 if full else 1.0),
        between("median sd of the modulus, times sqrt N", np.median(column(rows, "std_modulus")), 0.31, 0.40),
        between("median sd of the angle, times sqrt N", np.median(column(rows, "std_angle")), 0.37, 0.49),
    ]


CHECK = Check(
    "ellipses",
    "95 % ellipses of poles read off linear Elman networks cover the truth in 90 to 98.5 % of 500 runs at N = 4,000",
    range(500),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
