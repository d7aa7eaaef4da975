"""What a second thread gives, where the arithmetic and not the memory is the limit."""

from __future__ import annotations

import os
from typing import Any

from benchmarks import ours
from benchmarks.timing import best_of
from benchmarks.workloads import TABLE

ROWS = ("K1Li", "K2L", "K7i")
GOAL = 1.8


def run(quick: bool, threads: int) -> dict[str, Any]:
    """Time on the clock with one thread over that with two, the smallest of the workloads."""
    del threads
    if (os.cpu_count() or 1) < 2:
        return {"value": float("nan"), "unit": "times as fast: there is one processor", "goal": GOAL, "met": False}
    gains = {}
    for workload in (w for w in TABLE if w.name in ROWS):
        problem = workload.problem(quick)
        clock = []
        for count in (1, 2):
            work, _ = next(iter(ours.TASKS[workload.task](problem, count).values()))
            work()
            clock.append(best_of(work, 0.3 if quick else 1.0).wall)
        gains[workload.name] = clock[0] / clock[1]
    worst = min(gains.values())
    each = ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())
    return {"value": worst, "unit": f"times as fast ({each})", "goal": GOAL, "met": worst >= GOAL, "gains": gains}
