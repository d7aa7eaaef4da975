"""A tanh network is far from efficient, and has learnt the dynamics all the same: they are read by its behaviour."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_least, at_most, column, failures

N = 100_000
UNITS = 8


def run(seed: int) -> Row:
    """N x excess of two networks and of what is read off them: default training, and plain Adam from random weights."""
    z = series(seed, N)
    row: Row = {}
    for name, options in (("default", {}), ("adam", {"method": "adam", "start": "random"})):
        net = kelman.train(UNITS, z[:-1], z[1:], hidden="tanh", inputs=("z",), target="z_next", rng=seed, **options).rnn
        d = kelman.read_dynamics(net, z=z)
        modulus, angle = pole_error(d.poles, N)
        row |= {
            f"{name}_net": N * float(kelman.excess_risk(net, MODEL)),
            f"{name}_read": N * float(kelman.excess_risk(d, MODEL)),
            f"{name}_order": d.order,
            f"{name}_modulus": modulus,
            f"{name}_angle": angle,
            f"{name}_linear_r2": d.linear_r2,
            f"{name}_flagged": any(flag.startswith("gain-limited") for flag in d.flags),
        }
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Default training: poles within 3 Cramér-Rao units and N x excess at most 8 d on 18 of 20. Adam: better than the network itself."""
    good = [
        "error" not in row
        and max(abs(row["default_modulus"]), abs(row["default_angle"])) <= 3
        and row["default_read"] <= 8 * D
        for row in rows
    ]
    better = ["error" not in row and row["adam_read"] < row["adam_net"] for row in rows]
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_least("default: share with poles within 3 Cramér-Rao units and N x excess <= 8 d", np.mean(good), 0.9),
        at_most("default: median N x excess of the read-out", np.median(column(rows, "default_read")), 8 * D),
        at_least("default: median linear R^2", np.median(column(rows, "default_linear_r2")), 0.98),
        at_least("Adam: share of read-outs nearer to the truth than their network", np.mean(better), 0.9),
    ]


CHECK = Check(
    "tanh_read_out",
    "tanh networks of 8 units, N = 100,000, 20 seeds: far from efficient themselves, their behaviour has the poles of the truth",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
