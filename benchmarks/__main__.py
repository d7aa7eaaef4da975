"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

# One thread for the libraries compared with, before numpy is loaded; kelman's own threads are a parameter.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def main() -> int:
    """Run the workloads that are named, all if none is; return 1 if an answer was wrong."""
    from benchmarks import WORKLOADS
    from benchmarks.measure import Options, WrongAnswer
    from benchmarks.probes import probe

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast kelman is on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join(WORKLOADS)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: seconds instead of minutes")
    parser.add_argument("--threads", type=int, default=1, help="threads that kelman may use (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file, too")
    args = parser.parse_args()
    unknown = [n for n in args.names if n not in WORKLOADS]
    if unknown:
        parser.error(f"NAME: expected names among {', '.join(WORKLOADS)}; got {', '.join(unknown)}")

    machine = probe(args.threads)
    print(machine)
    results = []
    for name in args.names or WORKLOADS:
        target, what = WORKLOADS[name]
        print(f"\n{name}: {what}" + (" (quick: smaller)" if args.quick else ""))
        module, _, function = target.partition(":")
        try:
            result = getattr(importlib.import_module(module), function)(Options(args.quick, args.threads), machine)
        except WrongAnswer as error:
            print(f"  WRONG: {error}")
            return 1
        print(result)
        results.append({"name": name, **result.as_dict()})
    if args.json:
        args.json.write_text(json.dumps({"machine": machine.as_dict(), "workloads": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
