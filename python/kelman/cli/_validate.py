# SPDX-License-Identifier: BSD-3-Clause
"""``kelman validate``: the compiled core against its oracles, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def validate(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random models.")] = 0,
    models: Annotated[int, typer.Option("--models", min=1, help="Random models of every kind.")] = 20,
    by_kind: Annotated[bool, typer.Option("--by-kind", help="One line for every kind of model.")] = False,
) -> None:
    """Compare the compiled core with its oracles and print the worst difference of every kind.

    The oracles are a PyTorch implementation of the same verbs (left out where torch is not installed), one dense joint
    Gaussian, and published numbers. The status is 1 if a difference exceeds its tolerance.
    """
    from rich.console import Console
    from rich.table import Table

    from kelman.experiments.validate import validate as compare

    checks = compare(models=models, seed=seed, by_kind=by_kind)
    table = Table(title=f"Worst differences, {models} random models of every kind, seed {seed}")
    table.add_column("what")
    table.add_column("against")
    table.add_column("cases", justify="right")
    table.add_column("worst", justify="right")
    table.add_column("tolerance", justify="right")
    table.add_column("found in")
    table.add_column("")
    for check in checks:
        if check.skipped:
            table.add_row(check.what, check.against, "0", "", "", check.skipped, "[yellow]skipped[/yellow]")
            continue
        word = "[green]ok[/green]" if check.passed else "[red bold]too large[/red bold]"
        table.add_row(
            check.what,
            check.against,
            str(check.cases),
            f"{check.worst:.1e}",
            f"{check.tolerance:.0e}",
            check.where,
            word,
        )
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)
