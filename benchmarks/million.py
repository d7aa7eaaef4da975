"""A million series of one local level: an evaluation of likelihood and gradient streams through memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

GOAL = 1.5  # times the memory of the input: a few numbers for each series, never a copy of the data

CODE = """
import json, resource, sys, time
import numpy as np
import kelman
from benchmarks.check import OURS, WrongAnswer

N, T, threads = (int(x) for x in sys.argv[1:])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
rng = np.random.default_rng(1)
z = np.empty((N, T, 1))
for i in range(0, N, 10_000):
    rows = z[i : i + 10_000]
    rows[:] = np.cumsum(0.7 * rng.standard_normal(rows.shape), axis=1) + rng.standard_normal(rows.shape)
proper = kelman.StateSpace([[1.0]], [[1.0]], [[0.5]], [[1.0]], m1=[0.0], P1=[[1e2]])
diffuse = kelman.StateSpace([[1.0]], [[1.0]], [[0.5]], [[1.0]])

def evaluate(model, z):
    total, g = kelman.loglik_and_grad(model, z, threads=threads)
    return np.array([np.sum(total), g.A[0, 0], g.H[0, 0], g.Q[0, 0], g.R[0, 0]])

def timed(model, z):
    best = np.inf
    for _ in range(3):
        begin = time.perf_counter()
        found = evaluate(model, z)
        best = min(best, time.perf_counter() - begin)
    halves = evaluate(model, z[: N // 2]) + evaluate(model, z[N // 2 :])
    if not np.allclose(found, halves, rtol=OURS, atol=0):
        raise WrongAnswer("two halves of the series do not add up to the whole")
    return best

evaluate(proper, z[:20])
held = peak()
seconds = {"diffuse start": timed(diffuse, z), "proper start": timed(proper, z)}
z[::3, T // 2] = np.nan
seconds["gaps in a third, proper start"] = timed(proper, z)
seconds["gaps in a third, diffuse start"] = timed(diffuse, z)
print(json.dumps({"input": z.nbytes, "added": peak() - held, "seconds": seconds}))
"""


def run(quick: bool, threads: int) -> dict[str, Any]:
    """Peak memory of a process that makes the data and evaluates, and the seconds of an evaluation of each kind."""
    N, T = (100_000, 50) if quick else (1_000_000, 50)
    child = subprocess.run(
        [sys.executable, "-c", CODE, str(N), str(T), str(threads)], capture_output=True, text=True, check=True
    )
    found = json.loads(child.stdout)
    ratio = 1 + found["added"] / found["input"]
    each = "; ".join(
        f"{name} {value:.2f} s, {found['input'] / value / 1e9:.2f} GB/s" for name, value in found["seconds"].items()
    )
    return {"value": ratio, "unit": f"times the input's memory ({each})", "goal": GOAL, "met": ratio <= GOAL, **found}
