# SPDX-License-Identifier: BSD-3-Clause
"""The parts that a page is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure by the name under which plotting draws it, with the record that it draws."""

    name: str
    record: Any
    caption: str
    alt: str


@dataclass(frozen=True, slots=True)
class TableView:
    """A table of ready-made cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A question, what was done, and what came out."""

    key: str
    title: str
    text: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[TableView, ...] = ()
    widget: str = ""
    grid: dict[str, Any] = field(default_factory=dict)


def matrix_text(values: Any) -> str:
    """Write a small matrix row by row."""
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    return "; ".join(" ".join(f"{v:.4f}" for v in row) for row in rows)


def complex_text(z: complex | None) -> str:
    """Write a pole as modulus and angle."""
    return "" if z is None else f"{abs(z):.4f} ∠ {abs(np.angle(z)):.4f}"
