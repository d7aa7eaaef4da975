"""What a second thread gives, where the arithmetic and not the memory is the limit."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks import ours
from benchmarks.workloads import TABLE

FILTERS, FILTERS_GOAL = ("K1Li", "K2L", "K7i"), 1.8
NETWORKS, NETWORKS_GOAL = ("R1b", "R3b"), 1.7


def gain(name: str, quick: bool) -> float:
    """Time on the clock with one thread over that with two; the shortest of many runs, in turn: others use the machine."""
    workload = next(w for w in TABLE if w.name == name)
    problem = workload.problem(quick)
    works = [next(iter(ours.TASKS[workload.task](problem, count).values()))[0] for count in (1, 2)]
    clock = [float("inf")] * 2
    end = time.perf_counter() + (0.6 if quick else 3.0)
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for which, work in enumerate(works):
            began = time.perf_counter()
            result = work()
            clock[which] = min(clock[which], time.perf_counter() - began)
            del result  # what it cost to give the memory back of the last is not part of the work
    return clock[0] / clock[1]


def _measured(names: tuple[str, ...], goal: float, quick: bool) -> dict[str, Any]:
    if (os.cpu_count() or 1) < 2:
        return {"value": float("nan"), "unit": "times as fast: there is one processor", "goal": goal, "met": False}
    gains = {name: gain(name, quick) for name in names}
    worst = min(gains.values())
    each = ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())
    return {"value": worst, "unit": f"times as fast ({each})", "goal": goal, "met": worst >= goal, "gains": gains}


def run(quick: bool, threads: int) -> dict[str, Any]:
    """The smallest gain of the linear workloads."""
    del threads
    return _measured(FILTERS, FILTERS_GOAL, quick)


def networks(quick: bool, threads: int) -> dict[str, Any]:
    """The smallest gain of the networks."""
    del threads
    return _measured(NETWORKS, NETWORKS_GOAL, quick)
