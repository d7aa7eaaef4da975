# SPDX-License-Identifier: BSD-3-Clause
"""``kelman experiment``: the question, tried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kelman.cli._tables import read_table
from kelman.cli._threads import one_blas_thread
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman.experiments import DataSource, Experiment

DEFAULT_OUT = Path("kelman-experiment")


def experiment(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for report.html, results.json and PNGs.")
    ] = DEFAULT_OUT,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every series and every random start.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter series, fewer seeds: a look, not a result.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Your own CSV file (header row, a row per step) instead of the built-in studies."),
    ] = None,
    inputs: Annotated[str, typer.Option("--inputs", help="Input columns of --data, separated by commas.")] = "",
    outputs: Annotated[
        str, typer.Option("--outputs", help="Measured columns of --data; default: all numeric ones that are no inputs.")
    ] = "",
    order: Annotated[str, typer.Option("--order", help="States of the model of the data, or auto.")] = "auto",
    progress: Annotated[
        bool, typer.Option("--progress/--no-progress", help="Progress bars (never where the output is no terminal).")
    ] = True,
) -> None:
    """Try out the question: can a network be a Kalman filter, and can its weights be read?

    Simulates a known system, filters it, trains networks on it and reads the dynamics off their weights; then the same,
    without a known truth, on real data (a hair dryer, or --data). Prints a verdict and writes a report.
    """
    states = parse_order(order)
    own = data is not None
    if not own and (inputs or outputs):
        raise KelmanError("--inputs and --outputs name columns of --data, which was not given")
    if out.exists() and not out.is_dir():
        raise KelmanError(f"--out {out}: exists and is not a folder")
    from rich.console import Console

    from kelman.cli._progress import Bars
    from kelman.experiments import builtin_data, run
    from kelman.experiments.report import write_report

    source = load_data(data, inputs, outputs) if data is not None else builtin_data()
    console = Console(stderr=True)
    with one_blas_thread(), Bars(console, show=progress and console.is_terminal) as bars:
        result = run(source, own=own, order=states, seed=seed, quick=quick, progress=bars)
        bars.start("report", "Report", 3 if own else 13)
        page = write_report(result, out, lambda name: bars.step("report", name))
        bars.done("report")
    print_verdict(result)
    print(f"\nReport: {page}")


def parse_order(text: str) -> int | None:
    """Return the number of states, or None for auto."""
    if text.strip().lower() == "auto":
        return None
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise KelmanError(f"--order: expected a positive whole number or auto, got {text!r}")
    return value


def split_names(text: str) -> tuple[str, ...]:
    """Split a list of column names at the commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def load_data(path: Path, inputs: str, outputs: str) -> DataSource:
    """Read the user's CSV file into a data source.

    Parameters
    ----------
    path : Path
        The file.
    inputs, outputs : str
        Names of columns, separated by commas.

    Returns
    -------
    DataSource
    """
    import numpy as np

    from kelman.experiments import DataSource

    table = read_table(path)
    known = split_names(inputs)
    measured = split_names(outputs) or tuple(name for name in table.numeric_columns() if name not in known)
    both = sorted(set(known) & set(measured))
    if both:
        raise KelmanError(f"--inputs and --outputs both name {', '.join(both)}")
    if not measured:
        raise KelmanError(f"{path}: no numeric column left to be measured; name it with --outputs")
    z = table.numbers(measured)
    u = table.numbers(known) if known else None
    for name, values in (("--outputs", z), ("--inputs", u)):
        if values is not None and np.isnan(values).any():
            line = table.first_line + int(np.argwhere(np.isnan(values))[0, 0])
            raise KelmanError(
                f"{path}, line {line}: a missing value in a column of {name}; networks have no gain for gaps"
            )
    return DataSource(path.stem, z, u, measured, known)


def print_verdict(result: Experiment) -> None:
    """Print the verdict, one line a question, answers in bold where the output is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in result.verdict:
        console.print(Text.assemble(f"{line.question} ", (line.answer, "bold"), f": {line.because}"))
