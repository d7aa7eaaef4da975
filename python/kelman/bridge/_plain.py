# SPDX-License-Identifier: BSD-3-Clause
"""Elman networks in the plain form that the bridge reads: with a readout, and without a skip path where it can be folded.

Without V the state is the output: V = I, c = 0. With a linear activation ``h = A h + B x + U h + W x + b``, so the skip path
adds to the weights exactly: U + A, W + B.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from kelman.errors import KelmanError
from kelman.models import Bidirectional, Cell, Elman, Stack

__all__: list[str] = []


def is_network(value: Any, name: str = "rnn") -> TypeGuard[Cell | Stack]:
    """Whether it is a network that runs forward in time; an error for one that reads the future, which predicts nothing."""
    layers = value.layers if isinstance(value, Stack) else (value,)
    if any(isinstance(layer, Bidirectional) for layer in layers):
        raise KelmanError(f"{name}: expected a network that runs forward in time, got {value!r}, which sees the future")
    return isinstance(value, (Cell, Stack))


def with_one_start(net: Any) -> Any:
    """The network with the mean of its starts, where it has one for each series."""
    if isinstance(net, Stack):
        return Stack([with_one_start(layer) for layer in net.layers])
    starts = {name: getattr(net, name) for name in net.STARTS}
    means = {name: start.mean(axis=0) for name, start in starts.items() if start is not None and start.ndim == 2}
    return net.replace(**means) if means else net


def plain(rnn: Elman) -> Elman:
    """The same network with a readout, and without a skip path if its hidden activation is linear."""
    if rnn.V is None:
        rnn = rnn.replace(V=np.eye(rnn.dims.hidden, dtype=rnn.dtype), c=None)
    if rnn.hidden != "identity" or (rnn.A is None and rnn.B is None):
        return rnn
    U = rnn.U if rnn.A is None else rnn.U + rnn.A
    W = rnn.W if rnn.B is None else rnn.W + rnn.B
    return rnn.replace(U=U, W=W, A=None, B=None)
