"""The page of the documentation, from the numbers of a run."""

from __future__ import annotations

from typing import Any

from benchmarks.work import told

HEAD = """# How fast

Written by `python -m benchmarks --peers all --docs docs/benchmarks.md` in a clone of the repository; the numbers of your
machine are a run away. Every answer, kelman's and every other's, was compared with the textbook recursion before it was
timed; a package whose answer was wrong is not timed, and the page says so. {threads}; the shortest of
several runs, in processor time; what a package compiles was compiled before. The model of K1 to K4, K7 and K10 is constant
velocity in the plane, four states, two of them measured.

{machine}

"Fresh" results are new arrays: the first touch of new memory is part of the time, for kelman and for all others. "out="
results are written into the arrays of an earlier call.
"""

REACHED = """"Reached" compares with the probes of the machine: the arithmetic of the recursions over the rate of multiply-adds,
and the bytes that must be read and written over what memory gives. Series that share their covariances need a fifth of the
arithmetic. Under a table: what the time that a goal allows, a part of the best package's, would take of the same probes,
and of a network how long its activations take by themselves (multiply-adds too, on the same units)."""


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"The machine: {machine['processor']}, instruction set {machine['isa']}; on one thread "
        f"{machine['gflops']:.0f} GFLOP/s of multiply-adds in registers; {machine['read_gbs']:.0f} GB/s read, "
        f"{machine['write_gbs']:.0f} GB/s written, {machine['stream_gbs']:.0f} GB/s written past the caches, "
        f"{machine['touch_gbs']:.0f} GB/s to fresh memory. kelman {machine['kelman']}, Python {machine['python']}, numpy "
        f"{machine['numpy']}."
    )


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| workload | kelman | best package | times as fast | JAX by hand | times as fast | goal |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        unit = "ms" if row["unit"] == "ms" else "ns"
        for i, (way, one) in enumerate(row["kelman"].items()):
            cells = [f"**{row['name']}** {row['what']}" if i == 0 else "", f"{way}: {_number(one['value'])} {unit}"]
            for name in (row["best"], row["hand"]):
                theirs = "" if name is None or i else f"{_number(row['peers'][name]['value'])} {unit}"
                named = f"{name}: {theirs}" if name == row["best"] and theirs else theirs
                cells += [named, "" if name is None else f"{one['ratios'][name]:.1f}"]
            goal = "" if one["goal"] is None else f"{one['goal']:g}"
            cells.append(goal + (" (missed)" if one["met"] is False else ""))
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _detail(row: dict[str, Any]) -> list[str]:
    sizes = row["sizes"]
    count = "one series" if sizes["series"] == 1 else f"{sizes['series']:,} series"
    lines = [
        f"## {row['name']}: {row['what']}",
        "",
        f"{count} of {sizes['steps']:,} steps, n = {sizes['n']}, m = {sizes['m']}.",
        "",
        f"| | {row['unit']} | seconds | off by | reached |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, one in row["kelman"].items():
        reached = ", ".join(f"{value:.0%} of {name}" for name, value in one["fractions"].items())
        lines.append(
            f"| **kelman**, {way} | **{_number(one['value'])}** | {_number(one['seconds'])} | {one['difference']:.0e} | {reached} |"
        )
    for name, one in sorted(row["peers"].items(), key=lambda p: p[1].get("value", float("inf"))):
        if "value" in one:
            lines.append(
                f"| {name} | {_number(one['value'])} | {_number(one['seconds'])} | {one['difference']:.0e} | |"
            )
        else:
            lines.append(
                f"| {name} | {'wrong' if 'wrong' in one else 'failed'} | | | {one.get('wrong', one.get('error'))} |"
            )
    asked = [f"{way}: {told(one, row['unit'])}." for way, one in row["kelman"].items() if one.get("needed")]
    return [*lines, "", *(line for text in asked for line in (text[0].upper() + text[1:], ""))]


def page(results: dict[str, Any]) -> str:
    """Return the page."""
    machine = results["machine"]
    threads = "One thread each" if machine["threads"] == 1 else f"{machine['threads']} threads each"
    parts = [HEAD.format(threads=threads, machine=_machine(machine))]
    if results["quick"]:
        parts.append("These are the small sizes of `--quick`.\n")
    parts += ["## In short", "", "Times are for one step of one series (ns), or for all of it (ms).", ""]
    parts += [*_summary(results["workloads"]), ""]
    parts += [
        f"- {other['what']}: {_number(other['value'])} {other['unit']}"
        f" (goal {_number(other['goal'])}{'' if other['met'] else ', missed'})"
        for other in results["others"]
    ]
    parts += [
        "",
        REACHED,
        "",
    ]
    for row in results["workloads"]:
        parts += _detail(row)
    return "\n".join(parts).rstrip() + "\n"
