"""Over-sized linear networks come back to efficiency, and to the right order, when their dynamics are read."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, POLES, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_least, at_most, column, failures

N = 100_000
UNITS = (4, 8)


def run(seed: int) -> Row:
    """N x excess of the networks and of what is read off them, and the order found; default training from random starts."""
    z = series(seed, N)
    row: Row = {}
    for units in UNITS:
        net = kelman.train(
            units, z[:-1], z[1:], hidden="identity", start="random", inputs=("z",), target="z_next", rng=seed
        ).rnn
        d = kelman.read_dynamics(net, z=z)
        modulus, angle = pole_error(d.poles, N)
        found = {
            "excess_net": N * float(kelman.excess_risk(net, MODEL)),
            "excess": N * float(kelman.excess_risk(d, MODEL)),
            "order": d.order,
            "modulus": modulus,
            "angle": angle,
            "covered": bool(d.order == 2 and d.covers(POLES).all()),
            "radius": float(np.abs(np.linalg.eigvals(net.U)).max()),
            "radius_kept": float(np.abs(np.linalg.eigvals(d.F)).max()),
            "flagged": any(flag.startswith("marginal") for flag in d.flags),
        }
        row |= {f"{name}_{units}": value for name, value in found.items()}
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """For each size: median N x excess at most 1.6 d, none above 5 d, order right in 19 of 20, no marginal mode unnoticed."""
    verdicts = [at_most("trainings that failed", failures(rows), 0)]
    for k in UNITS:
        excess = column(rows, f"excess_{k}")
        right = sum(row.get(f"order_{k}") == 2 for row in rows)
        unseen = sum(row.get(f"radius_{k}", 0.0) >= 0.999 and not row.get(f"flagged_{k}", True) for row in rows)
        kept = sum(row.get(f"radius_kept_{k}", 0.0) >= 0.999 for row in rows)
        verdicts += [
            at_most(f"{k} units: median N x excess", np.median(excess), 1.6 * D),
            at_most(f"{k} units: largest N x excess", max(excess), 5 * D),
            at_least(f"{k} units: share of right orders", right / len(rows), 0.95),
            at_most(f"{k} units: marginal modes that went unnoticed", unseen, 0),
            at_most(f"{k} units: marginal modes kept in the model", kept, 0),
        ]
    return verdicts


CHECK = Check(
    "oversized",
    "linear networks of 4 and 8 units for 2 states, N = 100,000, 20 seeds: the read-out is efficient and has the right order",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
