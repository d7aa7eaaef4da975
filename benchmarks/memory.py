"""Memory: a large batch of log-likelihoods needs that of its input, and next to nothing more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

GOAL = 1.02  # times the input

CODE = """
import json, resource, sys
import numpy as np
import kelman
from benchmarks.problems import constant_velocity

N, T, threads = (int(x) for x in sys.argv[1:])
v = constant_velocity()
model = kelman.StateSpace(v.A[:2, :2], v.H[:1, :2], v.Q[:2, :2] + np.eye(2), v.R[:1, :1], m0=np.zeros(2), P0=np.eye(2))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
kelman.loglik(model, np.zeros((20, 10, 1)), threads=threads)
before = peak()
z = np.empty((N, T, 1))
rng = np.random.default_rng(1)
for i in range(0, N, 1000):
    z[i : i + 1000] = rng.standard_normal((len(z[i : i + 1000]), T, 1))
z[::7, T // 2] = np.nan
held = peak()
found = kelman.loglik(model, z, threads=threads)
assert np.isfinite(found).all()
print(json.dumps({"input": z.nbytes, "added": peak() - held, "loaded": before}))
"""


def run(quick: bool, threads: int) -> dict[str, Any]:
    """Measure the peak of a process that makes the data in place and scores it, with gaps in every seventh series."""
    N, T = (10_000, 500) if quick else (100_000, 1000)
    child = subprocess.run(
        [sys.executable, "-c", CODE, str(N), str(T), str(threads)], capture_output=True, text=True, check=True
    )
    found = json.loads(child.stdout)
    ratio = 1 + found["added"] / found["input"]
    return {"value": ratio, "unit": "times the input's memory", "goal": GOAL, "met": ratio <= GOAL, **found}
