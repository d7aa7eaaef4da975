# SPDX-License-Identifier: BSD-3-Clause
"""`loss_and_grad`: mean squared error and its gradient by back-propagation through time."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from .._arrays import one_of
from ..config import backend_name, thread_count
from ..errors import NumericalWarning
from ..models import Cell
from . import _compute
from ._gradient_result import gradient_record
from ._problem import as_network, loss_problem, require_inputs_finite, require_targets

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend
    from ._gradient_result import NetworkGradient
    from ._problem import Network, Problem


def loss_and_grad(
    rnn: Network,
    x: ArrayLike | list[Array],
    y: ArrayLike | list[Array],
    *,
    mask: ArrayLike | list[Array] | None = None,
    lengths: ArrayLike | None = None,
    warmup: int = 0,
    steps: Literal["all", "last"] = "all",
    loss: Literal["mse"] = "mse",
    threads: int | None = None,
    backend: Backend | None = None,
) -> tuple[float, NetworkGradient]:
    """Mean squared error of a network's outputs, and its gradient.

    The loss is ``sum w (yhat - y)^2 / sum w`` over all series, steps and outputs, where w is the mask (1 without one),
    and 0 in the warm-up, past a series' length, and where y is NaN.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The network, with h hidden units, i inputs and o outputs.
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs, all finite.
    y : array_like, shape (T,), (T, o) or (N, T, o), or list of arrays
        Targets, given like x; (T,) if o is 1. NaN is not counted. With ``steps="last"`` also one target per series, (o,) or
        (N, o).
    mask : array_like, shape (T,), (T, o), (N, T) or (N, T, o), or list of arrays, optional
        Booleans (True is counted) or weights >= 0.
    lengths : array_like of int, shape (N,), optional
        Length of each series of padded x and y; what lies beyond is ignored.
    warmup : int
        Number of first steps of every series that are not counted (the network runs through them).
    steps : {"all", "last"}
        Whether every step counts, or only the last of every series.
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
    gradient : NetworkGradient
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
    net, count = as_network(rnn), thread_count(threads)
    needed = ("loss_and_grad",) if isinstance(net, Cell) else ("forward", "vjp")
    module = _compute.backend_for(net, backend, *needed)
    trusts = isinstance(net, Cell) and backend_name(backend) == "core"
    problem, _ = loss_problem(net, x, y, mask=mask, lengths=lengths, warmup=warmup, steps=steps, check=not trusts)
    value, weight, gradients = _compute.loss_and_grad(net, problem, module, count)
    if trusts and not _shows_finite(problem, value, weight, gradients):
        require_inputs_finite(problem.x, problem.lengths)
        require_targets(problem)
    if not math.isfinite(value):
        value = math.inf
        warnings.warn(
            "the network overflows on this input: its recursion is unstable, the loss is infinite and the gradient "
            "means nothing",
            NumericalWarning,
            stacklevel=2,
        )
    return value, gradient_record(net, gradients)


def _shows_finite(problem: Problem, value: float, weight: float, gradients: dict[str, Any]) -> bool:
    """Whether the results prove that all numbers given were finite, so that none need be looked at once more.

    A target that is not finite is not counted, or the loss is not finite. The gradient by W is a sum of multiples of the
    inputs, and even 0 times one that is not finite is not.
    """
    counted = problem.mask is None and weight == cast("Array", problem.y).size
    return counted and math.isfinite(value) and bool(np.isfinite(gradients["W"]).all())
