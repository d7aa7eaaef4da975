# SPDX-License-Identifier: BSD-3-Clause
"""How far a fit has come: a bar if rich is installed, else lines on a terminal, else nothing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_EVERY = 0.5  # seconds between two lines


class Progress:
    """Shows iterations and log-likelihood (or another number); a context manager.

    Parameters
    ----------
    enabled : bool, callable or None
        None shows progress where somebody watches: standard error is a terminal of an interactive session. True shows it
        anyway, False never. A function is called with (iteration, loglik) instead.
    total : int
        Largest number of iterations.
    title : str
        What is running.
    what : str
        Name of the number that is shown.
    """

    def __init__(
        self,
        enabled: bool | Callable[[int, float], Any] | None,
        total: int,
        title: str,
        *,
        what: str = "log-likelihood",
    ) -> None:
        if enabled is not None and not isinstance(enabled, bool) and not callable(enabled):
            raise KelmanError(f"progress: expected True, False, None or a function, got {enabled!r:.60}")
        self._call = enabled if callable(enabled) else None
        interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
        watched = sys.stderr is not None and sys.stderr.isatty() and interactive
        self._shown = enabled is True or (enabled is None and watched)
        self._total, self._title, self._what = total, title, what
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0
        self._line = ""

    def __enter__(self) -> Self:
        if self._shown:
            try:
                from rich.console import Console
                from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn
            except ImportError:
                return self
            console = Console(stderr=True)
            if not (console.is_terminal or console.is_jupyter):
                return self
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=self._total, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._line:
            self._write(self._line)

    def update(self, iteration: int, loglik: float) -> None:
        """Tell that an iteration ended with this log-likelihood (or other number)."""
        if self._call is not None:
            self._call(iteration, loglik)
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration, note=f"{self._what} {loglik:.6g}")
        elif self._shown:
            self._line = f"{self._title}: iteration {iteration} of at most {self._total}, {self._what} {loglik:.6g}"
            now = time.monotonic()
            if now - self._last > _EVERY:
                self._write(self._line)
                self._line, self._last = "", now

    def _write(self, line: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
