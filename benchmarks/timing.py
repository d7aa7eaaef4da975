"""How time is taken, the same for kelman and for every peer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The shortest of several runs: processor time of the whole process, and time on the clock."""

    cpu: float
    wall: float
    runs: int

    def seconds(self, threads: int) -> float:
        """Return what counts: processor time for one thread (it does not see a busy machine), else the clock."""
        return self.cpu if threads == 1 else self.wall


def best_of(work: Callable[[], object], seconds: float = 1.0, least: int = 3, most: int = 1000) -> Timing:
    """Run `work` for about `seconds`, at least `least` times, and keep the shortest times."""
    cpu = wall = float("inf")
    spent, runs = 0.0, 0
    while runs < least or (spent < seconds and runs < most):
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        result = work()
        cpu_after, wall_after = time.process_time(), time.perf_counter()
        del result  # what it cost to give the memory back is not part of the work
        cpu, wall = min(cpu, cpu_after - cpu_before), min(wall, wall_after - wall_before)
        spent, runs = spent + wall_after - wall_before, runs + 1
    return Timing(cpu, wall, runs)
