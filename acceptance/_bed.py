"""The test bed: a rotation of modulus .95 and angle .3 with two states, seen through one noisy measurement."""

from __future__ import annotations

import numpy as np

import kelman

MODEL = kelman.StateSpace(
    0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]), [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]]
)
POLES = 0.95 * np.exp(0.3j * np.array([1.0, -1.0]))
D = 4
"""Identifiable parameters: 2 n m."""
CRB = {"modulus": 0.350, "angle": 0.429}
"""Cramér-Rao bounds of one pole, times sqrt N."""


def series(seed: int, N: int) -> np.ndarray:
    """Measurements (N, 1) of the bed."""
    return kelman.simulate(MODEL, N, rng=np.random.default_rng(seed)).z


def pole_error(poles: np.ndarray, N: int) -> tuple[float, float]:
    """Errors of modulus and angle of the upper pole in Cramér-Rao units; inf where no pair was found."""
    upper = [v for v in np.asarray(poles) if v.imag > 0]
    if len(poles) != 2 or not upper:
        return float("inf"), float("inf")
    scale = np.sqrt(N)
    return (abs(upper[0]) - 0.95) / CRB["modulus"] * scale, (np.angle(upper[0]) - 0.3) / CRB["angle"] * scale
