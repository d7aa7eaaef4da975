"""Timing, checking and printing: what every workload shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Options:
    """What the command line asks of a workload."""

    quick: bool
    threads: int


class WrongAnswer(Exception):
    """Two implementations that should agree do not."""


@dataclass(frozen=True)
class Result:
    """The numbers of one workload: who took how long, and how near kelman is to its goal.

    Attributes
    ----------
    unit : str
        Of every time.
    times : dict
        Time by implementation; the first one is kelman's.
    goal : float
        The time that kelman is meant to reach, in `unit`.
    because : str
        Where the goal comes from.
    difference : float
        Largest relative difference between the answers.
    fractions : dict
        Share of the machine's probes that kelman reaches.
    """

    unit: str
    times: dict[str, float]
    goal: float
    because: str
    difference: float = 0.0
    fractions: dict[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the lines that are printed."""
        (_, ours), *others = self.times.items()
        lines = [f"  {who:<34}{value:>12.4g} {self.unit}" for who, value in self.times.items()]
        lines += [f"  ratio to {who}: {value / ours:.1f}" for who, value in others if "kelman" not in who]
        if others:
            lines.append(f"  answers agree to {self.difference:.1e}")
        if self.fractions:
            lines.append("  reached: " + ", ".join(f"{v:.1%} of {k}" for k, v in self.fractions.items()))
        reached = "reached" if ours <= self.goal else f"{ours / self.goal:.1f} times off"
        return "\n".join([*lines, f"  goal: {self.goal:.4g} {self.unit} ({self.because}): {reached}"])


def best_of(work: Callable[[], object], seconds: float = 1.0, least: int = 3) -> float:
    """Return the shortest wall time of `work` over at least `least` runs and about `seconds`."""
    best, spent, runs = np.inf, 0.0, 0
    while runs < least or spent < seconds:
        before = time.perf_counter()
        work()
        elapsed = time.perf_counter() - before
        best, spent, runs = min(best, elapsed), spent + elapsed, runs + 1
    return float(best)


def check(ours: np.ndarray, theirs: np.ndarray, tolerance: float, what: str) -> float:
    """Return the largest difference relative to the largest entry; raise where it exceeds the tolerance."""
    worst = float(np.nanmax(np.abs(ours - theirs)) / max(float(np.nanmax(np.abs(theirs))), 1e-300))
    if not worst <= tolerance:
        raise WrongAnswer(f"{what}: the answers differ by {worst:.2e} (tolerance {tolerance:.0e})")
    return worst
