# SPDX-License-Identifier: BSD-3-Clause
"""Elman networks in the plain form that the bridge reads: with a readout, and without a skip path where it can be folded.

Without V the state is the output: V = I, c = 0. With a linear activation ``h = A h + B x + U h + W x + b``, so the skip path
adds to the weights exactly: U + A, W + B.
"""

from __future__ import annotations

import numpy as np

from kelman.models import Elman

__all__: list[str] = []


def plain(rnn: Elman) -> Elman:
    """The same network with a readout, and without a skip path if its hidden activation is linear."""
    if rnn.V is None:
        rnn = rnn.replace(V=np.eye(rnn.dims.hidden, dtype=rnn.dtype), c=None)
    if rnn.hidden != "identity" or (rnn.A is None and rnn.B is None):
        return rnn
    U = rnn.U if rnn.A is None else rnn.U + rnn.A
    W = rnn.W if rnn.B is None else rnn.W + rnn.B
    return rnn.replace(U=U, W=W, A=None, B=None)
