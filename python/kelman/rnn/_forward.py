# SPDX-License-Identifier: BSD-3-Clause
"""`forward`: outputs and states of a network over sequences."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from .._arrays import one_of
from ..config import thread_count
from ..errors import KelmanError, NonFiniteError, NotKeptError, NumericalWarning
from ..models import Cell, Stack
from ._compute import backend_for, run, run_cell
from ._problem import as_network, forward_problem, require_inputs_finite

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend, ForwardStore, OnError
    from ._problem import Layout, Network, Problem


STORES: tuple[str, ...] = ("outputs", "all")


@dataclass(frozen=True, eq=False, repr=False)
class ForwardResult:
    """Outputs and states of a network; which arrays there are depends on ``store``.

    Reading an array that was not kept raises and names the `store` that keeps it.

    Attributes
    ----------
    y : ndarray, shape (T, o) or (N, T, o)
        Outputs; NaN past a series' length.
    lengths : ndarray of int, shape (N,), or None
        Length of each series, when they are ragged.
    status : ndarray of int, shape () or (N,)
        0 where all numbers are finite, 3 where they overflowed.
    store : str
        What was kept.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> r = kelman.forward(net, [1.0, 0.0], store="outputs")
    >>> r.y.shape
    (2, 1)
    >>> r.h
    Traceback (most recent call last):
    ...
    kelman.errors.NotKeptError: h: not kept by store='outputs'; kept by 'all'
    """

    y: Array
    lengths: Array | None
    status: Array
    store: str
    _kept: dict[str, Any]

    @property
    def h(self) -> Array:
        """States h_1 .. h_T, shape (..., T, h); NaN past a series' length.

        Of a `Stack` those of the last layer, of a `Bidirectional` those of both directions beside each other.
        """
        states: Array = self._get("h")
        return states

    @property
    def c(self) -> Array | None:
        """Memories of an LSTM, like h; None of other cells."""
        memories: Array | None = self._get("c")
        return memories

    @property
    def layers(self) -> tuple[ForwardResult, ...] | None:
        """Of a `Stack` the result of every layer; None of other networks."""
        layers: tuple[ForwardResult, ...] | None = self._get("layers")
        return layers

    def _get(self, name: str) -> Any:
        if name not in self._kept:
            raise NotKeptError(f"{name}: not kept by store={self.store!r}; kept by 'all'")
        return self._kept[name]

    def __len__(self) -> int:
        if self.y.ndim == 2:
            raise KelmanError("a single series has no series axis; .y and .h are its results")
        return len(self.y)

    def __getitem__(self, n: SupportsIndex) -> ForwardResult:
        """Results of series n, trimmed to its length."""
        if not 0 <= n.__index__() + len(self) * (n.__index__() < 0) < len(self):
            raise IndexError(f"series {n.__index__()} of {len(self)}")
        end = None if self.lengths is None else int(self.lengths[n])
        kept = {name: value if value is None else value[n, :end] for name, value in self._kept.items() if name in "hc"}
        if "layers" in self._kept:
            layers = self._kept["layers"]
            kept["layers"] = None if layers is None else tuple(layer[n] for layer in layers)
        return ForwardResult(self.y[n, :end], None, self.status[n], self.store, kept)

    def __repr__(self) -> str:
        ragged = "" if self.lengths is None else f", lengths {self.lengths.min()} to {self.lengths.max()}"
        states = f", h {self.h.shape}" if "h" in self._kept else ""
        return f"ForwardResult(y {self.y.shape}{states}{ragged}, {self.y.dtype}, store={self.store!r})"


def forward(
    rnn: Network,
    x: ArrayLike | list[Array],
    *,
    lengths: ArrayLike | None = None,
    store: ForwardStore = "all",
    out: ForwardResult | None = None,
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
    store : {"outputs", "all"}, default "all"
        What is kept: "outputs" only y, which is faster; "all" the states (and memories, and layers) too.
    out : ForwardResult, optional
        A result of the same shapes and `store` whose memory may be overwritten.
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
    KelmanError
        If an argument does not fit, or an input is not finite; the message names it.
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
    one_of(store, "store", STORES)
    one_of(on_error, "on_error", ("raise", "warn", "nan"))
    net = as_network(rnn)
    problem, layout = forward_problem(net, x, lengths, check=False)
    module, count = backend_for(net, backend, "forward"), thread_count(threads)
    reused = None if out is None else _reusable(out, net, problem, layout, store)
    if isinstance(net, Cell):
        raw = run_cell(problem, module, count, store=store, out=reused)
    else:
        raw = run(net, problem.x, problem.lengths, module, count, store=store)
    failed = np.flatnonzero(raw["status"])
    if len(failed):
        require_inputs_finite(problem.x, problem.lengths)
    result = _result(raw, problem.lengths, layout, net, store)
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


def _reusable(out: ForwardResult, net: Network, problem: Problem, layout: Layout, store: str) -> dict[str, Array]:
    """The arrays of `out`, if they have the shapes and dtype that this call needs."""
    if not isinstance(out, ForwardResult):
        raise KelmanError(f"out: expected a ForwardResult, got {type(out).__name__}")
    if out.store != store:
        raise KelmanError(f"out: was made with store={out.store!r}, but this call has store={store!r}")
    lead = problem.x.shape[1:2] if layout.kind == "one" else problem.x.shape[:2]
    arrays = {"y": out.y} | {name: out._kept[name] for name in ("h", "c") if out._kept.get(name) is not None}
    for name, array in arrays.items():
        shape = (*lead, net.dims.outputs if name == "y" else net.dims.hidden)
        if array.shape != shape:
            raise KelmanError(f"out: its {name} has shape {array.shape}, but this call needs {shape}")
        if array.dtype != problem.x.dtype:
            raise KelmanError(f"out: its {name} has dtype {array.dtype}, but this call needs {problem.x.dtype}")
    if isinstance(net, Cell) and net.V is None:
        arrays["h"] = arrays.pop("y")
    return {name: array[None] if layout.kind == "one" else array for name, array in arrays.items()}


def _result(raw: dict[str, Any], lengths: Array | None, layout: Layout, net: Network, store: str) -> ForwardResult:
    """The record of raw results, NaN from where a series fails on."""
    for n in np.flatnonzero(raw["status"]):
        for name in ("y", "h", "c"):
            if name in raw:
                raw[name][n, raw["failed_at"][n] :] = np.nan
    kept: dict[str, Any] = {}
    if store == "all":
        memories = layout.back(raw["c"]) if raw.get("c") is not None else None
        kept = {"h": layout.back(raw["h"]), "c": memories, "layers": None}
        if isinstance(net, Stack):
            pairs = zip(raw["parts"], net.layers, strict=True)
            kept["layers"] = tuple(_result(part, lengths, layout, layer, store) for part, layer in pairs)
    return ForwardResult(layout.back(raw["y"]), lengths, layout.back(raw["status"]), store, kept)
