"""How many instructions the kernels take: `python -m benchmarks.instructions PROGRAM [--update]`.

Time on a shared machine says little about a change of a few per cent; the number of instructions does not move at all.
PROGRAM is kelman_benchmarks_avx2 (valgrind knows no AVX-512). Each of its rows runs once under callgrind, which counts only
inside the kernels. A row that takes over 5 % more than instructions.json says fails, and so does a row that is not in it;
--update writes the file. Another compiler gives other numbers: they are printed, and nothing fails.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FILE = Path(__file__).with_name("instructions.json")
ALLOWED = 0.05


def count(program: Path, row: str) -> int:
    """Return the instructions of one row inside kelman_counted()."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out",
            "--toggle-collect=kelman_counted",
        ]
        run = subprocess.run(
            [*command, str(program), "--count", row], capture_output=True, text=True, check=False, timeout=300
        )
    found = re.search(r"Collected\s*:\s*(\d+)", run.stderr)
    if run.returncode != 0 or found is None or found[1] == "0":
        raise SystemExit(f"{row}: nothing was counted\n{run.stderr[-2000:]}")
    return int(found[1])


def ask(program: Path, what: str) -> list[str]:
    """Return the lines that the program prints for an option."""
    return subprocess.run([str(program), what], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def compare(counts: dict[str, int], kept: dict[str, int]) -> list[str]:
    """Print each row beside what is kept; return those that take more, and those that only one side knows."""
    moved = []
    for row, now in counts.items():
        before = kept.get(row)
        change = None if before is None else now / before - 1
        print(f"  {row:<26}{now:>14,}" + ("   new" if change is None else f"   {change:+.1%}"))
        if change is None or change > ALLOWED:
            moved.append(row)
    return moved + [row for row in kept if row not in counts]


def main() -> int:
    """Count all rows and compare them with the file, or write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("program", type=Path, help="kelman_benchmarks_avx2 of a build with KELMAN_BUILD_BENCHMARKS=ON")
    parser.add_argument("--update", action="store_true", help="write the counts to instructions.json")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: NO INSTRUCTIONS WERE COUNTED")
        return 1
    compiler = ask(options.program, "--compiler")[0]
    counts = {row: count(options.program, row) for row in ask(options.program, "--list")}
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"compiler": compiler, "counts": {}}
    print(f"instructions inside the kernels, avx2, {compiler}")
    moved = compare(counts, kept["counts"])
    if options.update:
        FILE.write_text(json.dumps({"compiler": compiler, "counts": counts}, indent=2) + "\n", encoding="utf-8")
        return 0
    if kept["compiler"] != compiler:
        print(f"the kept counts are of {kept['compiler']}: nothing is compared")
        return 0
    if moved:
        print(f"new, gone, or up by more than {ALLOWED:.0%}: {', '.join(moved)}")
        print("if that is meant: nox -s instructions -- --update")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
