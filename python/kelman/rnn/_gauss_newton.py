# SPDX-License-Identifier: BSD-3-Clause
"""`gauss_newton`: the normal equations of a network's squared error, streamed over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..config import thread_count
from ..errors import KelmanError
from ..models import Cell
from ._composed_equations import normal_equations
from ._compute import backend_for
from ._problem import as_network, loss_problem

if TYPE_CHECKING:
    from .._types import Array, ArrayLike, Backend
    from ._problem import Network


class GaussNewton(NamedTuple):
    """Normal equations of the mean squared error: `loss`, `JtJ` (P, P) and `Jtr` (P,)."""

    loss: float
    JtJ: Array
    Jtr: Array


def gauss_newton(
    rnn: Network,
    x: ArrayLike | list[Array],
    y: ArrayLike | list[Array],
    *,
    mask: ArrayLike | list[Array] | None = None,
    lengths: ArrayLike | None = None,
    warmup: int = 0,
    learn_h0: bool = False,
    threads: int | None = None,
    backend: Backend | None = None,
) -> GaussNewton:
    """Gauss-Newton normal equations of a network, without storing its Jacobian.

    With J the Jacobian of all outputs with respect to the vector of weights (`kelman.rnn.pack`), e = yhat - y and the
    weights w of `loss_and_grad`: ``JtJ = J' diag(w) J / sum w`` and ``Jtr = J' diag(w) e / sum w``. The step
    ``-solve(JtJ + damping, Jtr)`` lowers the loss, whose gradient is ``2 Jtr``.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The cost per step grows like h^4 and P^2: meant for up to a few hundred weights. Of networks of several cells, the
        derivatives of one series at least are held (h P numbers per step).
    x, y, mask, lengths, warmup, threads, backend
        As in `loss_and_grad`. Always computed in float64.
    learn_h0 : bool
        Whether the start h0 (and c0), shared by all series, counts among the weights.

    Returns
    -------
    GaussNewton
        `loss`, `JtJ` (P, P), `Jtr` (P,).

    Examples
    --------
    >>> import kelman
    >>> net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity")
    >>> equations = kelman.rnn.gauss_newton(net, [1.0, 0.0], [1.0, 1.0])
    >>> equations.loss, (2 * equations.Jtr).tolist()
    (0.125, [-0.5, -0.25, -0.75, -0.25, -0.5])
    """
    net = as_network(rnn)
    problem, _ = loss_problem(net, x, y, mask=mask, lengths=lengths, warmup=warmup, dtype=np.dtype(np.float64))
    if learn_h0 and net.dims.N is not None:
        raise KelmanError("learn_h0: the start must be shared by all series; this network has one per series")
    if isinstance(net, Cell):
        compute = backend_for(net, backend, "gauss_newton").gauss_newton_raw
        loss, _, JtJ, Jtr = compute(problem, thread_count(threads), learn_h0=learn_h0)
    else:
        module = backend_for(net, backend, "jacobian")
        loss, _, JtJ, Jtr = normal_equations(net, problem, module, thread_count(threads), learn_h0=learn_h0)
    return GaussNewton(loss, JtJ, Jtr)
