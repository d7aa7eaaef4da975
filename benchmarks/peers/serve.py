"""Runs inside the peers' environment: `python -m benchmarks.peers.serve NAME` answers requests, one JSON line each."""

from __future__ import annotations

import os

THREADS = os.environ.get("OMP_NUM_THREADS", "1")
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = THREADS
_eigen = "true" if THREADS != "1" else "false"
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={_eigen} intra_op_parallelism_threads={THREADS}"
os.environ["NPROC"] = THREADS  # the size of JAX's pool of threads
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import importlib
import importlib.metadata
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.peers import NotOffered
from benchmarks.problems import Problem
from benchmarks.timing import best_of

LONG = 5000  # steps after which a single series that is slow is cut


def version(name: str) -> str:
    """Return the version of a package, or nothing if it is no package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def affordable(peer: Any, prepare: Any, problem: Problem, budget: float) -> tuple[int, int]:
    """Return how many series, and how many steps of a single one, tell the time of each without taking minutes."""
    series, steps = min(problem.N, getattr(peer, "ENOUGH", problem.N)), problem.T
    if peer.LOOPS and problem.N > 1:
        few = problem.head(4)
        once = best_of(prepare(few)[0], 0.1, least=1).wall / few.N
        series = max(1, min(problem.N, int(0.4 * budget / once)))
    elif problem.N == 1 and problem.T > LONG:
        run = prepare(problem.head(1, LONG))[0]
        run()
        once = best_of(run, 0.1, least=1).wall / LONG
        steps = problem.T if once * problem.T < 8 * budget else max(LONG, int(budget / once))
    return series, steps


def work(peer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Answer a small problem or time a large one."""
    kind = networks.NetworkProblem if request["task"] in networks.TASKS else Problem
    problem = kind.load(Path(request["folder"]), request["gaps"])
    prepare = getattr(peer, request["task"])
    if "answer" in request:
        problem = problem.head(request["N"], request["T"])
        run, answer = prepare(problem)
        np.savez(request["answer"], **answer(run(), problem.N))
        return {}
    enough, steps = affordable(peer, prepare, problem, request["budget"])
    run, _ = prepare(problem.head(enough, steps))
    run()  # compiles, and touches the memory once
    return {**asdict(best_of(run, request["budget"], least=2)), "series": enough, "steps": steps}


def main() -> None:
    """Say who this is, then read requests until there are none."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints is no answer
    warnings.simplefilter("ignore")
    try:
        peer = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=channel, flush=True)
        return
    filters = ("filter", "loglik", "smooth", "both", "gradient", "em", "variances", "stream")
    tasks = [x for x in (*filters, *networks.TASKS) if hasattr(peer, x)]
    hello = {"name": peer.NAME, "version": version(peer.NAME), "tasks": tasks, "gaps": sorted(peer.GAPS)}
    print(json.dumps(hello), file=channel, flush=True)
    for line in sys.stdin:
        try:
            reply = work(peer, json.loads(line))
        except NotOffered as error:
            reply = {"declined": str(error)}
        except Exception as error:  # noqa: BLE001  whatever a package raises is its answer
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), file=channel, flush=True)


if __name__ == "__main__":
    main()
