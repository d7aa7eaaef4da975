"""One workload from the first check to the printed lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks import ours
from benchmarks.check import OURS, compare, reference, slopes
from benchmarks.networks import NetworkProblem, NetworkWorkload
from benchmarks.peers.client import Crowd
from benchmarks.probes import Machine
from benchmarks.problems import Problem
from benchmarks.timing import best_of
from benchmarks.work import fractions, needed, told
from benchmarks.workloads import Workload

Row = dict[str, Any]
HAND_JAX = "hand-written JAX"
BY_HAND = ("textbook NumPy loop", HAND_JAX)  # no packages


def expected_of(workload: Workload | NetworkWorkload, small: Problem | NetworkProblem) -> dict[str, Any]:
    """Return the textbook recursion's answer, in the form that this task is answered in."""
    expected: dict[str, Any] = reference(workload.task, small)
    if workload.task == "stream":
        return {"last": expected["mean"][:, -1]}
    if workload.task == "gradient" and not workload.per_series:
        return {name: value.sum(axis=0) for name, value in expected.items()}
    return expected


def measure_ours(
    workload: Workload | NetworkWorkload,
    problem: Problem | NetworkProblem,
    small: Problem | NetworkProblem,
    expected: Row,
    threads: int,
    budget: float,
) -> Row:
    """Check and time each of kelman's ways of running the workload."""
    found: Row = {}
    differences = {}
    for way, (work, answer) in ours.TASKS[workload.task](small, threads).items():
        given = answer(work())
        if workload.task == "gradient":
            given["slopes"] = slopes(small.model, given)
        differences[way] = compare(given, expected, getattr(small, "tolerance", OURS))
    for way, (work, _) in ours.TASKS[workload.task](problem, threads).items():
        work()
        found[way] = {"timing": best_of(work, budget), "difference": differences[way]}
    return found


def fastest(peers: dict[str, Row], among: Callable[[str], bool]) -> str | None:
    """Return the name of the fastest peer among some, or None."""
    timed = [name for name, one in peers.items() if "value" in one and among(name)]
    return min(timed, key=lambda name: float(peers[name]["value"]), default=None)


def run(workload: Workload | NetworkWorkload, machine: Machine, crowd: Crowd, quick: bool) -> Row:
    """Return the numbers of one workload; raises WrongAnswer if kelman's answer is wrong."""
    budget = 0.3 if quick else 1.0
    problem = workload.problem(quick)
    N, T = workload.checked
    small = problem.head(min(N, problem.N), min(T, problem.T))
    expected = expected_of(workload, small)
    threads, scale = machine.threads, workload.scale(problem)
    mine = measure_ours(workload, problem, small, expected, threads, budget)
    theirs = crowd.run(workload.task, problem, small, expected, budget)

    def timed(entry: Row) -> Row:
        timing = entry.pop("timing", None)
        if timing is not None:
            entry |= {**asdict(timing), "seconds": timing.seconds(threads), "value": timing.seconds(threads) * scale}
        return entry

    peers = {name: timed(entry) for name, entry in theirs.items()}
    best = fastest(peers, lambda name: name not in BY_HAND)
    hand = fastest(peers, lambda name: name == HAND_JAX)
    rivals = [x for x in ((best, hand) if workload.by_hand else (best,)) if x is not None]
    rival = min(rivals, key=lambda name: float(peers[name]["value"]), default=None)
    ways = {}
    for way, entry in mine.items():
        one = timed(entry)
        goal = workload.goals.get(way)
        ns = one["seconds"] * 1e9 / (problem.N * problem.T)
        one["fractions"] = fractions(workload, way, problem.model.n, problem.model.m, ns, machine)
        one["goal"] = goal
        one["ratios"] = {name: peers[name]["value"] / one["value"] for name in (best, hand) if name is not None}
        one["met"] = one["needed"] = None
        if goal is not None and rival is not None:
            one["met"] = one["ratios"][rival] >= goal
            part = one["ratios"][rival] / goal  # of the time that the goal allows
            asked = needed(workload, one["fractions"], ns, ns * part, machine)
            one["needed"] = {"value": one["value"] * part, "shares": asked}
        ways[way] = one
    return {
        "name": workload.name,
        "what": workload.what,
        "task": workload.task,
        "sizes": {"series": problem.N, "steps": problem.T, "n": problem.model.n, "m": problem.model.m},
        "unit": workload.unit if workload.unit == "ms" else "ns per series-step",
        "kelman": ways,
        "peers": peers,
        "best": best,
        "hand": hand,
        "rival": rival,
    }


def lines(row: Row) -> str:
    """Return what is printed of a workload."""
    unit = row["unit"]
    out = []
    for way, one in row["kelman"].items():
        reached = ", ".join(f"{value:.0%} of {name}" for name, value in one["fractions"].items())
        text = (
            f"  kelman, {way:<26}{one['value']:>11.4g} {unit} {one['seconds']:>9.4f} s  off by {one['difference']:.0e}"
        )
        out.append(f"{text}  [{reached}]")
    for name, one in sorted(row["peers"].items(), key=lambda p: p[1].get("value", float("inf"))):
        if "value" in one:
            text = f"  {name:<34}{one['value']:>11.4g} {unit} {one['seconds']:>9.4f} s  off by {one['difference']:.0e}"
            part = [f"{one[x]:,} {x}" for x in ("series", "steps") if one[x] != row["sizes"][x]]
            few = f"  (timed on {' and '.join(part)})" if part else ""
            idle = "" if one["cpu"] <= 1.1 * one["wall"] + 1e-4 else "  (used more than one thread)"
            out.append(text + few + idle)
        else:
            out.append(f"  {name:<34}" + ("WRONG: " + one["wrong"] if "wrong" in one else "failed: " + one["error"]))
    for way, one in row["kelman"].items():
        ratios = ", ".join(f"{ratio:.1f} times as fast as {name}" for name, ratio in one["ratios"].items())
        verdict = {True: "reached", False: "MISSED", None: "nobody it is measured by was run"}[one["met"]]
        goal = "" if one["goal"] is None else f"; goal {one['goal']:g}: {verdict}"
        out.append(f"  {way}: {ratios or 'beside no package'}{goal}")
        if one["needed"]:
            out.append(f"  {way}: {told(one, unit)}")
    return "\n".join(out)
