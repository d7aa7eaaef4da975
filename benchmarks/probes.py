"""What the machine can do at best: multiply-adds in registers, and memory traffic."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.measure import best_of


@dataclass(frozen=True)
class Machine:
    """Measured ceilings of one thread."""

    isa: str
    threads: int
    gflops: float
    write_gbs: float
    touch_gbs: float
    python: str
    numpy: str

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the line that is printed above the workloads."""
        return (
            f"kelman core {self.isa}, {self.threads} thread(s); Python {self.python}, numpy {self.numpy}\n"
            f"probes, one thread: {self.gflops:.0f} GFLOP/s multiply-add in registers, "
            f"{self.write_gbs:.1f} GB/s written to memory in use, {self.touch_gbs:.1f} GB/s to fresh memory"
        )


def probe(threads: int) -> Machine:
    """Measure the machine; takes about two seconds."""
    from kelman import _core

    size = 32 * 2**20
    block = np.zeros(size)
    bandwidth = 8 * size / best_of(lambda: block.fill(1.0), 0.4) * 1e-9
    touch = 8 * size / best_of(lambda: np.empty(size).fill(1.0), 0.4) * 1e-9
    return Machine(
        isa=str(_core.isa),
        threads=threads,
        gflops=float(_core.fma_rate(0.3)),
        write_gbs=bandwidth,
        touch_gbs=touch,
        python=platform.python_version(),
        numpy=np.__version__,
    )
