"""Random networks of every cell and option, and of several cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import kelman


def _readout(rng: np.random.Generator, h: int, i: int, o: int, read: bool, direct: bool) -> dict[str, Any]:
    if not read:
        return {"V": None, "c": None}
    D = rng.normal(size=(o, i)) if direct else None
    return {"V": rng.normal(size=(o, h)), "c": 0.3 * rng.normal(size=o), "D": D}


def _start(rng: np.random.Generator, h: int, start: Any) -> Any:
    return None if start is None else 0.5 * rng.normal(size=(h,) if start == "shared" else (start, h))


def elman(seed: int, i: int = 2, h: int = 3, o: int = 2, *, read: bool = True, direct: bool = False, start: Any = None,
          skip: str = "", hidden: Any = "tanh", output: Any = "identity") -> kelman.Elman:  # fmt: skip
    """An Elman network; `skip` holds the letters of its skip path."""
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(h, h))
    U *= 0.6 / np.abs(np.linalg.eigvals(U)).max()
    A, B = 0.3 * U.T, 0.5 * rng.normal(size=(h, i))
    return kelman.Elman(
        U, rng.normal(size=(h, i)), 0.3 * rng.normal(size=h), hidden=hidden, output=output, h0=_start(rng, h, start),
        A=A if "A" in skip else None, B=B if "B" in skip else None, **_readout(rng, h, i, o, read, direct),
    )  # fmt: skip


def gru(seed: int, i: int = 2, h: int = 3, o: int = 2, *, read: bool = True, direct: bool = False, start: Any = None,
        reset: Any = "after", output: Any = "identity") -> kelman.GRU:  # fmt: skip
    """A GRU in either convention."""
    rng = np.random.default_rng(100 + seed)
    d = 0.5 * rng.normal(size=h) if reset == "after" else None
    return kelman.GRU(
        rng.normal(size=(3 * h, h)), rng.normal(size=(3 * h, i)), 0.5 * rng.normal(size=3 * h), d=d, reset=reset,
        output=output, h0=_start(rng, h, start), **_readout(rng, h, i, o, read, direct),
    )  # fmt: skip


def lstm(seed: int, i: int = 2, h: int = 3, o: int = 2, *, read: bool = True, direct: bool = False, start: Any = None,
         peepholes: bool = False, output: Any = "identity") -> kelman.LSTM:  # fmt: skip
    """An LSTM with or without peepholes."""
    rng = np.random.default_rng(200 + seed)
    P = rng.normal(size=(3, h)) if peepholes else None
    return kelman.LSTM(
        rng.normal(size=(4 * h, h)), rng.normal(size=(4 * h, i)), 0.5 * rng.normal(size=4 * h), P=P, output=output,
        h0=_start(rng, h, start), c0=_start(rng, h, start), **_readout(rng, h, i, o, read, direct),
    )  # fmt: skip


CELLS: dict[str, Callable[..., Any]] = {
    "elman": lambda seed, **o: elman(seed, **o),
    "elman with skip path": lambda seed, **o: elman(seed, skip="AB", **o),
    "elman with A alone, softplus": lambda seed, **o: elman(seed, skip="A", hidden="softplus", **o),
    "gru": lambda seed, **o: gru(seed, **o),
    "gru, reset before": lambda seed, **o: gru(seed, reset="before", **o),
    "lstm": lambda seed, **o: lstm(seed, **o),
    "lstm with peepholes": lambda seed, **o: lstm(seed, peepholes=True, **o),
}
"""One network of every cell and option (smooth ones, for complex steps)."""


def both(
    seed: int, make: Callable[..., Any] = gru, i: int = 2, h: int = 3, *, read: bool = True, **options: Any
) -> Any:
    """A bidirectional pair of different sizes."""
    rng = np.random.default_rng(300 + seed)
    start = options.pop("start", None)
    one, two = make(seed, i, h, read=False, start=start), make(seed + 50, i, h + 1, read=False, start=start)
    return kelman.Bidirectional(
        one, two, **_readout(rng, 2 * h + 1, i, 2, read, options.pop("direct", False)), **options
    )


COMPOSED: dict[str, Callable[[int], Any]] = {
    "two layers": lambda seed: kelman.Stack([gru(seed, read=False), elman(seed, i=3, h=4, skip="AB")]),
    "three kinds": lambda seed: kelman.Stack(
        [lstm(seed, h=4, read=False, peepholes=True), gru(seed, i=4, read=False, reset="before"), lstm(seed, i=3)]
    ),
    "no readout": lambda seed: kelman.Stack([elman(seed, read=False), elman(seed, i=3, h=2, read=False)]),
    "bidirectional": lambda seed: both(seed, direct=True, output="tanh"),
    "bidirectional lstm, no readout": lambda seed: both(seed, lstm, i=2, h=1, read=False),
    "bidirectional below and above": lambda seed: kelman.Stack(
        [both(seed, elman, read=False), both(seed, lstm, i=7, direct=True)]
    ),
}
"""Networks of several cells."""
