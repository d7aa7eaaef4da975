# SPDX-License-Identifier: BSD-3-Clause
"""What the columns of a network's input are, and what its output predicts.

A layout is read from ``Elman.inputs`` and ``Elman.target``: columns of one word, in their order, are the components
of that quantity. ``z`` and ``u`` belong to step k, ``z_prev`` and ``u_prev`` to step k - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kelman.errors import KelmanError

__all__: list[str] = []

_WORDS = ("z", "u", "z_prev", "u_prev")


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of the input by what they are, and the target of the output (m measured values, p known inputs)."""

    columns: dict[str, NDArray[np.intp]]
    target: str
    m: int
    p: int

    @property
    def width(self) -> int:
        """Number of input columns."""
        return sum(len(c) for c in self.columns.values())

    @property
    def words(self) -> tuple[str, ...]:
        """One word per column."""
        words = [""] * self.width
        for word, columns in self.columns.items():
            for j in columns:
                words[j] = word
        return tuple(words)

    def part(self, matrix: NDArray[Any], word: str) -> NDArray[Any]:
        """Columns of an input matrix that belong to one word, padded with zeros to the full width of the quantity."""
        columns = self.columns[word]
        if len(columns):
            return matrix[:, columns]
        return np.zeros((matrix.shape[0], self.m if word.startswith("z") else self.p))

    def has(self, word: str) -> bool:
        """Say if there are columns of this word."""
        return len(self.columns[word]) > 0

    def input_rows(
        self, z: NDArray[Any], u: NDArray[Any], z_before: NDArray[Any], u_before: NDArray[Any]
    ) -> NDArray[Any]:
        """Rows of the network's input for one series; ``z_before`` (m,) and ``u_before`` (p,) stand at step 0."""
        T = len(z)
        x = np.empty((T, self.width))
        for word, values, before in (("z", z, z_before), ("u", u, u_before)):
            x[:, self.columns[word]] = values[:, : len(self.columns[word])]
            previous = self.columns[f"{word}_prev"]
            if len(previous):
                x[1:, previous] = values[:-1]
                x[0, previous] = before
        return x


def layout_of(inputs: Sequence[str] | None, target: str | None, n_inputs: int, n_outputs: int) -> Layout:
    """Layout from the words; without words every column is taken for z, and the output for the next z.

    Parameters
    ----------
    inputs : sequence of {"z", "u", "z_prev", "u_prev"} or None
        One word per column.
    target : {"z", "z_next", "state"} or None
        None: "z_next" where z is among the inputs, else "z".
    n_inputs, n_outputs : int
        Sizes of the network.
    """
    if inputs is None:
        if target == "state" or n_inputs != n_outputs:
            raise KelmanError(
                f"inputs: the network has {n_inputs} input columns and {n_outputs} outputs; say which columns are z and which u, "
                'for example rnn.replace(inputs=("z", "u"), target="z_next")'
            )
        inputs = (("z" if target in (None, "z_next") else "z_prev"),) * n_inputs
    words = tuple(inputs)
    if len(words) != n_inputs or any(word not in _WORDS for word in words):
        raise KelmanError(
            f"inputs: expected {n_inputs} words out of {', '.join(map(repr, _WORDS))}, one per column, got {words}"
        )
    columns = {word: np.array([j for j, w in enumerate(words) if w == word], dtype=np.intp) for word in _WORDS}
    if target is None:
        target = "z_next" if len(columns["z"]) else "z"
    if target not in ("z", "z_next", "state"):
        raise KelmanError(f'target: expected "z", "z_next" or "state", got {target!r}')
    if target == "z" and len(columns["z"]):
        raise KelmanError(
            'target: the output cannot predict z at a step whose z is among the inputs; use target="z_next", or inputs "z_prev"'
        )
    return Layout(columns, target, _width(columns, "z", None if target == "state" else n_outputs), _width(columns, "u"))


def _width(columns: dict[str, NDArray[np.intp]], word: str, expected: int | None = None) -> int:
    """Number of components of z or u, agreed upon by the columns of this step and of the step before."""
    now, before = len(columns[word]), len(columns[f"{word}_prev"])
    if now and before and now != before:
        raise KelmanError(f'inputs: expected as many "{word}" as "{word}_prev" columns, got {now} and {before}')
    found = max(now, before)
    if expected is not None and found not in (0, expected):
        raise KelmanError(f'inputs: expected {expected} columns of "{word}", one per output, got {found}')
    return found if expected is None else expected
