"""What `import kelman` adds to `import numpy`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from benchmarks.check import WrongAnswer

GOAL = 30.0

CODE = """
import time, sys
import numpy
before = time.process_time()
import kelman
added = time.process_time() - before
print(added * 1e3, *sorted({m.split('.')[0] for m in sys.modules} & {'scipy', 'torch', 'pandas'}))
"""


def run(quick: bool, threads: int) -> dict[str, Any]:
    """Time the import in fresh processes, the smallest of several."""
    del threads
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # as installed: compiled once
    added = []
    for _ in range(6 if quick else 20):
        child = subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment
        )
        out = child.stdout.split()
        if out[1:]:
            raise WrongAnswer(f"import kelman loads {', '.join(out[1:])}")
        added.append(float(out[0]))
    return {"value": min(added), "unit": "ms", "goal": GOAL, "met": min(added) <= GOAL}
