"""A tanh network trained by the default recipe comes close to the filter, and its dynamics can be read by behaviour."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._bed import MODEL, D, pole_error, series
from acceptance._check import Check, Row, Verdict, at_most, column, failures

N = 100_000
UNITS = 8


def run(seed: int) -> Row:
    """Relative excess risk of the network, and N x excess and pole errors of what is read off it."""
    z = series(seed, N)
    result = kelman.train(UNITS, z[:-1], z[1:], inputs=("z",), target="z_next", rng=seed)
    d = kelman.read_dynamics(result.rnn, z=z, order=2)
    modulus, angle = pole_error(d.poles, N)
    return {
        "relative": float(kelman.excess_risk(result.rnn, MODEL)),
        "read": N * float(kelman.excess_risk(d, MODEL)),
        "modulus": modulus,
        "angle": angle,
        "iterations": len(result.history),
        "converged": result.converged,
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Excess at most 1e-3 for every seed; poles of the read-out within 5 Cramér-Rao units, its N x excess at most 8 d."""
    del full
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("largest relative excess of the network", np.max(column(rows, "relative")), 1e-3),
        at_most("largest N x excess of the read-out", np.max(column(rows, "read")), 8 * D),
        at_most(
            "largest pole error in Cramér-Rao units",
            np.max(np.abs(column(rows, "modulus") + column(rows, "angle"))),
            5,
        ),
    ]


CHECK = Check(
    "tanh",
    "tanh networks of 8 units, default training, reach a relative excess of 1e-3 at N = 100,000; their read-out the bound; 20 seeds",
    range(20),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
