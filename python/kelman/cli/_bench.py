# SPDX-License-Identifier: BSD-3-Clause
"""``kelman bench``: how fast this installation filters on this machine; no comparison with anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from kelman.errors import KelmanError

SIZES = ((2, 1), (4, 1), (4, 2), (8, 2))


def bench(
    series: Annotated[int, typer.Option("--series", min=1, help="Number of series.")] = 1000,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of each.")] = 200,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads; default as kelman info says.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Best of so many runs.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the models and series.")] = 0,
    repository: Annotated[
        bool, typer.Option("--repository", help="In a clone: run its benchmarks (quick sizes) instead.")
    ] = False,
) -> None:
    """Time the filter of this installation: many series, one shared model, nothing missing; best of some runs.

    The benchmarks of the repository (python -m benchmarks, in a clone) compare with other packages and check the answers
    first; this command by itself only says what this machine does.
    """
    if repository:
        raise typer.Exit(_repository(threads))
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from kelman import config
    from kelman.linear import filter as kalman_filter
    from kelman.models import StateSpace

    rng = np.random.default_rng(seed)
    count = config.thread_count(threads)
    table = Table(
        title=f"{series} series x {steps} steps, core {config.core_variants()[0] or 'none'}, {count} thread{'s' * (count != 1)}, best of {repeats}"
    )
    for name in ("states", "measured", "loglik, ms", "filtered, ms", "ns per step"):
        table.add_column(name, justify="right")
    for n, m in SIZES:
        basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
        A = basis @ np.diag(np.linspace(0.5, 0.95, n)) @ basis.T
        model = StateSpace(A, rng.standard_normal((m, n)), 0.1 * np.eye(n), np.eye(m), initial="stationary")
        z = rng.standard_normal((series, steps, m))
        times = []
        for store in ("loglik", "filtered"):
            best = float("inf")
            for _ in range(repeats):
                begin = perf_counter()
                kalman_filter(model, z, store=store, threads=threads)
                best = min(best, perf_counter() - begin)
            times.append(best)
        table.add_row(
            str(n), str(m), f"{1e3 * times[0]:.2f}", f"{1e3 * times[1]:.2f}", f"{1e9 * times[1] / (series * steps):.0f}"
        )
    Console(soft_wrap=True).print(table)


def _repository(threads: int | None) -> int:
    """Run the benchmarks of the clone in the working folder; return their status."""
    if not Path("benchmarks", "__main__.py").is_file():
        raise KelmanError("--repository: no folder benchmarks here; run it at the root of a clone")
    command = [sys.executable, "-m", "benchmarks", "--quick"]
    if threads is not None:
        command += ["--threads", str(threads)]
    return subprocess.run(command, check=False).returncode
