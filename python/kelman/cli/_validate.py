# SPDX-License-Identifier: BSD-3-Clause
"""``kelman validate``: the compiled core against its oracles, on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kelman.cli._threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from kelman.experiments.validate import Check

WIDE = 120  # columns of a table that goes into a file


def validate(
    models: Annotated[int, typer.Option("--models", min=1, help="Random models of every kind.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random models.")] = 0,
    by_kind: Annotated[bool, typer.Option("--by-kind", help="One line for every kind of model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="A progress bar (never where the output is no terminal).")
    ] = True,
) -> None:
    """Compare the compiled core with independent answers and print the worst difference of every kind.

    The answers come from a PyTorch implementation of the same verbs (left out where torch is not installed), from one
    dense joint Gaussian, and from published numbers. The status is 1 if a difference exceeds its tolerance.
    """
    from rich.console import Console

    checks = _run(models, seed, by_kind, Console(stderr=True), progress)
    if as_json:
        from kelman.experiments import to_json

        print(json.dumps([{**to_json(check), "passed": check.passed} for check in checks], indent=1))
    else:
        _print(checks, f"Worst differences, {models} random models of every kind, seed {seed}")
    wrong = [check for check in checks if not check.passed]
    if wrong:
        raise typer.Exit(1)


def _run(models: int, seed: int, by_kind: bool, console: Console, progress: bool) -> Sequence[Check]:
    from rich.progress import Progress

    from kelman.experiments.validate import validate as compare

    with (
        one_blas_thread(),
        Progress(console=console, disable=not (progress and console.is_terminal), transient=True) as bar,
    ):
        task = bar.add_task("models", total=None)

        def tell(kind: str, done: int, total: int) -> None:
            bar.update(task, description=kind, completed=done, total=total)

        return compare(models=models, seed=seed, by_kind=by_kind, progress=tell)


def _print(checks: Sequence[Check], title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    table = Table(title=title)
    for name, width in (("what", 12), ("against", 12)):
        table.add_column(name, min_width=width)
    for name in ("cases", "worst", "tolerance"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("", no_wrap=True, min_width=9)
    table.add_column("worst at")
    for check in checks:
        if check.skipped:
            table.add_row(check.what, check.against, "0", "", "", "skipped", Text(check.skipped))
            continue
        word = Text("ok", style="green") if check.passed else Text("too large", style="bold red")
        table.add_row(
            Text(check.what), Text(check.against), str(check.cases), f"{check.worst:.1e}", f"{check.tolerance:.0e}", word,
            Text(check.where),
        )  # fmt: skip
    console.print(table)
    wrong = sum(not check.passed for check in checks)
    count = sum(check.cases for check in checks)
    print(
        f"{count} comparisons, {wrong} of {len(checks)} lines exceed their tolerance"
        if wrong
        else f"{count} comparisons, all within tolerance"
    )
