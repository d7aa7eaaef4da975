# SPDX-License-Identifier: BSD-3-Clause
"""A linear network imitated by one with curved activations or gates, at small gain.

Elman. With h = s0 + g (p - p0) near the pre-activation p0,
    U' = U / g,  W' = W,  b' = p0 - U s0 / g,  V' = V / g,  c' = c - V s0 / g,
the states scaled so that the pre-activations move by `gain`. A skip path takes the linear part as it is.
GRU. Constant gates r, z: h+ = (1 - z) (r U_n h + W_n x) + z h, hence U_n = (U - z) / ((1 - z) r), W_n = W / (1 - z).
LSTM. Constant gates i, f, o: h+ = f h + i o (U_g h + W_g x), hence U_g = (U - f) / (i o), W_g = W / (i o).
Small gain: nearly exact, to be released by training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import GRU, LSTM
from ..models._activation import ACTIVATIONS

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Elman

GAIN: dict[str, float] = {"relu": 1.0, "leaky_relu": 1.0}
"""Standard deviation of the pre-activations after a subspace start, where it is not 0.05."""

FREE_GAIN = 0.3
"""The same for the start that is to find out whether the data are curved."""

OPERATING_POINT: dict[str, float] = {"relu": 4.0, "leaky_relu": 4.0, "softplus": 1.0}
"""Pre-activation around which the network starts, where it is not 0."""

OPEN = 1.0
"""Pre-activation of gates that are mostly open."""


def imitation(linear: Elman, like: Any, gain: float | None) -> Any:
    """The linear network (states of unit mean square) as one of another kind; `like` gives kind, words and sizes."""
    size = 0.05 if gain is None else gain
    if isinstance(like, GRU):
        return _gru(linear, like, size)
    if isinstance(like, LSTM):
        return _lstm(linear, like, size)
    return _elman(linear, like, GAIN.get(like.hidden, size))


def _elman(linear: Elman, like: Elman, size: float) -> Elman:
    U, W, V = linear.U, linear.W, linear.V
    n = len(U)
    s0, g, at = 0.0, 1.0, 0.0
    if like.hidden != "identity":
        at = OPERATING_POINT.get(like.hidden, 0.0)
        row = ACTIVATIONS[like.hidden]
        s0, g = float(row.function(np.array([at]))[0]), float(row.derivative(np.array([at]))[0])
    else:
        size = 1.0
    changes: dict[str, Any] = {}
    if like.A is None:
        rest = np.full(n, s0)
        changes["U"] = U / g
    else:
        rest = np.linalg.solve(np.eye(n) - U, np.full(n, s0))
        changes |= {"A": U, "U": np.zeros_like(U)}
    if like.B is None:
        changes["W"] = W * size
    else:
        changes |= {"B": W * size * g, "W": np.zeros_like(W)}
    changes["b"] = at - changes["U"] @ rest
    changes |= _readout(like, V / (g * size), rest)
    changed = like.replace(**changes)
    return changed if s0 == 0 else changed.replace(h0=rest)


def _gru(linear: Elman, like: GRU, size: float) -> GRU:
    n = len(linear.U)
    r, z = _logistic(OPEN), _logistic(-OPEN)
    U, W, b = np.zeros(like.U.shape), np.zeros(like.W.shape), np.zeros(3 * n)
    U[2 * n :] = (linear.U - z * np.eye(n)) / ((1 - z) * r)
    W[2 * n :] = linear.W * size / (1 - z)
    b[:n], b[n : 2 * n] = OPEN, -OPEN
    changes = {"U": U, "W": W, "b": b, **_readout(like, linear.V / size, np.zeros(n))}
    if like.d is not None:
        changes["d"] = np.zeros(n)
    return like.replace(**changes)


def _lstm(linear: Elman, like: LSTM, size: float) -> LSTM:
    n = len(linear.U)
    gate = _logistic(OPEN)
    U, W, b = np.zeros(like.U.shape), np.zeros(like.W.shape), np.full(4 * n, OPEN)
    U[2 * n : 3 * n] = (linear.U - gate * np.eye(n)) / gate**2
    W[2 * n : 3 * n] = linear.W * size / gate**2
    b[2 * n : 3 * n] = 0
    changes = {"U": U, "W": W, "b": b, **_readout(like, linear.V / size, np.zeros(n))}
    if like.P is not None:
        changes["P"] = np.zeros((3, n))
    return like.replace(**changes)


def _readout(like: Any, V: Array, rest: Array) -> dict[str, Array]:
    """V, and the offset that makes up for the states at rest; no direct term."""
    changes = {"V": V, "c": -V @ rest}
    if like.D is not None:
        changes["D"] = np.zeros(like.D.shape)
    return changes


def _logistic(at: float) -> float:
    return float(1 / (1 + np.exp(-at)))
