# SPDX-License-Identifier: BSD-3-Clause
"""The command line: ``kelman experiment | fit | filter | smooth | forecast | simulate | validate | bench | info``."""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; without the extra ``app`` say what to install and exit with status 2."""
    try:
        from kelman.cli._app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(f'kelman: the command line needs {error.name}: pip install "kelman[app]"', file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        print(f"kelman: {error}", file=sys.stderr)
        sys.exit(2)
    run()
