"""A tanh network is far from efficient, and has learnt the dynamics all the same: they are read by its behaviour."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_least, at_most, column, failures

N = 100_000
UNITS = 8


def run(seed: int) -> Row:
    """N x excess of the network and of what is read off it, from random weights by Adam."""
    z = series(seed, N)
    trained = kelman.train(
        UNITS, z[:-1], z[1:], hidden="tanh", method="adam", start="random", inputs=("z",), target="z_next", rng=seed
    )
    d = kelman.read_dynamics(trained.rnn, z=z)
    modulus, angle = pole_error(d.poles, N)
    return {
        "excess_net": N * float(kelman.excess_risk(trained.rnn, MODEL)),
        "excess": N * float(kelman.excess_risk(d, MODEL)),
        "order": d.order,
        "modulus": modulus,
        "angle": angle,
        "linear_r2": d.linear_r2,
        "flags": [flag.split(":")[0] for flag in d.flags],
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Poles within 3 Cramér-Rao units and N x excess at most 8 d on 18 of 20 seeds."""
    good = [
        "error" not in row and max(abs(row["modulus"]), abs(row["angle"])) <= 3 and row["excess"] <= 8 * D for row in rows
    ]
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_least("share of read-outs with poles within 3 Cramér-Rao units and N x excess <= 8 d", np.mean(good), 0.9),
        at_most("median N x excess of the read-out", np.median(column(rows, "excess")), 8 * D),
        at_least("median linear R^2", np.median(column(rows, "linear_r2")), 0.98),
    ]


CHECK = Check(
    "tanh_read_out",
    "tanh networks of 8 units, Adam from random weights, N = 100,000, 20 seeds: their behaviour has the poles within 3 Cramér-Rao units",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
