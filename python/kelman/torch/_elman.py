# SPDX-License-Identifier: BSD-3-Clause
"""Elman networks of the PyTorch backend: the recursion as it is written, everything else from autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Weights = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda s: s,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda s: torch.nn.functional.leaky_relu(s, 0.01),
    "sigmoid": torch.sigmoid,
    "softplus": lambda s: torch.logaddexp(s, torch.zeros_like(s)),  # torch's own is linear from 20 on
}
"""The same words as in `kelman.Elman`."""


def run(weights: Weights, hidden: str, output: str, h0: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (N, T, o) and states (N, T, h) for inputs (N, T, i), from h0 (N, h)."""
    s_h, s_y = ACTIVATIONS[hidden], ACTIVATIONS[output]
    drive = x @ weights["W"].mT + weights["b"]
    h, states = h0, []
    for k in range(x.shape[1]):
        h = s_h(h @ weights["U"].mT + drive[:, k])
        states.append(h)
    H = torch.stack(states, 1)
    s = H @ weights["V"].mT + weights["c"]
    if "D" in weights:
        s = s + x @ weights["D"].mT
    return s_y(s), H


def forward_raw(problem: Any, threads: int = 1) -> dict[str, NDArray[Any]]:
    """Run the network over every series.

    Parameters
    ----------
    problem : kelman.rnn Problem
    threads : int
        Not used: PyTorch has its own threads.

    Returns
    -------
    dict of arrays
        y (N, T, o), h (N, T, h), NaN past a series' length; status (N,), failed_at (N,) as the compiled core's.
    """
    del threads
    weights, h0, x, inside = _tensors(problem)
    with torch.no_grad():
        y, h = run(weights, problem.hidden, problem.output, h0, x)
        bad = inside & ~(y.isfinite().all(-1) & h.isfinite().all(-1))
        y, h = (torch.where(inside[..., None], part, torch.nan) for part in (y, h))
    failed = bad.any(1)
    return {
        "y": y.numpy(),
        "h": h.numpy(),
        "status": torch.where(failed, _NOT_FINITE, 0).numpy().astype(np.int32),
        "failed_at": torch.where(failed, bad.int().argmax(1), -1).numpy(),
    }


_NOT_FINITE = 3


def loss_and_grad_raw(problem: Any, threads: int = 1) -> tuple[float, float, dict[str, NDArray[Any]]]:
    """Loss and its gradient by autograd.

    Parameters
    ----------
    problem : kelman.rnn Problem
        With targets.
    threads : int
        Not used.

    Returns
    -------
    loss, total weight, gradients by name (that of h0 for each series)
    """
    del threads
    weights, h0, x, inside = _tensors(problem)
    target, weight = _targets(problem, inside)
    leaves = {name: value.requires_grad_() for name, value in weights.items()} | {"h0": h0.requires_grad_()}
    yhat, _ = run(weights, problem.hidden, problem.output, h0, x)
    total = weight.sum()
    loss = (weight * (yhat - target).square()).sum() / total
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    named = {name: g.numpy() for name, g in zip(leaves, gradients, strict=True)}
    return float(loss.detach()), float(total), named


def gauss_newton_raw(
    problem: Any, threads: int = 1, *, learn_h0: bool
) -> tuple[float, float, NDArray[Any], NDArray[Any]]:
    """Normal equations, by carrying d h_k / d weights forward in time.

    Parameters
    ----------
    problem : kelman.rnn Problem
        With targets, in float64.
    threads : int
        Not used.
    learn_h0 : bool
        Whether the start, shared by all series, counts among the weights.

    Returns
    -------
    loss, total weight, J'WJ / weight, J'We / weight
    """
    del threads
    w, h, x, inside = _tensors(problem)
    target, weight = _targets(problem, inside)
    weight = weight.expand_as(target)
    at, P = _places(w, h.shape[1] if learn_h0 else 0)
    dh = torch.zeros(*h.shape, P, dtype=h.dtype)
    if learn_h0:
        dh[:, :, at["h0"]] = torch.eye(h.shape[1], dtype=h.dtype)
    JtJ, Jtr, loss = torch.zeros(P, P, dtype=h.dtype), torch.zeros(P, dtype=h.dtype), torch.zeros((), dtype=h.dtype)
    for k in range(x.shape[1]):
        ds = w["U"] @ dh
        _add_outer(ds, at["U"], h)
        _add_outer(ds, at["W"], x[:, k])
        _add_outer(ds, at["b"], torch.ones_like(h[:, :1]))
        h, slope = _with_slope(problem.hidden, h @ w["U"].mT + x[:, k] @ w["W"].mT + w["b"])
        dh = slope[..., None] * ds
        ds = w["V"] @ dh
        _add_outer(ds, at["V"], h)
        _add_outer(ds, at["c"], torch.ones_like(h[:, :1]))
        s = h @ w["V"].mT + w["c"]
        if "D" in w:
            _add_outer(ds, at["D"], x[:, k])
            s = s + x[:, k] @ w["D"].mT
        y, slope = _with_slope(problem.output, s)
        counted = weight[:, k] > 0
        J = torch.where(counted[..., None], slope[..., None] * ds, 0).reshape(-1, P)
        e, weights = torch.where(counted, y - target[:, k], 0).reshape(-1), weight[:, k].reshape(-1)
        JtJ += J.mT @ (weights[:, None] * J)
        Jtr += J.mT @ (weights * e)
        loss += (weights * e * e).sum()
    total = weight.sum()
    return float(loss / total), float(total), (JtJ / total).numpy(), (Jtr / total).numpy()


def _places(weights: Weights, start: int) -> tuple[dict[str, slice], int]:
    """Where each weight stands in the vector of parameters, and its length."""
    at, end = {}, 0
    for name, size in [(name, value.numel()) for name, value in weights.items()] + [("h0", start)]:
        at[name] = slice(end, end + size)
        end += size
    return at, end


def _add_outer(ds: Tensor, at: slice, v: Tensor) -> None:
    """Add d (M v) / d M to ds (N, rows, P), where M (rows, columns) stands at `at` and v is (N, columns)."""
    rows, columns = ds.shape[1], v.shape[1]
    block = torch.eye(rows, dtype=ds.dtype)[None, :, :, None] * v[:, None, None, :]
    ds[:, :, at] += block.reshape(len(v), rows, rows * columns)


def _with_slope(activation: str, s: Tensor) -> tuple[Tensor, Tensor]:
    """The activation and its derivative, by autograd."""
    with torch.enable_grad():
        leaf = s.detach().requires_grad_()
        value = ACTIVATIONS[activation](leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))


def _tensors(problem: Any) -> tuple[Weights, Tensor, Tensor, Tensor]:
    """Weights, starts (N, h), inputs (N, T, i) with zeros past the lengths, and which steps belong to a series (N, T)."""
    x = _tensor(problem.x)
    N, T = x.shape[:2]
    lengths = torch.full((N,), T) if problem.lengths is None else _tensor(problem.lengths)
    inside = torch.arange(T) < lengths[:, None]
    weights = {name: _tensor(value) for name, value in problem.weights.items()}
    return weights, _tensor(problem.h0), torch.where(inside[..., None], x, 0), inside


def _targets(problem: Any, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Targets with zeros where nothing is counted, and the weight of every number (N, T, o)."""
    y = _tensor(problem.y)
    weight = (~y.isnan() & inside[..., None]).to(y.dtype)
    weight[:, : problem.warmup] = 0
    if problem.mask is not None:
        weight = weight * _tensor(problem.mask)
    return torch.where(weight > 0, y, 0), weight
