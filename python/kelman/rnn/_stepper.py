# SPDX-License-Identifier: BSD-3-Clause
"""`NetworkStepper`: a network online, one call for each time step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_count, as_floats, laid_out
from .._core.stepper import StepperBase, accelerate, attach
from ..errors import KelmanError, NonFiniteError
from ..models import Bidirectional, Stack
from . import _native
from ._problem import as_network, cell_problem

if TYPE_CHECKING:
    from .._types import Array, ArrayLike
    from ..models import Cell


class NetworkStepper(StepperBase):
    """A network online: one call for each time step, for one stream or N at once.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM or Stack
        The network. A `Bidirectional` layer needs the whole series, and is refused.
    N : int, optional
        Number of streams. None: one stream without a stream axis (or as many as the network has starts).

    Raises
    ------
    KelmanError
        If the network cannot run one step at a time, or N is not the number of its starts.

    Notes
    -----
    Outputs and states are to the bit those of `forward`. A call is cheap if x is a C-contiguous array of the network's dtype and
    of the full shape; anything else that `forward` would take is converted first. A stepper can be pickled and copied; it is
    not for use by several threads at once.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> step = net.stepper()
    >>> [float(step([x])[0]) for x in (1.0, 0.0, 0.0)]
    [1.0, 0.5, 0.25]
    >>> print(step.h, step.steps)
    [0.25] 3
    """

    def __init__(self, rnn: Any, N: int | None = None) -> None:
        net = as_network(rnn)
        cells = net.layers if isinstance(net, Stack) else (net,)
        if any(isinstance(cell, Bidirectional) for cell in cells):
            raise KelmanError("rnn: a Bidirectional layer reads the series backward too, so it has no single steps")
        own = net.dims.N
        count = as_count(N, "N") if N is not None else own or 1
        if own not in (None, count):
            raise KelmanError(f"N: is {count}, but the network has starts for {own} streams")
        self._net, self._cells, self._count = net, cells, count
        self._batched = N is not None or own is not None
        self._dtype = net.dtype
        self._shape = (count, net.dims.inputs) if self._batched else (net.dims.inputs,)
        self._width = net.dims.hidden if cells[-1].V is None else net.dims.outputs
        self._open()

    def _open(self) -> None:
        """Give the streams to the core, at the starts of the network."""
        self._handles = [self._handle(cell) for cell in self._cells]
        for below, above in pairwise(self._handles):
            below.feed(above)
        attach(self, self._handles[0], self._batched)

    def _handle(self, cell: Cell) -> Any:
        return _native.stepper(cell_problem(cell, np.empty((self._count, 0, cell.dims.inputs), self._dtype), None))

    def __call__(self, x: ArrayLike) -> Array:
        """Take the input of the next step.

        Parameters
        ----------
        x : array_like, shape (i,) or (N, i)
            The input, finite.

        Returns
        -------
        ndarray, shape (o,) or (N, o)
            The output y of this step.

        Raises
        ------
        KelmanError
            If x does not fit, or is not finite; the states stay as they were.
        NonFiniteError
            If a state overflows: the recursion is unstable on this input. `restart` begins again.
        """
        array = self._read(x)
        y = np.empty((self._count, self._width), self._dtype)
        outcome = self._handles[0].step(array.reshape(self._count, -1), y)
        if outcome:
            self._complain(array, outcome)
        return y if self._batched else y[0]

    def _read(self, x: Any) -> Array:
        array = as_floats(x, "x")
        if array.shape != self._shape:
            raise KelmanError(f"x: expected shape {self._shape}, the inputs of one step, got {array.shape}")
        return laid_out(array, self._dtype, array.ndim)

    def _complain(self, x: Array, outcome: int) -> None:
        if outcome == 1 and not np.isfinite(x).all():
            place = np.argwhere(~np.isfinite(x))[0].tolist()
            raise KelmanError(
                f"x: a network needs every input; got {x[tuple(place)]} at index {place}. No step was taken"
            )
        bad = np.zeros(self._count, dtype=bool)
        for handle in self._handles:
            for value in handle.state().values():
                bad |= ~np.isfinite(value).all(axis=1)
        streams = np.flatnonzero(bad)
        raise NonFiniteError(
            f"the network overflows in {len(streams)} of {self._count} streams at step {self.steps}, first in stream "
            f"{int(streams[0])}: its recursion is unstable on this input; .restart() begins again",
            [(int(n), self.steps) for n in streams],
        )

    @property
    def steps(self) -> int:
        """Number of steps taken since the start."""
        return int(self._handles[0].steps)

    @property
    def h(self) -> Array:
        """State of the last cell, (h,) or (N, h)."""
        return self._state("h")

    @property
    def c(self) -> Array:
        """Memory of the last cell, (h,) or (N, h), where it is an LSTM."""
        return self._state("c")

    def _state(self, name: str) -> Array:
        state: dict[str, Array] = self._handles[-1].state()
        if name not in state:
            raise KelmanError(
                f"{name}: only an LSTM has a memory, and the last cell is {type(self._cells[-1]).__name__}"
            )
        return state[name] if self._batched else state[name][0]

    def restart(self) -> None:
        """Begin again at the starts of the network."""
        self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        states = [handle.state() for handle in self._handles]
        return (_resumed, (self._net, self._count if self._batched else None, states, self.steps))

    def __repr__(self) -> str:
        streams = f"{self._count} streams" if self._batched else "one stream"
        return f"NetworkStepper({self._net!r}, {streams}, {self.steps} steps)"


def _resumed(net: Any, N: int | None, states: list[dict[str, Array]], steps: int) -> NetworkStepper:
    """Make a stepper that goes on from the states of its cells (pickle, copy)."""
    stepper = NetworkStepper(net, N)
    for handle, state in zip(stepper._handles, states, strict=True):
        handle.restart(state["h"], state.get("c"))
    stepper._handles[0].steps = steps
    return stepper


accelerate(NetworkStepper)
