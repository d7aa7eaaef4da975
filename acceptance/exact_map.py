"""The map from models to networks is exact."""

from __future__ import annotations

import numpy as np
from tests.bridge.systems import draw, random_model, steady_filter

import kelman
from acceptance._check import Check, Row, Verdict, at_most, column, failures
from kelman.bridge import network_inputs

RADII = (0.5, 0.9, 0.99, 1.0, 1.02, 1.1)
STEPS = 10_000


def run(seed: int) -> Row:
    """Largest difference between network and steady filter, relative to the largest |z|, for each form; one random system per seed."""
    row: Row = {"radius": RADII[seed % len(RADII)]}
    for form in ("predicted", "filtered", "aligned"):
        rng = np.random.default_rng(seed)
        model = random_model(
            rng, row["radius"], inputs=form != "predicted", cross=False if form == "filtered" else None, lag=seed % 2
        )
        z, u = draw(model, STEPS, rng, limit=1e8)
        predicted, filtered = steady_filter(model, z, u)
        size = np.abs(z).max()
        row.update(n=model.dims.n, m=model.dims.m, steps=len(z))
        for hidden in ("identity", "relu"):
            net = kelman.to_elman(model, form, hidden)
            y = kelman.forward(net, network_inputs(net, z, u)).y
            gap = y[:-1] - predicted[1:] if form == "predicted" else y - (predicted if form == "aligned" else filtered)
            row[f"{form}_{hidden}"] = float(np.abs(gap).max(initial=0.0) / size)
        if form == "aligned":
            line, bent = (kelman.to_elman(model.replace(b=None, c=None), form, word) for word in ("identity", "relu"))
            gaps = []
            for amplitude in 10.0 ** np.arange(-3, 4):
                a, w = (
                    kelman.forward(net, network_inputs(net, amplitude * z, None if u is None else amplitude * u)).y
                    for net in (line, bent)
                )
                gaps.append(np.abs(a - w).max() / (amplitude * size))
            row["split_amplitudes"] = float(max(gaps))
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Every difference at most 1e-12 of the largest measurement."""
    names = [f"{form}_{hidden}" for form in ("predicted", "filtered", "aligned") for hidden in ("identity", "relu")]
    worst = [
        at_most(f"largest difference, {name}", max(column(rows, name)), 1e-12) for name in (*names, "split_amplitudes")
    ]
    return [at_most("systems without a result", failures(rows), 0), *worst]


CHECK = Check(
    "exact_map",
    "networks of 100 random systems equal the steady filter to 1e-12 over 10,000 steps (or |z| = 1e8), in every form and amplitude",
    range(100),
    ("python/kelman/bridge", "python/kelman/lti", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
