# SPDX-License-Identifier: BSD-3-Clause
"""Random models of every kind, with data drawn from them, for `kelman validate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import kelman

if TYPE_CHECKING:
    from kelman._types import Array

KINDS: dict[str, frozenset[str]] = {
    "plain": frozenset(),
    "gaps": frozenset({"gaps"}),
    "inputs and offsets": frozenset({"inputs", "offsets"}),
    "time-varying": frozenset({"time"}),
    "per series": frozenset({"series"}),
    "correlated noise": frozenset({"cross", "gaps"}),
    "singular noise": frozenset({"singular"}),
    "diffuse start": frozenset({"diffuse", "gaps"}),
    "all at once": frozenset({"gaps", "inputs", "offsets", "time", "series", "cross", "singular", "diffuse"}),
}
"""Kinds of models -> what is special about them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A model, series from it (N, T, m) with gaps, and their inputs."""

    model: kelman.StateSpace
    z: Array
    u: Array | None


def draw(kind: str, rng: np.random.Generator) -> Sample:
    """Draw one model of a kind, and data from it: T = 10, n <= 4, m <= 3, p <= 2, N = 2."""
    traits = KINDS[kind]
    n, m, T, N = int(rng.integers(1, 5)), int(rng.integers(1, 4)), 10, 2
    p = int(rng.integers(1, 3)) if "inputs" in traits else 0

    def varied(make: Callable[[], Array]) -> Array:
        steps = [make() for _ in range(T if "time" in traits else 1)]
        if "series" in traits:
            more = [np.stack([make() for _ in steps]) for _ in range(N - 1)]
            return np.stack([np.stack(steps), *more])
        return np.stack(steps) if "time" in traits else steps[0]

    singular = "singular" in traits
    q, r = (int(rng.integers(0, n + 1)), int(rng.integers(0, m + 1))) if singular else (n, m)
    noise = varied(lambda: _noise(rng, n, m, q, r, cross="cross" in traits))
    arguments: dict[str, Any] = {}
    if p:
        arguments = {"B": varied(lambda: rng.normal(size=(n, p))), "D": varied(lambda: rng.normal(size=(m, p)))}
    if "offsets" in traits:
        arguments |= {"b": varied(lambda: rng.normal(size=n)), "c": varied(lambda: rng.normal(size=m))}
    if "cross" in traits:
        arguments["S"] = noise[..., :n, n:]
    A, H = varied(lambda: _transition(rng, n)), varied(lambda: rng.normal(size=(m, n)))
    mean, root = rng.normal(size=n), rng.normal(size=(n, n)) + np.eye(n)
    known = rng.random() < 0.5
    names = ("m0", "P0") if known and "diffuse" not in traits else ("m1", "P1")
    arguments |= dict(zip(names, (mean, root @ root.T), strict=True))
    model = kelman.StateSpace(A, H, noise[..., :n, :n], noise[..., n:, n:], **arguments)
    u = rng.normal(size=(N, T, p)) if p else None
    z = kelman.simulate(model, T, N, u, rng=rng).z
    if "diffuse" in traits:
        V = np.linalg.qr(rng.normal(size=(n, int(rng.integers(1, n + 1)))))[0]
        model = model.replace(P1_inf=V @ V.T)
    if "gaps" in traits:
        z = np.where((rng.random(z.shape) < 0.2) | (rng.random((N, T, 1)) < 0.1), np.nan, z)
    return Sample(model, z, u)


def _transition(rng: np.random.Generator, n: int) -> Array:
    A = rng.normal(size=(n, n))
    return A * (rng.uniform(0.4, 1.02) / max(float(np.abs(np.linalg.eigvals(A)).max()), 0.1))


def _noise(rng: np.random.Generator, n: int, m: int, q: int, r: int, *, cross: bool) -> Array:
    """Joint covariance (n + m, n + m) of (w, v), with Q of rank q and R of rank r."""
    W = np.hstack([rng.normal(size=(n, q)) + np.eye(n, q), np.zeros((n, r))])
    V = (0.5 * rng.normal(size=(m, r)) + np.eye(m, r)) @ np.hstack([0.5 * rng.normal(size=(r, q)) * cross, np.eye(r)])
    root = np.vstack([W, V])
    return np.asarray(root @ root.T)
