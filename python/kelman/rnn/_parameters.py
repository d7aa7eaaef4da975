# SPDX-License-Identifier: BSD-3-Clause
"""A network's weights as one vector, and back: U, W, b, ... (, h0, c0), each by rows, cell after cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .._arrays import as_floats
from ..errors import KelmanError
from ..models import GRU, LSTM, Bidirectional, Cell, Elman, Stack
from ._problem import as_network

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Network

Net = TypeVar("Net", Elman, GRU, LSTM, Bidirectional, Stack)


def names_of(rnn: Cell, learn_h0: bool) -> list[str]:
    """Names of the arrays of one cell in the vector, in order."""
    return [*rnn.weights, *(rnn.STARTS if learn_h0 else ())]


def _parts(net: Network) -> dict[str, Any]:
    """What a network of several cells consists of, by name, in order."""
    if isinstance(net, Stack):
        return {str(k): layer for k, layer in enumerate(net.layers)}
    return {"forward": net.forward, "backward": net.backward} if isinstance(net, Bidirectional) else {}


def _shapes(net: Network, learn_h0: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's own arrays in the vector."""
    if isinstance(net, Stack):
        return {}
    shapes = {name: value.shape for name, value in net.weights.items()}
    if isinstance(net, Cell) and learn_h0:
        for name in net.STARTS:
            start = getattr(net, name)
            if start is not None and start.ndim != 1:
                raise KelmanError(
                    f"rnn.{name}: a start per series is not part of the vector; give one start (h,) or learn_h0=False"
                )
            shapes[name] = (net.dims.hidden,)
    return shapes


def _size(net: Network, learn_h0: bool) -> int:
    own = sum(int(np.prod(shape)) for shape in _shapes(net, learn_h0).values())
    return own + sum(_size(part, learn_h0) for part in _parts(net).values())


def pack(rnn: Network, *, learn_h0: bool = False) -> Array:
    """Write the weights of a network as one vector.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The network.
    learn_h0 : bool
        Whether the starts h0 and c0 (zeros if there are none) belong to the vector.

    Returns
    -------
    ndarray, shape (P,)
        Of a cell: U, W, b, then A, B (of an Elman network), d (of a GRU) or P (of an LSTM), then V, c, D, and h0, c0 if asked
        for; what it has not got is left out, each is written by rows. Of a `Stack`: its layers in order. Of a `Bidirectional`:
        forward, backward, then V, c, D.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[2.0]], None)
    >>> kelman.rnn.pack(net)
    array([0.5, 1. , 0. , 2. , 0. ])
    >>> kelman.rnn.unpack(net, [0.4, 1, 0, 2, 0]).U
    array([[0.4]])
    """
    net = as_network(rnn)
    inner = [pack(part, learn_h0=learn_h0) for part in _parts(net).values()]
    own = []
    for name, shape in _shapes(net, learn_h0).items():
        value = getattr(net, name)
        own.append(np.zeros(shape, net.dtype) if value is None else value.ravel())
    return np.concatenate([*inner, *own])


def unpack(rnn: Net, vector: Any, *, learn_h0: bool = False) -> Net:
    """Give a network the weights of a vector.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The network whose sizes, activations and words are kept.
    vector : array_like, shape (P,)
        As `pack` writes it.
    learn_h0 : bool
        Whether the vector holds the starts.

    Returns
    -------
    network
        The network with the new weights.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[2.0]], None)
    >>> kelman.rnn.unpack(net, kelman.rnn.pack(net)).V
    array([[2.]])
    """
    net = as_network(rnn)
    values = as_floats(vector, "vector")
    size = _size(net, learn_h0)
    if values.shape != (size,):
        raise KelmanError(f"vector: expected shape ({size},) for {_told(net, learn_h0)}, got {values.shape}")
    filled: Net = _filled(net, values, learn_h0)
    return filled


def _filled(net: Network, values: Array, learn_h0: bool) -> Any:
    changes: dict[str, Any] = {}
    at = 0
    for name, part in _parts(net).items():
        count = _size(part, learn_h0)
        changes[name] = _filled(part, values[at : at + count], learn_h0)
        at += count
    for name, shape in _shapes(net, learn_h0).items():
        count = int(np.prod(shape))
        changes[name] = values[at : at + count].reshape(shape)
        at += count
    return Stack(changes.values()) if isinstance(net, Stack) else net.replace(**changes)


def _told(net: Network, learn_h0: bool) -> str:
    return ", ".join([*_parts(net), *_shapes(net, learn_h0)]) if not isinstance(net, Stack) else repr(net)
