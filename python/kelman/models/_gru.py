# SPDX-License-Identifier: BSD-3-Clause
"""The gated recurrent unit as a value: reset gate r, update gate z, candidate n, in both reset conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from .._arrays import one_of
from ..errors import KelmanError
from ._cell import Cell

if TYPE_CHECKING:
    from .._types import Array, ArrayLike
    from ._activation import Activation

__all__ = ["GRU"]

Reset = Literal["after", "before"]
"""Where the reset gate acts: after the product with U_n (PyTorch, cuDNN), or on the state before it (Cho et al. 2014)."""


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class GRU(Cell):
    """Gated recurrent unit.

    With ``sig`` the logistic function, ``*`` entry by entry, and the rows of U, W and b in blocks r, z, n::

        r = sig(W_r x_k + U_r h_{k-1} + b_r)
        z = sig(W_z x_k + U_z h_{k-1} + b_z)
        n = tanh(W_n x_k + b_n + r * (U_n h_{k-1} + d))      reset="after"
        n = tanh(W_n x_k + b_n + U_n (r * h_{k-1}))          reset="before"
        h_k = (1 - z) * n + z * h_{k-1}
        y_k = s_y(V h_k + D x_k + c)

    Parameters
    ----------
    U : array_like, shape (3 h, h)
        Hidden-to-hidden weights of the gates r, z, n, block below block.
    W : array_like, shape (3 h, i)
        Input-to-hidden weights.
    b : array_like, shape (3 h,), optional
        Offsets; None is zero.
    V : array_like, shape (o, h), optional
        Hidden-to-output weights; None: the state is the output.
    c : array_like, shape (o,), optional
        Output offset; None is zero.
    output : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}
        The activation s_y of the output.
    h0 : array_like, shape (h,) or (N, h), optional
        State before the first step: one for all series, or one per series. None is zero.
    d : array_like, shape (h,), optional
        Offset inside the reset, for ``reset="after"`` only (PyTorch's ``bias_hh`` of the block n); None is zero.
    reset : {"after", "before"}
        Whether the reset gate acts after the product with U_n, as in PyTorch and cuDNN, or before it, as first published.
    D : array_like, shape (o, i), optional
        Direct input-to-output weights. None is no direct term.
    inputs, target : optional
        What the input columns are and what the output predicts, as in `Elman`.

    Raises
    ------
    KelmanError
        If shapes do not fit together, or d is given with ``reset="before"``.

    Notes
    -----
    ``float32`` and ``float64`` are kept, integers and booleans become ``float64``; arrays are read-only.

    References
    ----------
    Cho et al., *Learning phrase representations using RNN encoder-decoder*, 2014 (with their z and 1 - z exchanged).

    Examples
    --------
    With weights of zero both gates are half open, and the state halves at every step:

    >>> import kelman, numpy as np
    >>> net = kelman.GRU(np.zeros((3, 1)), np.zeros((3, 1)), h0=[1.0])
    >>> net
    GRU(1 -> 1, h0, float64)
    >>> kelman.forward(net, [0.0, 0.0, 0.0]).h[:, 0].tolist()
    [0.5, 0.25, 0.125]
    """

    WORD: ClassVar[str] = "gru"
    GATES: ClassVar[int] = 3
    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "U": ("g", "h"),
        "W": ("g", "i"),
        "b": ("g",),
        "d": ("h",),
        "V": ("o", "h"),
        "c": ("o",),
        "D": ("o", "i"),
    }
    OPTIONS: ClassVar[tuple[str, ...]] = ("reset",)

    U: Array
    W: Array
    b: Array
    d: Array | None
    V: Any
    c: Any
    D: Array | None
    output: Activation
    h0: Array | None
    reset: Reset
    inputs: tuple[str, ...] | None
    target: str | None

    def __init__(
        self,
        U: ArrayLike,
        W: ArrayLike,
        b: ArrayLike | None = None,
        V: ArrayLike | None = None,
        c: ArrayLike | None = None,
        output: Activation = "identity",
        h0: ArrayLike | None = None,
        *,
        d: ArrayLike | None = None,
        reset: Reset = "after",
        D: ArrayLike | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        target: str | None = None,
    ) -> None:
        word = one_of(reset, "reset", get_args(Reset))
        if word == "before" and d is not None:
            raise KelmanError('d: with reset="before" there is no offset inside the reset; leave it out')
        given = {"U": U, "W": W, "b": b, "d": d, "V": V, "c": c, "D": D, "h0": h0}
        self._settle(given, {"reset": word}, output, inputs, target)

    @staticmethod
    def zeros_of(arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, ...]:
        """Names of the weights that are zeros where they were not given."""
        inside = ("d",) if options["reset"] == "after" else ()
        return (*Cell.zeros_of(arrays, options), *inside)

    def _told(self) -> tuple[str, list[str]]:
        return str(self.dims.hidden), ["reset='before'"] if self.reset == "before" else []
