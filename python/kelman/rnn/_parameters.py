# SPDX-License-Identifier: BSD-3-Clause
"""A network's weights as one vector, and back: U, W, b, V, c (, D) (, h0), each by rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import as_floats
from ..errors import KelmanError
from ._problem import WEIGHTS, as_elman

if TYPE_CHECKING:
    from .._types import Array
    from ..models import Elman


def names_of(rnn: Elman, learn_h0: bool) -> list[str]:
    """Names of the arrays in the vector, in order."""
    names = [name for name in WEIGHTS if getattr(rnn, name) is not None]
    return [*names, "h0"] if learn_h0 else names


def pack(rnn: Elman, *, learn_h0: bool = False) -> Array:
    """Write the weights of a network as one vector.

    Parameters
    ----------
    rnn : Elman
        The network.
    learn_h0 : bool
        Whether the start h0 (zeros if there is none) belongs to the vector.

    Returns
    -------
    ndarray, shape (P,)
        U, W, b, V, c, D if there is one, h0 if asked for: each by rows.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[2.0]], None)
    >>> kelman.rnn.pack(net)
    array([0.5, 1. , 0. , 2. , 0. ])
    >>> kelman.rnn.unpack(net, [0.4, 1, 0, 2, 0]).U
    array([[0.4]])
    """
    net = as_elman(rnn)
    start = net.h0 if net.h0 is not None else np.zeros(net.dims.hidden, net.dtype)
    if learn_h0 and start.ndim != 1:
        raise KelmanError("rnn.h0: a start per series is not part of the vector; give one start (h,) or learn_h0=False")
    arrays = [start if name == "h0" else getattr(net, name) for name in names_of(net, learn_h0)]
    return np.concatenate([array.ravel() for array in arrays])


def unpack(rnn: Elman, vector: Any, *, learn_h0: bool = False) -> Elman:
    """Give a network the weights of a vector.

    Parameters
    ----------
    rnn : Elman
        The network whose sizes, activations and words are kept.
    vector : array_like, shape (P,)
        As `pack` writes it.
    learn_h0 : bool
        Whether the vector ends with h0.

    Returns
    -------
    Elman
        The network with the new weights.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[2.0]], None)
    >>> kelman.rnn.unpack(net, kelman.rnn.pack(net)).V
    array([[2.]])
    """
    net = as_elman(rnn)
    values = as_floats(vector, "vector")
    names = names_of(net, learn_h0)
    shapes = {name: (net.dims.hidden,) if name == "h0" else getattr(net, name).shape for name in names}
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    if values.shape != (size,):
        raise KelmanError(f"vector: expected shape ({size},) for {', '.join(names)}, got {values.shape}")
    changes, at = {}, 0
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        changes[name] = values[at : at + count].reshape(shape)
        at += count
    return net.replace(**changes)
