# SPDX-License-Identifier: BSD-3-Clause
"""The result of `loss_and_grad`: derivatives in the shape of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError
from ..models import Bidirectional, Cell, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._types import Array
    from ._problem import Network


class NetworkGradient:
    """Derivatives of a loss, each in the shape and under the name of the weight it belongs to.

    Read by attribute or by name, ``g.U`` or ``g["U"]``; ``g.items()`` and ``dict(g)`` go over the arrays that there are. None
    stands where the network has None; only a start that it does not have, which is zero, has a derivative all the same.

    Attributes
    ----------
    U, W, b, V, c, D, A, B, d, P : ndarray or None
        As in the network, as far as its cell has them.
    h0, c0 : ndarray, shape (h,) or (N, h)
        Of the start: of one start for all series (also where the network has none), or per series.
    forward, backward : NetworkGradient
        Of the cells of a `Bidirectional`.
    layers : tuple of NetworkGradient
        Of the layers of a `Stack`.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> _, g = kelman.loss_and_grad(net, [1.0, 0.0], [1.0, 1.0])
    >>> g
    ElmanGradient(U (1, 1), W (1, 1), b (1,), V (1, 1), c (1,), h0 (1,))
    >>> g.D is None
    True
    """

    __slots__ = ("_found", "_kind", "_names")

    def __init__(self, kind: str, names: tuple[str, ...], found: dict[str, Any]) -> None:
        for name, value in (("_kind", kind), ("_names", names), ("_found", found)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"cannot assign to {name!r}: gradients are frozen")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"{type(self).__name__} of a network of type {self._kind} has no {name!r}")
        return self._found.get(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (NetworkGradient, (self._kind, self._names, self._found))

    def keys(self) -> tuple[str, ...]:
        """Return the names of what there is.

        Returns
        -------
        tuple of str
        """
        return tuple(name for name in self._names if self._found.get(name) is not None)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return (name, array) for what there is.

        Returns
        -------
        tuple of (str, ndarray)
        """
        return tuple((name, self._found[name]) for name in self.keys())

    def __getitem__(self, name: str) -> Array:
        if name not in self.keys():
            raise KelmanError(f"gradient: no {name!r} in it; there are {', '.join(self.keys())}")
        value: Array = self._found[name]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        parts = [f"{name} {v.shape if hasattr(v, 'shape') else v}" for name, v in self.items()]
        return f"{self._kind}Gradient({', '.join(parts)})"


def gradient_record(net: Network, found: dict[str, Any]) -> NetworkGradient:
    """The gradients of a network by name, those of shared starts summed over series."""
    if isinstance(net, Stack):
        layers = tuple(gradient_record(*pair) for pair in zip(net.layers, found["layers"], strict=True))
        return NetworkGradient("Stack", ("layers",), {"layers": layers})
    if isinstance(net, Bidirectional):
        both = {name: gradient_record(getattr(net, name), found[name]) for name in ("forward", "backward")}
        own = {name: found.get(name) for name in net.SHAPES}
        return NetworkGradient("Bidirectional", ("forward", "backward", *net.SHAPES), both | own)
    return NetworkGradient(type(net).__name__, (*net.SHAPES, *net.STARTS), _of_cell(net, found))


def _of_cell(net: Cell, found: dict[str, Any]) -> dict[str, Any]:
    arrays = {name: found.get(name) for name in net.SHAPES}
    for name in net.STARTS:
        rows, start = found[name], getattr(net, name)
        shared = start is None or start.ndim == 1
        arrays[name] = rows.sum(axis=0, dtype=np.float64).astype(rows.dtype, copy=False) if shared else rows
    return arrays
