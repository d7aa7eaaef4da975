"""The way back: poles, impulse responses and order come out of the weights."""

from __future__ import annotations

import numpy as np
from tests.bridge.systems import closeness, markov_of, padded, random_model

import kelman
from acceptance._check import Check, Row, Verdict, at_most, column, failures

RADII = (0.5, 0.9, 0.99, 1.0, 1.02, 1.1)


def run(seed: int) -> Row:
    """Errors of poles and of 20 Markov parameters, without and with four spare units; order errors."""
    row: Row = {}
    for form in ("predicted", "aligned"):
        rng = np.random.default_rng(seed)
        model = random_model(rng, RADII[seed % len(RADII)], inputs=form == "aligned", lag=seed % 2)
        net = kelman.to_elman(model, form)
        for kind, source in (("exact", net), ("padded", padded(net, rng))):
            d = kelman.read_dynamics(source)
            row[f"{form}_{kind}_order_error"] = d.order - model.dims.n
            if d.order == model.dims.n:
                _, distance = kelman.lti.match_poles(kelman.lti.poles(model.A), d.poles)
                row[f"{form}_{kind}_poles"] = float(distance.max())
                row[f"{form}_{kind}_markov"] = closeness(d.markov(20), markov_of(model))
    return row


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Everything to 1e-9, every order right."""
    out = [at_most("systems without a result", failures(rows), 0)]
    for form in ("predicted", "aligned"):
        for kind in ("exact", "padded"):
            wrong = sum(value != 0 for value in column(rows, f"{form}_{kind}_order_error"))
            out.append(at_most(f"wrong orders, {form} {kind}", wrong, 0))
            out += [
                at_most(f"largest error of {what}, {form} {kind}", max(column(rows, f"{form}_{kind}_{what}")), 1e-9)
                for what in ("poles", "markov")
            ]
    return out


CHECK = Check(
    "inverse_map",
    "model -> network -> model gives poles and 20 Markov parameters to 1e-9, and the order with 4 spare units, for 100 random systems",
    range(100),
    ("python/kelman/bridge", "python/kelman/lti"),
    run,
    judge,
)
