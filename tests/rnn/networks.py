"""Random networks and data for the tests of recurrent networks."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

import kelman
from kelman.models._activation import ACTIVATIONS, Activation

WORDS = get_args(Activation)
PAIRS = [(hidden, output) for hidden in WORDS for output in WORDS]
SMOOTH = [name for name, row in ACTIVATIONS.items() if row.smooth]


def network(
    seed: int, hidden: str = "tanh", output: str = "identity", sizes: tuple[int, int, int] = (2, 3, 2), **options: Any
) -> kelman.Elman:
    """A random stable network of (inputs, hidden units, outputs); `direct`, `start` ("shared", number of series)."""
    rng = np.random.default_rng(seed)
    i, h, o = sizes
    U = rng.normal(size=(h, h))
    U *= 0.8 / np.abs(np.linalg.eigvals(U)).max()
    start = options.get("start")
    return kelman.Elman(
        U,
        rng.normal(size=(h, i)),
        0.3 * rng.normal(size=h),
        rng.normal(size=(o, h)),
        0.3 * rng.normal(size=o),
        hidden,
        output,
        None if start is None else rng.normal(size=(h,) if start == "shared" else (start, h)),
        D=rng.normal(size=(o, i)) if options.get("direct") else None,
    )


def data(seed: int, N: int, T: int, i: int = 2, o: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, T, i) and targets (N, T, o)."""
    rng = np.random.default_rng(1000 + seed)
    return rng.normal(size=(N, T, i)), rng.normal(size=(N, T, o))


def worst(gradient: Any, expected: dict[str, np.ndarray]) -> float:
    """Largest difference over all weights, relative to the largest entry of the expected gradient."""
    largest = max(np.abs(value).max() for value in expected.values())
    return max(np.abs(getattr(gradient, name) - value).max() for name, value in expected.items()) / largest
