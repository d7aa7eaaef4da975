# SPDX-License-Identifier: BSD-3-Clause
"""`loss_and_grad`: mean squared error and its gradient by back-propagation through time."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .. import _registry
from .._arrays import one_of
from ..config import thread_count
from ..errors import NumericalWarning
from ._problem import loss_problem

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend
    from ..models import Elman


@dataclass(frozen=True, eq=False, repr=False)
class ElmanGradient:
    """Derivatives of a loss, each in the shape and under the name of the weight it belongs to.

    Attributes
    ----------
    U, W, b, V, c : ndarray
        As in the network.
    h0 : ndarray, shape (h,) or (N, h)
        Of the start: of one start for all series (also where the network has none, which is zero), or per series.
    D : ndarray or None
        As in the network.
    """

    U: Array
    W: Array
    b: Array
    V: Array
    c: Array
    h0: Array
    D: Array | None

    def __repr__(self) -> str:
        names = ("U", "W", "b", "V", "c", "h0", "D")
        shapes = [f"{name} {getattr(self, name).shape}" for name in names if getattr(self, name) is not None]
        return f"ElmanGradient({', '.join(shapes)})"


def loss_and_grad(
    rnn: Elman,
    x: ArrayLike | list[Array],
    y: ArrayLike | list[Array],
    *,
    mask: ArrayLike | list[Array] | None = None,
    lengths: ArrayLike | None = None,
    warmup: int = 0,
    loss: Literal["mse"] = "mse",
    threads: int | None = None,
    backend: Backend | None = None,
) -> tuple[float, ElmanGradient]:
    """Mean squared error of a network's outputs, and its gradient.

    The loss is ``sum w (yhat - y)^2 / sum w`` over all series, steps and outputs, where w is the mask (1 without one),
    and 0 in the warm-up, past a series' length, and where y is NaN.

    Parameters
    ----------
    rnn : Elman
        The network, with h hidden units, i inputs and o outputs.
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs, all finite.
    y : array_like, shape (T,), (T, o) or (N, T, o), or list of arrays
        Targets, given like x; (T,) if o is 1. NaN is not counted.
    mask : array_like, shape (T,), (T, o), (N, T) or (N, T, o), or list of arrays, optional
        Booleans (True is counted) or weights >= 0.
    lengths : array_like of int, shape (N,), optional
        Length of each series of padded x and y; what lies beyond is ignored.
    warmup : int
        Number of first steps of every series that are not counted (the network runs through them).
    loss : {"mse"}
        The loss.
    threads : int, optional
        Threads over series; the result is the same to the bit for any number.
    backend : {"core", "torch"}, optional
        Who computes: the compiled core, or the PyTorch reference.

    Returns
    -------
    loss : float
        The mean; infinity, with a NumericalWarning, where the network overflows.
    gradient : ElmanGradient
        Derivatives by name, that of the start h0 included. At the kink, ``relu`` has slope 0 and ``leaky_relu`` 0.01.

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> loss, g = kelman.loss_and_grad(net, [1.0, 0.0], [1.0, 1.0])
    >>> loss, g.U, g.c
    (0.125, array([[-0.5]]), array([-0.5]))
    """
    one_of(loss, "loss", ("mse",))
    problem, _ = loss_problem(rnn, x, y, mask=mask, lengths=lengths, warmup=warmup)
    compute = _registry.backend("rnn", backend).loss_and_grad_raw
    value, _, gradients = compute(problem, thread_count(threads))
    if not math.isfinite(value):
        value = math.inf
        warnings.warn(
            "the network overflows on this input: its recursion is unstable, the loss is infinite and the gradient "
            "means nothing",
            NumericalWarning,
            stacklevel=2,
        )
    return value, _record(rnn, gradients)


def _record(rnn: Elman, gradients: dict[str, Any]) -> ElmanGradient:
    """The gradients by name, that of the start summed over series where the start is shared."""
    h0 = gradients["h0"]
    if rnn.dims.N is None:
        h0 = h0.sum(axis=0, dtype="float64").astype(h0.dtype)
    return ElmanGradient(**{**gradients, "h0": h0, "D": gradients.get("D")})
