# SPDX-License-Identifier: BSD-3-Clause
"""The Elman network as a value: ``h_k = A h_{k-1} + B x_k + s_h(U h_{k-1} + W x_k + b)``, ``y_k = s_y(V h_k + D x_k + c)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from .._arrays import one_of
from ._activation import Activation
from ._cell import Cell, NetworkDims

if TYPE_CHECKING:
    from .._types import Array, ArrayLike

__all__ = ["Elman", "ElmanDims"]

ElmanDims = NetworkDims
"""The name that the sizes had while there was one cell."""


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class Elman(Cell):
    """Elman network, with an optional direct term and an optional linear skip path.

    ``h_k = A h_{k-1} + B x_k + s_h(U h_{k-1} + W x_k + b)`` and ``y_k = s_y(V h_k + D x_k + c)`` for k = 1..T, from
    ``h_0``; A, B and D only where they are given.

    With h hidden units, i inputs and o outputs:

    Parameters
    ----------
    U : array_like, shape (h, h)
        Hidden-to-hidden weights.
    W : array_like, shape (h, i)
        Input-to-hidden weights.
    b : array_like, shape (h,), or None
        Hidden offset; None is zero.
    V : array_like, shape (o, h), or None
        Hidden-to-output weights; None: the state is the output, as in the lower layers of a `Stack`.
    c : array_like, shape (o,), or None
        Output offset; None is zero.
    hidden, output : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}
        The activations s_h and s_y. ``leaky_relu`` has slope 0.01 below zero.
    h0 : array_like, shape (h,) or (N, h), optional
        State before the first step: one for all series, or one per series. None is zero.
    D : array_like, shape (o, i), optional
        Direct input-to-output weights. None is no direct term.
    A : array_like, shape (h, h), optional
        Linear skip path from state to state. With it the activation only has to learn what is not linear.
    B : array_like, shape (h, i), optional
        Linear skip path from input to state.
    inputs : sequence of {"z", "u", "z_prev", "u_prev"}, optional
        What each input column is: a measurement or a known input, of the same step or of the step before.
        The read-outs of trained weights need it.
    target : {"z", "z_next", "state"}, optional
        What the output predicts: the measurement of the same step, of the next step, or a state.

    Notes
    -----
    Values, not objects: arrays are read-only (copied if they were writeable), nothing changes after construction.
    ``float32`` and ``float64`` are kept, integers and booleans become ``float64``.

    Examples
    --------
    The steady Kalman filter of a local level with equal variances is one linear unit:

    >>> import kelman
    >>> g = (5**0.5 - 1) / 2
    >>> net = kelman.Elman([[1 - g]], [[g]], None, [[1.0]], None, hidden="identity", inputs=("z",), target="z_next")
    >>> net
    Elman(1 -> 1 identity -> 1 identity, inputs=('z',), target='z_next', float64)
    >>> net.dims.hidden
    1
    >>> net.replace(hidden="tanh").hidden
    'tanh'
    """

    WORD: ClassVar[str] = "elman"
    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "U": ("h", "h"),
        "W": ("h", "i"),
        "b": ("h",),
        "A": ("h", "h"),
        "B": ("h", "i"),
        "V": ("o", "h"),
        "c": ("o",),
        "D": ("o", "i"),
    }
    OPTIONS: ClassVar[tuple[str, ...]] = ("hidden",)

    U: Array
    W: Array
    b: Array
    V: Any
    c: Any
    hidden: Activation
    output: Activation
    h0: Array | None
    D: Array | None
    A: Array | None
    B: Array | None
    inputs: tuple[str, ...] | None
    target: str | None

    def __init__(
        self,
        U: ArrayLike,
        W: ArrayLike,
        b: ArrayLike | None,
        V: ArrayLike | None,
        c: ArrayLike | None,
        hidden: Activation = "tanh",
        output: Activation = "identity",
        h0: ArrayLike | None = None,
        *,
        D: ArrayLike | None = None,
        A: ArrayLike | None = None,
        B: ArrayLike | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        target: str | None = None,
    ) -> None:
        given = {"U": U, "W": W, "b": b, "V": V, "c": c, "D": D, "A": A, "B": B, "h0": h0}
        words = {"hidden": one_of(hidden, "hidden", get_args(Activation))}
        self._settle(given, words, output, inputs, target)

    @property
    def is_linear(self) -> bool:
        """True when both activations are the identity."""
        return self.hidden == "identity" and self.output == "identity"

    def _told(self) -> tuple[str, list[str]]:
        skip = [name for name in ("A", "B") if getattr(self, name) is not None]
        return f"{self.dims.hidden} {self.hidden}", [f"skip path {', '.join(skip)}"] if skip else []
