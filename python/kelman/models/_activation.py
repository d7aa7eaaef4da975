# SPDX-License-Identifier: BSD-3-Clause
"""The table of activations: one row per name, the same names as in the C++ core and in the PyTorch backend.

Every row holds the function and its derivative (of the pre-activation) and the slope written in the output, in NumPy. The core has its own rows
(``cpp/kelman/rnn/activation.hpp``); these serve read-outs (Jacobians, fixed points) and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "Activation", "ActivationRow", "activation_row"]

Activation = Literal["identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"]
"""The words for ``Elman(hidden=, output=)``."""

LEAKY_SLOPE = 0.01
"""Slope of ``leaky_relu`` below zero (PyTorch's default)."""

_Function = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """One activation: its name, the function and its derivative (of the pre-activation), and the slope from the output."""

    name: Activation
    function: _Function
    derivative: _Function
    slope: _Function
    smooth: bool


def _sigmoid(s: NDArray[Any]) -> NDArray[Any]:
    small: NDArray[Any] = np.exp(-np.abs(s))
    result: NDArray[Any] = np.where(s < 0, small, 1) / (1 + small)
    return result


def _softplus(s: NDArray[Any]) -> NDArray[Any]:
    rest: NDArray[Any] = np.log1p(np.exp(-np.abs(s)))
    result: NDArray[Any] = np.maximum(s, 0) + rest
    return result


def _step(s: NDArray[Any]) -> NDArray[Any]:
    return (s > 0).astype(s.dtype)


def _leak(s: NDArray[Any]) -> NDArray[Any]:
    return np.where(s > 0, 1, LEAKY_SLOPE).astype(s.dtype)


ACTIVATIONS: dict[str, ActivationRow] = {
    row.name: row
    for row in (
        ActivationRow("identity", lambda s: s, np.ones_like, np.ones_like, smooth=True),
        ActivationRow("tanh", np.tanh, lambda s: 1 - np.tanh(s) ** 2, lambda y: 1 - y * y, smooth=True),
        ActivationRow("relu", lambda s: np.maximum(s, 0), _step, _step, smooth=False),
        ActivationRow(
            "leaky_relu", lambda s: np.where(s > 0, s, s * s.dtype.type(LEAKY_SLOPE)), _leak, _leak, smooth=False
        ),
        ActivationRow("sigmoid", _sigmoid, lambda s: _sigmoid(s) * _sigmoid(-s), lambda y: y * (1 - y), smooth=True),
        ActivationRow("softplus", _softplus, _sigmoid, lambda y: -np.expm1(-y), smooth=True),
    )
}
"""The rows by name, in the order of the words of :data:`Activation`."""

assert tuple(ACTIVATIONS) == get_args(Activation)


def activation_row(name: str) -> ActivationRow:
    """Row of the table for one word; KeyError if there is none (models check the word first)."""
    return ACTIVATIONS[name]
