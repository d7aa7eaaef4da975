"""What a check is: a sentence, seeds, a function from a seed to numbers, and a judgement of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One criterion: what was measured, the limit in words, and whether it holds."""

    what: str
    value: float
    limit: str
    ok: bool

    def __str__(self) -> str:
        return f"{'pass' if self.ok else 'FAIL'}  {self.what}: {self.value:.6g} ({self.limit})"


@dataclass(frozen=True)
class Check:
    """A long statistical check.

    ``run(seed)`` returns a row of numbers; an exception becomes a row with "error" and is judged like any other. ``judge(rows, full)``
    knows whether all seeds ran: limits on means and medians widen to 3.3 standard errors when only a few did. `spot` is how many
    seeds run in a spot check, which may be none.
    """

    name: str
    proves: str
    seeds: Sequence[int]
    covers: tuple[str, ...]
    run: Callable[[int], Row]
    judge: Callable[[list[Row], bool], list[Verdict]]
    spot: int = 3


def failures(rows: list[Row]) -> int:
    """Number of rows that ended in an error."""
    return sum("error" in row for row in rows)


def column(rows: list[Row], name: str) -> list[float]:
    """Numbers of one name over all rows that have it; a row that failed counts as infinite."""
    return [float("inf") if "error" in row else float(row[name]) for row in rows if "error" in row or name in row]


def at_most(what: str, value: float, limit: float) -> Verdict:
    """Criterion value <= limit."""
    return Verdict(what, float(value), f"at most {limit:.6g}", bool(value <= limit))


def at_least(what: str, value: float, limit: float) -> Verdict:
    """Criterion value >= limit."""
    return Verdict(what, float(value), f"at least {limit:.6g}", bool(value >= limit))


def between(what: str, value: float, low: float, high: float) -> Verdict:
    """Criterion low <= value <= high."""
    return Verdict(what, float(value), f"between {low:.6g} and {high:.6g}", bool(low <= value <= high))
