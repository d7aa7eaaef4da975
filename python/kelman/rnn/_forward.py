# SPDX-License-Identifier: BSD-3-Clause
"""`forward`: outputs and states of a network over sequences."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from .._arrays import one_of
from ..config import thread_count
from ..errors import KelmanError, NonFiniteError, NumericalWarning
from ..models import Cell, Stack
from ._compute import backend_for, run, run_cell
from ._problem import as_network, forward_problem

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, OnError
    from ._problem import Layout, Network


@dataclass(frozen=True, eq=False, repr=False)
class ForwardResult:
    """Outputs and states of a network.

    Attributes
    ----------
    y : ndarray, shape (T, o) or (N, T, o)
        Outputs; NaN past a series' length.
    h : ndarray, shape (T, h) or (N, T, h)
        States h_1 .. h_T; NaN past a series' length. Of a `Stack` those of the last layer, of a `Bidirectional` those of both
        directions beside each other.
    lengths : ndarray of int, shape (N,), or None
        Length of each series, when they are ragged.
    status : ndarray of int, shape () or (N,)
        0 where all numbers are finite, 3 where they overflowed.
    c : ndarray, shape (T, h) or (N, T, h), or None
        Memories of an LSTM, like h.
    layers : tuple of ForwardResult, or None
        Of a `Stack`: the result of every layer.
    """

    y: Array
    h: Array
    lengths: Array | None
    status: Array
    c: Array | None = None
    layers: tuple[ForwardResult, ...] | None = None

    def __len__(self) -> int:
        if self.y.ndim == 2:
            raise KelmanError("a single series has no series axis; .y and .h are its results")
        return len(self.y)

    def __getitem__(self, n: SupportsIndex) -> ForwardResult:
        """Results of series n, trimmed to its length."""
        if not 0 <= n.__index__() + len(self) * (n.__index__() < 0) < len(self):
            raise IndexError(f"series {n.__index__()} of {len(self)}")
        end = None if self.lengths is None else int(self.lengths[n])
        memories = None if self.c is None else self.c[n, :end]
        layers = None if self.layers is None else tuple(layer[n] for layer in self.layers)
        return ForwardResult(self.y[n, :end], self.h[n, :end], None, self.status[n], memories, layers)

    def __repr__(self) -> str:
        ragged = "" if self.lengths is None else f", lengths {self.lengths.min()} to {self.lengths.max()}"
        return f"ForwardResult(y {self.y.shape}, h {self.h.shape}{ragged}, {self.y.dtype})"


def forward(
    rnn: Network,
    x: ArrayLike | list[Array],
    *,
    lengths: ArrayLike | None = None,
    on_error: OnError = "raise",
    threads: int | None = None,
    backend: Backend | None = None,
) -> ForwardResult:
    """Run a network over sequences.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The network, with h hidden units, i inputs and o outputs.
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs; (T,) if i is 1. A list holds series of different lengths. Every input must be finite.
    lengths : array_like of int, shape (N,), optional
        Length of each series of a padded x; what lies beyond is ignored.
    on_error : {"raise", "warn", "nan"}
        What to do when a series overflows; its results are NaN from that step on.
    threads : int, optional
        Threads over series; the result is the same to the bit for any number.
    backend : {"core", "torch"}, optional
        Who computes: the compiled core, or the PyTorch reference.

    Returns
    -------
    ForwardResult
        `y` (..., T, o) and `h` (..., T, h) (and `c` of an LSTM, `layers` of a `Stack`), without the series axis for one
        series. The dtype is that of x and the network: float32 if both are, else float64.

    Raises
    ------
    NonFiniteError
        If a series overflows and `on_error` is "raise"; its `.result` holds all the others.

    Examples
    --------
    A leaky integrator:

    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> kelman.forward(net, [1.0, 0.0, 0.0]).y
    array([[1.  ],
           [0.5 ],
           [0.25]])
    """
    one_of(on_error, "on_error", ("raise", "warn", "nan"))
    net = as_network(rnn)
    problem, layout = forward_problem(net, x, lengths)
    module, count = backend_for(net, backend, "forward"), thread_count(threads)
    if isinstance(net, Cell):
        raw = run_cell(problem, module, count)
    else:
        raw = run(net, problem.x, problem.lengths, module, count)
    result = _result(raw, problem.lengths, layout, net)
    failed = np.flatnonzero(raw["status"])
    if len(failed) and on_error != "nan":
        failures = [(int(n), int(raw["failed_at"][n])) for n in failed]
        message = (
            f"the network overflows in {len(failures)} of {len(problem.x)} series, first in series {failures[0][0]} at "
            f"step {failures[0][1]}: its recursion is unstable on this input"
        )
        if on_error == "raise":
            raise NonFiniteError(message, failures, result)
        warnings.warn(message, NumericalWarning, stacklevel=2)
    return result


def _result(raw: dict[str, Any], lengths: Array | None, layout: Layout, net: Network) -> ForwardResult:
    """The record of raw results, NaN from where a series fails on."""
    for n in np.flatnonzero(raw["status"]):
        for name in ("y", "h", "c"):
            if name in raw:
                raw[name][n, raw["failed_at"][n] :] = np.nan
    layers = None
    if isinstance(net, Stack):
        pairs = zip(raw["parts"], net.layers, strict=True)
        layers = tuple(_result(part, lengths, layout, layer) for part, layer in pairs)
    memories = layout.back(raw["c"]) if raw.get("c") is not None else None
    return ForwardResult(
        layout.back(raw["y"]), layout.back(raw["h"]), lengths, layout.back(raw["status"]), memories, layers
    )
