#!/usr/bin/env python3
"""What compiling costs: a launcher that notes the time and memory of every compiler process, and the report of its notes.

CMAKE_CXX_COMPILER_LAUNCHER=cmake/compiler_log.py KELMAN_COMPILER_LOG=FILE makes every build write a line for each source;
``compiler_log.py --report FILE`` prints the cost of each build folder, and exits with 1 where one is over its budget: the
default build within 3 minutes of two processors, that of all variants within 6, no process over 2 GB.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

MEMORY = 2e9
MINUTES = {True: 6, False: 3}  # whether all variants are built


def launch(command: list[str]) -> int:
    """Run the compiler; note what it took if somebody wants to know."""
    log = os.environ.get("KELMAN_COMPILER_LOG")
    if not log:
        os.execvp(command[0], command)
    begin = time.time()
    status = subprocess.run(command, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    note = {
        "folder": str(Path.cwd()),
        "target": command[command.index("-o") + 1] if "-o" in command else "",
        "march": next((x.partition("=")[2] for x in command if x.startswith("-march=")), ""),
        "begin": begin,
        "end": time.time(),
        "cpu": used.ru_utime + used.ru_stime,
        "bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(json.dumps(note) + "\n")
    return status


def split(notes: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Notes by build: one folder's, and where a source is compiled there once more a new build has begun."""
    builds: list[list[dict[str, str]]] = []
    newest: dict[str, list[dict[str, str]]] = {}
    for note in sorted(notes, key=lambda n: float(n["begin"])):
        build = newest.get(note["folder"])
        if build is None or any(n["target"] == note["target"] for n in build):
            build = newest[note["folder"]] = []
            builds.append(build)
        build.append(note)
    return builds


def report(log: Path) -> int:
    """Print a line for each build folder; return 1 if one is over its budget."""
    over = 0
    for notes in split([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]):
        variants = sorted({n["march"] for n in notes} - {""})
        extras = any(re.search(r"kelman_(tests|benchmarks)", n["target"]) for n in notes)
        if not variants:
            continue
        wall = max(float(n["end"]) for n in notes) - min(float(n["begin"]) for n in notes)
        cpu = sum(float(n["cpu"]) for n in notes)
        largest = max(notes, key=lambda n: float(n["bytes"]))
        memory = float(largest["bytes"])
        print(
            f"{', '.join(variants)}{' and tests' if extras else ''}: {len(notes)} sources, {wall:.0f} s on the clock, "
            f"{cpu:.0f} s of processor; largest process {memory / 1e9:.2f} GB ({Path(largest['target']).name})"
        )
        limit = MINUTES[len(variants) > 2] * 60
        if memory > MEMORY or (cpu / 2 > limit and not extras):
            print(f"  OVER THE BUDGET of {limit} s with two processors and {MEMORY / 1e9:.0f} GB for a process")
            over = 1
        elif wall > limit and not extras:
            print(f"  over {limit} s on the clock; the machine was busy, or the sources do not compile side by side")
    return over


if __name__ == "__main__":
    sys.exit(report(Path(sys.argv[2])) if sys.argv[1] == "--report" else launch(sys.argv[1:]))
