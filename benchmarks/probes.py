"""What the machine can do at best: multiply-adds in registers, and memory traffic."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import best_of

MEGABYTES = 268  # far more than any cache that one core uses alone


@dataclass(frozen=True)
class Machine:
    """Measured ceilings of one thread: GFLOP/s, and GB/s to memory in use (read, write, past the caches) and fresh."""

    processor: str
    isa: str
    threads: int
    gflops: float
    read_gbs: float
    write_gbs: float
    stream_gbs: float
    touch_gbs: float
    activations: dict[str, float]  # ns for one number, of a vector in the caches: "tanh float64" and so on
    python: str
    numpy: str
    kelman: str

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the lines that are printed above the workloads."""
        return (
            f"kelman {self.kelman}, core {self.isa}, {self.threads} thread(s); Python {self.python}, numpy {self.numpy}; "
            f"{self.processor}\n"
            f"probes, one thread: {self.gflops:.0f} GFLOP/s multiply-add in registers; memory in use, GB/s: "
            f"read {self.read_gbs:.1f}, write {self.write_gbs:.1f}, past the caches {self.stream_gbs:.1f}; "
            f"fresh memory {self.touch_gbs:.1f} GB/s"
        )


def processor() -> str:
    """Return the processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def activation_times() -> dict[str, float]:
    """Return the nanoseconds that the core takes for an activation of one number, many side by side."""
    from kelman import _core

    compute, found = _core.recurrent().elementwise, {}
    for dtype in ("float64", "float32"):
        x = np.linspace(-3, 3, 1 << 14).astype(dtype)
        for word in ("tanh", "sigmoid"):
            best = best_of(lambda word=word, x=x: compute(word, x), 0.1)  # type: ignore[misc]
            found[f"{word} {dtype}"] = best.cpu * 1e9 / x.size
    return found


def probe(threads: int) -> Machine:
    """Measure the machine; takes about three seconds."""
    import kelman
    from kelman import _core

    size = MEGABYTES * 10**6 // 8
    touch = 8 * size / best_of(lambda: np.empty(size).fill(1.0), 0.4).wall * 1e-9
    rates = {kind: float(_core.native().memory_rate(kind, MEGABYTES, 0.3)) for kind in ("read", "write", "stream")}
    return Machine(
        processor=processor(),
        isa=str(_core.isa),
        threads=threads,
        gflops=float(_core.native().fma_rate(0.3)),
        read_gbs=rates["read"],
        write_gbs=rates["write"],
        stream_gbs=rates["stream"],
        touch_gbs=touch,
        activations=activation_times(),
        python=platform.python_version(),
        numpy=np.__version__,
        kelman=kelman.__version__,
    )
