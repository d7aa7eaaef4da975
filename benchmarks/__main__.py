"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

# One thread for the libraries compared with, before numpy is loaded; kelman's own threads are a parameter.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

REQUIREMENTS = Path(__file__).parent / "peers" / "requirements.txt"
PEERS_PYTHON = "KELMAN_PEERS_PYTHON"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast kelman is on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="workloads; all if none is given; --list names them")
    parser.add_argument("--list", action="store_true", help="say which workloads there are")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: seconds instead of minutes")
    parser.add_argument("--threads", type=int, default=1, help="threads that kelman and the peers may use (default 1)")
    parser.add_argument(
        "--peers", default="numpy_loop", metavar="NAMES", help="all, none, or names with commas (default numpy_loop)"
    )
    parser.add_argument(
        "--peers-python",
        default=os.environ.get(PEERS_PYTHON, sys.executable),
        metavar="PATH",
        help=f"Python of the peers' environment (default ${PEERS_PYTHON}, else this one)",
    )
    parser.add_argument("--setup-peers", metavar="FOLDER", help="make the peers' environment in a folder, and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file, too")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the page of the documentation, too")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="with --docs: use these numbers")
    return parser.parse_args()


def setup(folder: str) -> int:
    """Make the environment of the peers."""
    venv.create(folder, with_pip=True)
    python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
    status = subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=False).returncode
    if status == 0:
        print(f"now: python -m benchmarks --peers all --peers-python {python}")
    return status


def measure(options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """Run the workloads one after another and print each when it is done."""
    from benchmarks import OTHERS, runner
    from benchmarks.ours import Missing
    from benchmarks.peers.client import Crowd
    from benchmarks.probes import probe
    from benchmarks.workloads import TABLE

    table = {w.name: w for w in TABLE}
    crowd = Crowd(options.peers, options.peers_python, options.threads)
    for name, why in crowd.missing.items():
        print(f"peer {name}: not in its environment ({why})")
    machine = probe(options.threads)
    print(machine)
    rows, others, began = [], [], time.perf_counter()
    try:
        for name in names:
            if name in OTHERS:
                target, what = OTHERS[name]
                module, _, function = target.partition(":")
                print(f"\n{name}: {what}" + (" (quick: smaller)" if options.quick else ""), flush=True)
                found = getattr(importlib.import_module(module), function)(options.quick, options.threads)
                print(
                    f"  {found['value']:.4g} {found['unit']}; goal {found['goal']:g}: "
                    + ("reached" if found["met"] else "MISSED")
                )
                others.append({"name": name, "what": what, **found})
                continue
            workload = table[name]
            N, T = workload.quick if options.quick else (workload.N, workload.T)
            print(f"\n{name}: {workload.what}; {N:,} x {T:,} steps", flush=True)
            try:
                row = runner.run(workload, machine, crowd, options.quick)
            except Missing as why:
                print(f"  skipped: {why}")
                continue
            print(runner.lines(row), flush=True)
            rows.append(row)
    finally:
        crowd.close()
    again = probe(options.threads)
    print(
        f"\n{time.perf_counter() - began:.0f} s; the probes afterwards: {again.gflops:.0f} GFLOP/s, {again.stream_gbs:.1f} GB/s"
    )
    return {
        "quick": options.quick,
        "machine": machine.as_dict(),
        "afterwards": again.as_dict(),
        "workloads": rows,
        "others": others,
    }


def main() -> int:
    """Run what is named, all if nothing is; return 1 if an answer was wrong."""
    options = arguments()
    if options.setup_peers:
        return setup(options.setup_peers)
    from benchmarks import OTHERS
    from benchmarks.workloads import TABLE

    every = [*OTHERS, *(w.name for w in TABLE)]
    if options.list:
        for workload in TABLE:
            print(f"{workload.name:<8} {workload.what}; {workload.N:,} x {workload.T:,} steps")
        for name, (_, what) in OTHERS.items():
            print(f"{name:<8} {what}")
        return 0
    unknown = [n for n in options.names if n not in every]
    if unknown:
        raise SystemExit(f"NAME: expected names among {', '.join(every)}; got {', '.join(unknown)}")
    if options.source:
        results = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        from benchmarks.check import WrongAnswer

        try:
            results = measure(options, options.names or every)
        except WrongAnswer as error:
            print(f"  WRONG: kelman: {error}")
            return 1
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if options.docs:
        from benchmarks.page import page

        options.docs.write_text(page(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
