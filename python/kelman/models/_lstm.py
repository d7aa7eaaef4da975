# SPDX-License-Identifier: BSD-3-Clause
"""The long short-term memory as a value: gates i, f, g, o, with or without peepholes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ._cell import Cell

if TYPE_CHECKING:
    from .._types import Array, ArrayLike
    from ._activation import Activation

__all__ = ["LSTM"]


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class LSTM(Cell):
    """Long short-term memory.

    The state is the pair (h, m), m the memory (the cell state, of which `c0` is the start). With ``sig`` the logistic
    function, ``*`` entry by entry, and the rows of U, W and b in blocks i, f, g, o::

        i = sig(W_i x_k + U_i h_{k-1} + b_i + P_i * m_{k-1})
        f = sig(W_f x_k + U_f h_{k-1} + b_f + P_f * m_{k-1})
        g = tanh(W_g x_k + U_g h_{k-1} + b_g)
        m_k = f * m_{k-1} + i * g
        o = sig(W_o x_k + U_o h_{k-1} + b_o + P_o * m_k)
        h_k = o * tanh(m_k)
        y_k = s_y(V h_k + D x_k + c)

    Parameters
    ----------
    U : array_like, shape (4 h, h)
        Hidden-to-hidden weights of the gates i, f, g, o, block below block.
    W : array_like, shape (4 h, i)
        Input-to-hidden weights.
    b : array_like, shape (4 h,), optional
        Offsets; None is zero.
    V : array_like, shape (o, h), optional
        Hidden-to-output weights; None: the state h is the output.
    c : array_like, shape (o,), optional
        Output offset; None is zero. (Not the memory, which is called m here.)
    output : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}
        The activation s_y of the output.
    h0, c0 : array_like, shape (h,) or (N, h), optional
        State and memory before the first step: one for all series, or one per series. None is zero.
    P : array_like, shape (3, h), optional
        Peepholes of the gates i, f and o, by rows. None is no peepholes.
    D : array_like, shape (o, i), optional
        Direct input-to-output weights. None is no direct term.
    inputs, target : optional
        What the input columns are and what the output predicts, as in `Elman`.

    Raises
    ------
    KelmanError
        If shapes do not fit together.

    Notes
    -----
    ``float32`` and ``float64`` are kept, integers and booleans become ``float64``; arrays are read-only.

    References
    ----------
    Hochreiter & Schmidhuber, *Long short-term memory*, 1997; Gers, Schmidhuber & Cummins, *Learning to forget*, 2000 (the
    gate f); Gers, Schraudolph & Schmidhuber, *Learning precise timing with LSTM recurrent networks*, 2002 (peepholes).

    Examples
    --------
    With weights of zero the gates are half open, and the memory halves at every step:

    >>> import kelman, numpy as np
    >>> net = kelman.LSTM(np.zeros((4, 1)), np.zeros((4, 1)), c0=[1.0])
    >>> net
    LSTM(1 -> 1, c0, float64)
    >>> kelman.forward(net, [0.0, 0.0, 0.0]).c[:, 0].tolist()
    [0.5, 0.25, 0.125]
    """

    WORD: ClassVar[str] = "lstm"
    GATES: ClassVar[int] = 4
    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "U": ("g", "h"),
        "W": ("g", "i"),
        "b": ("g",),
        "P": ("3", "h"),
        "V": ("o", "h"),
        "c": ("o",),
        "D": ("o", "i"),
    }
    STARTS: ClassVar[tuple[str, ...]] = ("h0", "c0")

    U: Array
    W: Array
    b: Array
    P: Array | None
    V: Any
    c: Any
    D: Array | None
    output: Activation
    h0: Array | None
    c0: Array | None
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
        c0: ArrayLike | None = None,
        *,
        P: ArrayLike | None = None,
        D: ArrayLike | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        target: str | None = None,
    ) -> None:
        given = {"U": U, "W": W, "b": b, "P": P, "V": V, "c": c, "D": D, "h0": h0, "c0": c0}
        self._settle(given, {}, output, inputs, target)

    def _told(self) -> tuple[str, list[str]]:
        return str(self.dims.hidden), [] if self.P is None else ["peepholes P"]
