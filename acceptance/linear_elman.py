"""A linear Elman network of two units, trained from a random start, is a statistically efficient estimate of the dynamics."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import CRB, MODEL, POLES, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 10_000


def run(seed: int) -> Row:
    """N x excess and pole errors of one trained network."""
    z = series(seed, N)
    net = kelman.train(
        2, z[:-1], z[1:], hidden="identity", start="random", inputs=("z",), target="z_next", rng=seed
    ).rnn
    d = kelman.read_dynamics(net, z=z, order=2)
    modulus, angle = pole_error(d.poles, N)
    return {
        "excess": N * float(kelman.excess_risk(net, MODEL)),
        "modulus": modulus,
        "angle": angle,
        "covered": bool(d.covers(POLES).all()),
        "recurrent_modulus": float(np.abs(d.poles_recurrent).max()),
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Mean and median N x excess at most 1.6 d (d = 4; the network also learns the level of z), poles within 1.4 Cramér-Rao units."""
    excess = column(rows, "excess")
    limit = 1.6 * D if full else D + 1 + 3.3 * np.sqrt(2 * (D + 1) / len(rows))
    pooled = np.array([column(rows, part) for part in CRB])
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("mean N x excess", np.mean(excess), limit),
        at_most("median N x excess", np.median(excess), limit),
        at_most(
            "pole error in Cramér-Rao units",
            np.sqrt(np.mean(pooled**2)),
            1.4 if full else 1 + 3.3 / np.sqrt(4 * len(rows)),
        ),
    ]


CHECK = Check(
    "linear_elman",
    "linear Elman networks of 2 units, random start, default training, are efficient at N = 10,000, 20 seeds",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
