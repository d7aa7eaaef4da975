# SPDX-License-Identifier: BSD-3-Clause
"""Study: how fast do methods approach the Kalman floor as the series grows? Efficient is d / T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman import systems
from kelman.bridge import excess_risk
from kelman.experiments._scoring import train_network
from kelman.experiments._testbed import truth
from kelman.identify import fit
from kelman.linear import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.models import Elman, StateSpace


@dataclass(frozen=True, slots=True)
class Curve:
    """One method: excess risk of every series (rows: sizes, columns: series) and its slope in the log-log plane."""

    name: str
    excess: Array
    slope: float
    slope_sd: float  # of an efficient method: that of log chi-square(d) divided by the spread of log T
    mean_score: float  # T x excess, mean over sizes and series; d if efficient


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """All curves, on the same series."""

    sizes: tuple[int, ...]
    seeds: int
    n_parameters: int
    curves: tuple[Curve, ...]

    def curve(self, name: str) -> Curve:
        """Return the curve of that name."""
        return next(curve for curve in self.curves if curve.name == name)


def series_count(*, quick: bool) -> int:
    """Return how many series the learning curve takes."""
    return 2 if quick else 8


def learning_curve(*, quick: bool = False, seed: int = 0, note: Callable[[str], None] | None = None) -> LearningCurve:
    """Fit the same series, cut at several lengths, by subspace, prediction error method and a linear network.

    Parameters
    ----------
    quick : bool
        Fewer and shorter series.
    seed : int
        Seed of the first series; the others have the seeds that follow.
    note : callable, optional
        Told after every series.

    Returns
    -------
    LearningCurve
    """
    sizes = (1_000, 3_000, 10_000) if quick else (1_000, 10_000, 100_000)
    seeds = series_count(quick=quick)
    bed = truth(systems.rotation())
    methods: dict[str, Callable[[Array, int], StateSpace | Elman]] = {
        "subspace": lambda z, _: fit(z, n_states=2, method="subspace").model,
        "PEM": lambda z, _: fit(z, n_states=2, method="pem").model,
        "linear Elman, 2 units": lambda z, number: train_network(z, "identity", 2, number).rnn,
    }
    excess = {name: np.empty((len(sizes), seeds)) for name in methods}
    for j in range(seeds):
        z = simulate(bed.model, sizes[-1], rng=np.random.default_rng(seed + j)).z
        for i, size in enumerate(sizes):
            for name, method in methods.items():
                excess[name][i, j] = float(excess_risk(method(z[:size], seed + j), bed.model))
        if note is not None:
            note(f"series {j + 1}")
    from scipy.special import polygamma

    x = np.log(np.repeat(np.asarray(sizes, dtype=float), seeds))
    curves = tuple(
        Curve(
            name,
            values,
            float(np.polyfit(x, np.log(values.ravel()), 1)[0]),
            float(np.sqrt(polygamma(1, 0.5 * bed.n_parameters) / np.sum((x - x.mean()) ** 2))),
            float(np.mean(np.asarray(sizes)[:, None] * values)),
        )
        for name, values in excess.items()
    )
    return LearningCurve(sizes, seeds, bed.n_parameters, curves)
