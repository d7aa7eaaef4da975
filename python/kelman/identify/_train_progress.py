# SPDX-License-Identifier: BSD-3-Clause
"""What is shown of a training while it runs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Self

from ._progress import Progress

if TYPE_CHECKING:
    from types import TracebackType

    from ._train_journal import Step

_log = logging.getLogger("kelman.train")


class Shown:
    """Steps of all starts as one bar with the loss (see `Progress` for when), and to the log at level DEBUG."""

    def __init__(self, enabled: bool | None, total: int) -> None:
        self._bar = Progress(enabled, total, "training", what="loss")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, step: Step) -> Any:
        """Show one step."""
        with self._lock:
            self._bar.update(step.iteration, step.loss)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "start %d %s %d: loss %.8g, radius %.4f, %.1f s", step.start, step.phase, step.iteration, step.loss,
                step.radius, step.seconds,
            )  # fmt: skip
