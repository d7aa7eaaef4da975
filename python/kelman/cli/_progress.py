# SPDX-License-Identifier: BSD-3-Clause
"""Progress bars on the terminal, and nothing where nobody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console


class Bars:
    """Rich progress bars for the studies of an experiment; a context manager.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw.
    show : bool
        Draw at all.
    """

    def __init__(self, console: Console, *, show: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not show,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, key: str, title: str, steps: int) -> None:
        """Open a bar."""
        self._tasks[key] = self._bars.add_task(title, total=steps, note="")

    def step(self, key: str, note: str = "") -> None:
        """Move a bar by one."""
        self._bars.update(self._tasks[key], advance=1, note=note)

    def done(self, key: str) -> None:
        """Fill a bar."""
        task = self._tasks[key]
        total = next(t.total for t in self._bars.tasks if t.id == task)
        self._bars.update(task, completed=total, note="")
