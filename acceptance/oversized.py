"""Over-sized linear networks come back to efficiency, and to the right order, when their dynamics are read."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, POLES, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_least, at_most, column, failures

N = 100_000
UNITS = 8


def run(seed: int) -> Row:
    """N x excess of the network and of what is read off it, and the order found; default training from a random start."""
    z = series(seed, N)
    net = kelman.train(
        UNITS, z[:-1], z[1:], hidden="identity", start="random", inputs=("z",), target="z_next", rng=seed
    ).rnn
    d = kelman.read_dynamics(net, z=z)
    modulus, angle = pole_error(d.poles, N)
    radius = float(np.abs(np.linalg.eigvals(net.U)).max())
    kept = float(np.abs(np.linalg.eigvals(d.F)).max())
    return {
        "excess_net": N * float(kelman.excess_risk(net, MODEL)),
        "excess": N * float(kelman.excess_risk(d, MODEL)),
        "order": d.order,
        "modulus": modulus,
        "angle": angle,
        "covered": bool(d.order == 2 and d.covers(POLES).all()),
        "radius": radius,
        "radius_kept": kept,
        "flagged": any(flag.startswith("marginal") for flag in d.flags),
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Median N x excess at most 1.6 d, none above 5 d, order right in 19 of 20, no marginal mode unnoticed."""
    excess = column(rows, "excess")
    right = sum(row.get("order") == 2 for row in rows)
    unseen = sum(row.get("radius", 0.0) >= 0.999 and not row.get("flagged", True) for row in rows)
    kept = sum(row.get("radius_kept", 0.0) >= 0.999 for row in rows)
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("median N x excess", np.median(excess), 1.6 * D),
        at_most("largest N x excess", max(excess), 5 * D),
        at_least("share of right orders", right / len(rows), 0.95),
        at_most("marginal modes that went unnoticed", unseen, 0),
        at_most("marginal modes kept in the model", kept, 0),
    ]


CHECK = Check(
    "oversized",
    "linear networks of 8 units for 2 states, N = 100,000, 20 seeds: the read-out is efficient and has the right order",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
