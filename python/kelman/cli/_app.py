# SPDX-License-Identifier: BSD-3-Clause
"""The command ``kelman``: one group of commands, errors as one line in the user's words."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import typer

from kelman.cli import _bench, _experiment, _info, _validate, _verbs
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    name="kelman",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Kalman filters, Elman networks, and the exact bridge between the two.",
)

app.command()(_experiment.experiment)
app.command()(_verbs.fit)
app.command(name="filter")(_verbs.filter_)
app.command()(_verbs.smooth)
app.command()(_verbs.forecast)
app.command()(_verbs.simulate)
app.command()(_validate.validate)
app.command()(_bench.bench)
app.command()(_info.info)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Kalman filters, Elman networks, and the exact bridge between the two."""
    _STATE["debug"] = debug


_STATE = {"debug": False}


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong use, 130 interrupted.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those of the process.
    """
    warnings.showwarning = _one_line
    try:
        app(args=arguments, standalone_mode=True)
    except KelmanError as error:
        _fail(str(error), error)
    except (ImportError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        _fail(str(error), error)
    except MemoryError as error:
        _fail(f"not enough memory: {error}", error)
    except Exception as error:  # noqa: BLE001
        _fail(f"unexpected {type(error).__name__}: {error} (a fault of kelman; --debug shows where)", error)
    except KeyboardInterrupt:
        print("kelman: interrupted", file=sys.stderr)
        sys.exit(130)


def _fail(message: str, error: BaseException) -> None:
    if _STATE["debug"]:
        raise error
    print(f"kelman: {message}", file=sys.stderr)
    sys.exit(1)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: object = None, line: str | None = None
) -> None:  # fmt: skip
    del category, filename, lineno, file, line
    print(f"kelman: warning: {message}", file=sys.stderr)


def existing(path: Path) -> Path:
    """Return the path, or say that there is no such file."""
    if not path.is_file():
        raise KelmanError(f"{path}: no such file")
    return path
