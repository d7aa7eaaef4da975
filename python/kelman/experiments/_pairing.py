# SPDX-License-Identifier: BSD-3-Clause
"""Study: the pairing as the question writes it (U = A, W = B, V = H, driven by u only) is a simulator, not a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.bridge import to_elman
from kelman.experiments._exact_map import driven_rotation, network_inputs
from kelman.linear import simulate, steady_state
from kelman.lti import lyapunov
from kelman.models import Elman
from kelman.rnn import forward

if TYPE_CHECKING:
    from kelman._types import Array

SHOWN = 120


@dataclass(frozen=True, slots=True)
class PairingRow:
    """One predictor of z_k: its mean squared error on the series, and what theory says of it."""

    name: str
    reads: str
    mse: float
    exact_mse: float


@dataclass(frozen=True, slots=True)
class LiteralPairing:
    """Mean squared one-step errors of the pairing, of the filter and of two predictors that know nothing."""

    steps: int
    rows: tuple[PairingRow, ...]
    z: Array
    filter_prediction: Array
    literal_prediction: Array

    def row(self, name: str) -> PairingRow:
        """Return the row of that name."""
        return next(row for row in self.rows if row.name == name)


def literal_pairing(*, steps: int = 20_000, seed: int = 0) -> LiteralPairing:
    """Give the same series to four predictors: the literal pairing, the filter, the mean, the last value.

    Parameters
    ----------
    steps : int
        Length of the series.
    seed : int
        Seed of the series.

    Returns
    -------
    LiteralPairing
    """
    rng = np.random.default_rng(seed)
    model = driven_rotation()
    assert model.B is not None
    A, B, H, Q, R = model.A, model.B, model.H, model.Q, model.R
    u = rng.standard_normal((steps, 1))
    z = simulate(model, steps, u=u, rng=rng).z

    literal = Elman(A, B, np.zeros(2), H, np.zeros(1), hidden="identity", inputs=("u",), target="z")
    simulated = forward(literal, u, store="outputs").y
    net = to_elman(model, form="aligned")
    filtered = forward(net, network_inputs(net, z, u), store="outputs").y

    noise_cov, input_cov = lyapunov(A, Q), lyapunov(A, B @ B.T)
    both = noise_cov + input_cov
    variance = float((H @ both @ H.T + R)[0, 0])
    lag_one = float((H @ A @ both @ H.T)[0, 0])

    def row(name: str, reads: str, prediction: Array | float, exact: float) -> PairingRow:
        return PairingRow(name, reads, float(np.mean((z - prediction)[100:] ** 2)), exact)

    last = np.vstack([np.zeros((1, 1)), z[:-1]])
    rows = (
        row("Kalman filter", "past z, u", filtered, float(steady_state(model).innovation_cov[0, 0])),
        row("literal pairing", "u", simulated, float((H @ noise_cov @ H.T + R)[0, 0])),
        row("mean", "nothing", 0.0, variance),
        row("last value", "last z", last, 2.0 * (variance - lag_one)),
    )
    stop = 100 + SHOWN
    return LiteralPairing(steps, rows, z[100:stop, 0], filtered[100:stop, 0], simulated[100:stop, 0])
