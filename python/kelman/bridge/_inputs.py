# SPDX-License-Identifier: BSD-3-Clause
"""The input series of a network, built from measurements and known inputs by what its columns are."""

from __future__ import annotations

from typing import Any

import numpy as np

from kelman.bridge._data import FloatArray, paired_series, restore
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._plain import is_network
from kelman.errors import KelmanError
from kelman.models import ACTIVATIONS, Cell, Stack

__all__ = ["network_inputs"]


def network_inputs(rnn: Cell | Stack, z: Any, u: Any = None) -> Any:
    """Input x of a network from z and u, as its ``inputs=`` words say.

    Columns "z" and "u" take z_k and u_k, columns "z_prev" and "u_prev" the values one step before. Before the first step the
    network is given its own prediction (z_0 = s_y(V h_0 + c), no news) and u_0 = 0; with the ``h0`` of :func:`to_elman` the
    outputs then equal the steady filter from the first step on.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM or Stack
        Network whose ``inputs`` are known.
    z : array_like, shape (T,), (T, m) or (N, T, m), or list of series
        Measurements; finite.
    u : array_like, shape (T,), (T, p) or (N, T, p), or list of series, optional
        Known inputs.

    Returns
    -------
    ndarray, shape (T, i) or (N, T, i), or list of ndarray
        Input of the network, in its dtype.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.to_elman(kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]]), form="aligned")
    >>> kelman.bridge.network_inputs(net, [1.0, 2.0, 3.0])[:, 0].tolist()
    [0.0, 1.0, 2.0]
    """
    if not is_network(rnn):
        raise KelmanError(f"rnn: expected an Elman, GRU or LSTM network or a Stack, got {type(rnn).__name__}")
    layout = layout_of(rnn.inputs, rnn.target, rnn.dims.inputs, rnn.dims.outputs)
    zs, us = paired_series(z, u, layout.m if layout.target != "state" or layout.m else None, layout.p)
    rows = input_list(rnn, layout, zs, us)
    return restore(z, [row.astype(rnn.dtype, copy=False) for row in rows])


def input_list(rnn: Cell | Stack, layout: Layout, zs: list[FloatArray], us: list[FloatArray]) -> list[FloatArray]:
    """Input rows of every series of a list."""
    before = _z_before(rnn, layout, len(zs))
    none = np.zeros(layout.p)
    return [layout.input_rows(z, u, before[i], none) for i, (z, u) in enumerate(zip(zs, us, strict=True))]


def _z_before(rnn: Cell | Stack, layout: Layout, n_series: int) -> FloatArray:
    """What the network itself predicts from h0, one row per series (zeros where its output is no measurement)."""
    if layout.target == "state":
        return np.zeros((n_series, layout.m))
    last: Cell = rnn.layers[-1] if isinstance(rnn, Stack) else rnn
    h0 = np.zeros(last.dims.hidden) if last.h0 is None else np.asarray(last.h0, dtype=np.float64)
    if h0.ndim == 2 and len(h0) != n_series:
        raise KelmanError(f"z: expected {len(h0)} series to go with the h0 of the network, got {n_series}")
    value = h0
    if last.V is not None:
        value = ACTIVATIONS[last.output].function(h0 @ last.V.T.astype(np.float64) + last.c)
    return np.broadcast_to(value, (n_series, layout.m))
