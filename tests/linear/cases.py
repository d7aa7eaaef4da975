"""Models and data for the tests of the linear verbs."""

from __future__ import annotations

from typing import Any

import numpy as np

import kelman


def model(n: int = 3, m: int = 2, p: int = 0, *, seed: int = 0, **changes: Any) -> kelman.StateSpace:
    """A stable model with dense matrices; with `p` inputs in B and D."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    G, F = rng.normal(size=(n, n)), rng.normal(size=(m, m)) + np.eye(m)
    arrays: dict[str, Any] = {"A": A, "H": rng.normal(size=(m, n)), "Q": G @ G.T, "R": F @ F.T}
    arrays |= {"m1": rng.normal(size=n), "P1": np.eye(n)}
    if p:
        arrays |= {"B": rng.normal(size=(n, p)), "D": rng.normal(size=(m, p))}
    if {"m0", "P1_inf", "initial"} & changes.keys():
        del arrays["m1"], arrays["P1"]
    return kelman.StateSpace(**(arrays | changes))


def data(N: int = 4, T: int = 25, m: int = 2, *, gaps: float = 0.2, seed: int = 1) -> np.ndarray:
    """Random measurements (N, T, m) with gaps by component."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(N, T, m))
    z[rng.random(z.shape) < gaps] = np.nan
    return z


def inputs(N: int = 4, T: int = 25, p: int = 1, *, seed: int = 2) -> np.ndarray:
    """Random inputs (N, T, p)."""
    return np.random.default_rng(seed).normal(size=(N, T, p))
