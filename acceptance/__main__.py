"""Run checks: ``python -m acceptance [--spot | --seeds N] [--jobs N] [name ...]``.

All seeds: a JSON with the numbers is written beside each check. ``--spot`` (three seeds) and ``--seeds`` judge without writing, and say
which of the committed results are older than the code that they cover.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import pkgutil
import platform
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before numpy is loaded
    os.environ.setdefault(_name, "1")

from acceptance._check import Check, Row, Verdict, failures

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent


def checks() -> dict[str, Check]:
    """All checks by name: every module of the folder that has a CHECK."""
    found = {}
    for info in pkgutil.iter_modules([str(FOLDER)]):
        if not info.name.startswith("_"):
            check = importlib.import_module(f"acceptance.{info.name}").CHECK
            found[check.name] = check
    return found


def one_row(name: str, seed: int) -> Row:
    """Numbers of one seed; an error becomes part of the row."""
    begin = time.perf_counter()
    try:
        row = checks()[name].run(seed)
    except Exception as error:  # noqa: BLE001
        row = {"error": f"{type(error).__name__}: {error}"}
    return {"seed": seed, **row, "seconds": round(time.perf_counter() - begin, 3)}


def run(check: Check, seeds: list[int], jobs: int) -> tuple[list[Row], list[Verdict]]:
    """Rows of all seeds, in their order, and the verdicts."""
    if jobs > 1 and len(seeds) > 1:
        with ProcessPoolExecutor(jobs) as pool:
            rows = list(pool.map(one_row, [check.name] * len(seeds), seeds))
    else:
        rows = [one_row(check.name, seed) for seed in seeds]
    return rows, check.judge(rows, len(seeds) == len(check.seeds))


def git(*words: str) -> str | None:
    """Output of a git command, or None where there is no repository."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def digest(check: Check) -> str:
    """Fingerprint of the code that a result rests on: every source file below the paths it covers, and the check itself."""
    found = [FOLDER / f"{check.name}.py", FOLDER / "_bed.py"]
    for cover in check.covers:
        found += [p for p in (ROOT / cover).rglob("*") if p.suffix in {".py", ".hpp", ".cpp"}]
    total = hashlib.sha256()
    for path in sorted(set(found)):
        total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return total.hexdigest()[:16]


def age(check: Check) -> str:
    """Say whether the committed result is older than the code that it covers."""
    path = FOLDER / f"{check.name}.json"
    if not path.exists():
        return "no result committed"
    record = json.loads(path.read_text(encoding="utf-8"))
    text = (
        f"{'passed' if record['pass'] else 'FAILED'} with {len(record['seeds'])} seeds at {str(record['commit'])[:9]}"
    )
    return f"{text}; {'up to date' if record.get('digest') == digest(check) else 'OLDER than the code it covers'}"


def plain(value: Any) -> Any:
    """Numbers that JSON can hold: what is not finite becomes a word."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if hasattr(value, "item"):
        return plain(value.item())
    return value


def write(check: Check, rows: list[Row], verdicts: list[Verdict], seconds: float) -> None:
    """Write the result beside the check."""
    import numpy as np

    import kelman

    record = {
        "check": check.name,
        "proves": check.proves,
        "pass": all(v.ok for v in verdicts),
        "verdicts": [vars(v) for v in verdicts],
        "commit": git("rev-parse", "HEAD"),
        "digest": digest(check),
        "versions": {"kelman": kelman.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "machine": platform.machine(),
        "seconds": round(seconds, 1),
        "failures": failures(rows),
        "seeds": [row["seed"] for row in rows],
    }
    lines = ",\n".join(f"  {json.dumps(plain(row), ensure_ascii=False)}" for row in rows)
    head = json.dumps(plain(record), indent=1, ensure_ascii=False).rstrip("\n}")
    text = f'{head},\n "rows": [\n{lines}\n ]\n}}'
    (FOLDER / f"{check.name}.json").write_text(text + "\n", encoding="utf-8")


def main() -> int:
    """Run what was asked for; 1 if a criterion fails."""
    known = checks()
    parser = argparse.ArgumentParser(prog="python -m acceptance", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"checks to run: {', '.join(known)}")
    parser.add_argument(
        "--spot", action="store_true", help="a few seeds of each (mostly three), without writing results"
    )
    parser.add_argument("--seeds", type=int, help="that many seeds of each, without writing results")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no check {unknown[0]!r}; there are {', '.join(known)}")
    good = True
    for name in given.names or known:
        check = known[name]
        count = check.spot if given.spot else given.seeds
        seeds = list(check.seeds)[:count]
        if not seeds:
            print(f"{name}: not among the spot checks; committed result: {age(check)}", flush=True)
            continue
        begin = time.perf_counter()
        rows, verdicts = run(check, seeds, given.jobs)
        seconds = time.perf_counter() - begin
        print(f"{name}: {check.proves}")
        print(f"  seeds {seeds[0]}..{seeds[-1]}, {seconds:.1f} s, {failures(rows)} failed", flush=True)
        for row in rows:
            if "error" in row:
                print(f"  seed {row['seed']}: {row['error']}")
        for verdict in verdicts:
            print(f"  {verdict}", flush=True)
        if len(seeds) == len(check.seeds):
            write(check, rows, verdicts, seconds)
        else:
            print(f"  committed result: {age(check)}", flush=True)
        good = good and all(v.ok for v in verdicts)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
