"""What stands in for compiled functions that an installation has not got: the PyTorch backend, by the same protocol."""

from __future__ import annotations

from typing import Any

import pytest

from kelman import _core, _registry
from kelman.torch import _recurrence

NAMES = tuple(f"{cell}_{name}" for cell in ("elman", "gru", "lstm") for name in ("forward", "vjp"))


def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the autograd functions run over the compiled core, or over its stand-in where it lacks a function."""
    if all(hasattr(_core.recurrent(), name) for name in NAMES):
        return
    real = _registry.backend

    def backend(subject: str, name: str | None = None) -> Any:
        return real(subject, "torch" if subject == "rnn" else name)

    monkeypatch.setattr(_recurrence, "core_computes", lambda *_: True)
    monkeypatch.setattr(_recurrence._registry, "backend", backend)
