"""Run a piece of Python in a process of its own with one variant of the core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kelman._core as core

FOLDER = Path(core.__file__).parent
ROOT = Path(__file__).resolve().parents[2]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with the environment changed; an empty value removes a variable."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("KELMAN_ISA", "KELMAN_BACKEND"):
        env.pop(name, None)
    env.update({k: v for k, v in environment.items() if v})
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def binary(name: str) -> Path | None:
    """Return the file of a compiled module, or None if this installation does not carry it."""
    found = sorted(p for p in FOLDER.glob(f"{name}.*") if p.suffix in {".so", ".pyd"})
    return found[0] if found else None
