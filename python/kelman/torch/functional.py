# SPDX-License-Identifier: BSD-3-Clause
"""Differentiable functions of tensors over the compiled kernels: recurrent cells, and Kalman filters.

float32 and float64 tensors on a CPU are computed by the compiled core and share their memory with it; all others (another
device, another precision) by PyTorch itself. The gradients are exact; they cannot be differentiated once more, and say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from kelman._arrays import one_of
from kelman.errors import KelmanError
from kelman.models import GRU, LSTM, Elman
from kelman.models._activation import Activation
from kelman.models._gru import Reset
from kelman.torch._kalman import differentiable
from kelman.torch._recurrence import Run as Run, recurrence

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Run", "elman", "filtered_mean", "gru", "loglik", "lstm", "smoothed_mean"]


def elman(
    x: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    V: Tensor | None = None,
    c: Tensor | None = None,
    *,
    hidden: Activation = "tanh",
    output: Activation = "identity",
    h0: Tensor | None = None,
    D: Tensor | None = None,
    A: Tensor | None = None,
    B: Tensor | None = None,
    lengths: Any = None,
    threads: int | None = None,
) -> Run:
    """Run an Elman network on tensors; differentiable in all of them.

    Parameters
    ----------
    x : Tensor, shape (N, T, i) or (T, i)
        Inputs.
    U, W, b, V, c, D, A, B : Tensor
        Weights as in `kelman.Elman`; without V the state is the output.
    hidden, output : str
        Activations as in `kelman.Elman`.
    h0 : Tensor, shape (h,) or (N, h), optional
        Start; None is zero.
    lengths : sequence of int, shape (N,), optional
        Length of each series of a padded x; results beyond are zero.
    threads : int, optional
        Threads over series; as many as PyTorch takes (``torch.get_num_threads()``) by default.

    Returns
    -------
    Run
        `y`, `h`, and `c` = None.

    Raises
    ------
    KelmanError
        If shapes do not fit together; if the gradient is differentiated again.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import functional
    >>> U = torch.tensor([[0.5]], requires_grad=True)
    >>> y = functional.elman(torch.tensor([[1.0], [0.0]]), U, torch.tensor([[1.0]]), hidden="identity").y
    >>> y.sum().backward()
    >>> y.tolist(), U.grad.tolist()
    ([[1.0], [0.5]], [[1.0]])
    """
    options = {"hidden": one_of(hidden, "hidden", get_args(Activation))}
    given = {"U": U, "W": W, "b": b, "V": V, "c": c, "D": D, "A": A, "B": B, "h0": h0}
    return recurrence(Elman, x, given, options, _word(output), lengths, threads)


def gru(
    x: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    V: Tensor | None = None,
    c: Tensor | None = None,
    *,
    d: Tensor | None = None,
    reset: Reset = "after",
    output: Activation = "identity",
    h0: Tensor | None = None,
    D: Tensor | None = None,
    lengths: Any = None,
    threads: int | None = None,
) -> Run:
    """Run a GRU on tensors; differentiable in all of them.

    Parameters
    ----------
    x : Tensor, shape (N, T, i) or (T, i)
        Inputs.
    U, W, b, V, c, d, D : Tensor
        Weights as in `kelman.GRU`; without V the state is the output.
    reset : {"after", "before"}
        Where the reset gate acts, as in `kelman.GRU`.
    output, h0, lengths, threads
        As in `elman`.

    Returns
    -------
    Run
        `y`, `h`, and `c` = None.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import functional
    >>> functional.gru(torch.zeros(2, 1), torch.zeros(3, 1), torch.zeros(3, 1), h0=torch.ones(1)).h.tolist()
    [[0.5], [0.25]]
    """
    word = one_of(reset, "reset", get_args(Reset))
    if word == "before" and d is not None:
        raise KelmanError('d: with reset="before" there is no offset inside the reset; leave it out')
    given = {"U": U, "W": W, "b": b, "d": d, "V": V, "c": c, "D": D, "h0": h0}
    return recurrence(GRU, x, given, {"reset": word}, _word(output), lengths, threads)


def lstm(
    x: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    V: Tensor | None = None,
    c: Tensor | None = None,
    *,
    P: Tensor | None = None,
    output: Activation = "identity",
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    D: Tensor | None = None,
    lengths: Any = None,
    threads: int | None = None,
) -> Run:
    """Run an LSTM on tensors; differentiable in all of them.

    Parameters
    ----------
    x : Tensor, shape (N, T, i) or (T, i)
        Inputs.
    U, W, b, V, c, P, D : Tensor
        Weights as in `kelman.LSTM`; without V the state is the output.
    h0, c0 : Tensor, shape (h,) or (N, h), optional
        Starts of state and memory; None is zero.
    output, lengths, threads
        As in `elman`.

    Returns
    -------
    Run
        `y`, `h`, and `c`, the memory after the last step of each series.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import functional
    >>> functional.lstm(torch.zeros(2, 1), torch.zeros(4, 1), torch.zeros(4, 1), c0=torch.ones(1)).c.tolist()
    [0.25]
    """
    given = {"U": U, "W": W, "b": b, "P": P, "V": V, "c": c, "D": D, "h0": h0, "c0": c0}
    return recurrence(LSTM, x, given, {}, _word(output), lengths, threads)


def loglik(
    z: Tensor, A: Tensor, H: Tensor, Q: Tensor, R: Tensor, *, u: Tensor | None = None, threads: int | None = None, **entries: Any
) -> Tensor:  # fmt: skip
    """Log-likelihood of a linear-Gaussian model; differentiable in its entries, in z and in u.

    Parameters
    ----------
    z : Tensor, shape (T,), (T, m) or (N, T, m)
        Measurements; NaN = missing.
    A, H, Q, R : Tensor
        Matrices as in `kelman.StateSpace`, constant, varying in time or by series. Of covariances the symmetric part counts.
    u : Tensor, shape (T, p) or (N, T, p), optional
        Inputs.
    threads : int, optional
        Threads over series.
    **entries : Tensor
        B, D, b, c, S, m0, P0, m1, P1, P1_inf, and the words `initial` and `input_lag`, as in `kelman.StateSpace`. There is
        no derivative by P1_inf.

    Returns
    -------
    Tensor, shape () or (N,)
        Log-likelihood of each series.

    Raises
    ------
    KelmanError
        If tensors do not fit together; if the gradient is differentiated again.

    Notes
    -----
    All tensors are float32, or all float64. Those on another device are brought to the CPU, and the result back.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import functional
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> R = (2 * one).requires_grad_()
    >>> z = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    >>> value = functional.loglik(z, one, one, one, R, m1=torch.zeros(1, dtype=torch.float64), P1=one)
    >>> value.backward()
    >>> round(value.item(), 6), round(R.grad.item(), 6)
    (-5.242067, -0.283937)
    """
    return differentiable("loglik", z, u, {"A": A, "H": H, "Q": Q, "R": R}, entries, threads)


def filtered_mean(
    z: Tensor, A: Tensor, H: Tensor, Q: Tensor, R: Tensor, *, u: Tensor | None = None, threads: int | None = None, **entries: Any
) -> Tensor:  # fmt: skip
    """Filtered means E[x_k | z_1..z_k]; differentiable in the entries of the model, in z and in u.

    Parameters
    ----------
    z, A, H, Q, R, u, threads, **entries
        As in `loglik`.

    Returns
    -------
    Tensor, shape (T, n) or (N, T, n)
        Means.

    Notes
    -----
    Computed by the compiled core; the gradient by hand over the gains and covariances of its filter (see
    `kelman.linear._mean_adjoint`), in double precision. Two cases are left to autograd through the PyTorch reference, exact
    too, but a hundred times slower: the first steps from a diffuse start, until its last direction is known and no longer
    vague, and models in which some measurement is predicted without any error.

    Examples
    --------
    The derivative of the last mean by the measurements is the memory of the filter:

    >>> import torch
    >>> from kelman.torch import functional
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> z = torch.zeros(30, dtype=torch.float64, requires_grad=True)
    >>> mean = functional.filtered_mean(z, one, one, one, one, m1=torch.zeros(1, dtype=torch.float64), P1=one)
    >>> mean[-1].sum().backward()
    >>> [round(v, 4) for v in z.grad[-3:].tolist()]
    [0.0902, 0.2361, 0.618]
    """
    return differentiable("filter", z, u, {"A": A, "H": H, "Q": Q, "R": R}, entries, threads)


def smoothed_mean(
    z: Tensor, A: Tensor, H: Tensor, Q: Tensor, R: Tensor, *, u: Tensor | None = None, threads: int | None = None, **entries: Any
) -> Tensor:  # fmt: skip
    """Smoothed means E[x_k | z_1..z_T]; differentiable in the entries of the model, in z and in u.

    Parameters
    ----------
    z, A, H, Q, R, u, threads, **entries
        As in `loglik`.

    Returns
    -------
    Tensor, shape (T, n) or (N, T, n)
        Means.

    Raises
    ------
    KelmanError
        As `loglik`; and, when a gradient is computed, if the measurements do not determine a diffuse start: the means, of
        least norm, have no derivative then.

    Notes
    -----
    As `filtered_mean`, but diffuse starts are done by hand, too. With x the smoothed means, r and u the smoothed disturbances
    (Q^-1 times those of the state, R^-1 times those of the measurement), and delta, rho, upsilon what these become when g, the
    gradient by the means, takes the place of data, the derivatives are bilinear: ``rho_k x_{k-1}' + r_k delta_{k-1}'`` by A,
    ``(r rho' + rho r') / 2`` by Q, -upsilon by z (Fisher's identity; P. de Jong, Biometrika 76 (1989) 1003). Nothing is inverted
    but the covariances of the innovations, so Q and R may be singular.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import functional
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> z = torch.zeros(41, dtype=torch.float64, requires_grad=True)
    >>> mean = functional.smoothed_mean(z, one, one, one, one, m1=torch.zeros(1, dtype=torch.float64), P1=one)
    >>> mean[20].sum().backward()
    >>> [round(v, 4) for v in z.grad[19:22].tolist()]
    [0.1708, 0.4472, 0.1708]
    """
    return differentiable("smooth", z, u, {"A": A, "H": H, "Q": Q, "R": R}, entries, threads)


def _word(output: Any) -> str:
    return one_of(output, "output", get_args(Activation))
