"""How time is taken, the same for kelman and for every peer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SHORT = 2e-3  # seconds


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
    """Run `work` for about `seconds`, at least `least` times, and keep the shortest times.

    Short work is timed some runs at a time: processor time of other threads is booked with a delay.
    """
    cpu = wall = float("inf")
    spent, runs, together = 0.0, 0, 1
    while runs < least or cpu == float("inf") or (spent < seconds and runs < most):
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        for _ in range(together - 1):
            work()
        result = work()
        cpu_after, wall_after = time.process_time(), time.perf_counter()
        del result  # what it cost to give the memory back of the last is not part of the work
        cpu, wall = min(cpu, (cpu_after - cpu_before) / together), min(wall, (wall_after - wall_before) / together)
        spent, runs = spent + wall_after - wall_before, runs + 1
        if together == 1 and wall < SHORT:
            together, cpu, wall = int(SHORT / wall) + 1, float("inf"), float("inf")
            most += 1
    return Timing(cpu, wall, runs)
