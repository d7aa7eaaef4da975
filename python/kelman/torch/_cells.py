# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks of the PyTorch backend: each recursion as it is written, everything else from autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Weights = dict[str, Tensor]
State = tuple[Tensor, ...]
NOT_FINITE = 3

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda s: s,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda s: torch.nn.functional.leaky_relu(s, 0.01),
    "sigmoid": torch.sigmoid,
    "softplus": lambda s: torch.logaddexp(s, torch.zeros_like(s)),  # torch's own is linear from 20 on
}
"""The same words as in `kelman.Elman`."""


def elman_step(w: Weights, options: dict[str, str], state: State, x: Tensor) -> State:
    """h = A h + B x + s(U h + W x + b)."""
    (h,) = state
    new = ACTIVATIONS[options["hidden"]](h @ w["U"].mT + x @ w["W"].mT + w["b"])
    if "A" in w:
        new = new + h @ w["A"].mT
    if "B" in w:
        new = new + x @ w["B"].mT
    return (new,)


def gru_step(w: Weights, options: dict[str, str], state: State, x: Tensor) -> State:
    """Gates r, z and candidate n; the reset after or before the product with U_n."""
    (h,) = state
    U_r, U_z, U_n = w["U"].chunk(3)
    x_r, x_z, x_n = (x @ w["W"].mT + w["b"]).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h @ U_r.mT), torch.sigmoid(x_z + h @ U_z.mT)
    inside = (r * h) @ U_n.mT if options["reset"] == "before" else r * (h @ U_n.mT + w["d"])
    n = torch.tanh(x_n + inside)
    return ((1 - z) * n + z * h,)


def lstm_step(w: Weights, options: dict[str, str], state: State, x: Tensor) -> State:
    """Gates i, f, g, o and memory c, with peepholes P where there are."""
    del options
    h, c = state
    P_i, P_f, P_o = w["P"] if "P" in w else (torch.zeros_like(c[0]),) * 3
    i, f, g, o = (h @ w["U"].mT + x @ w["W"].mT + w["b"]).chunk(4, -1)
    c_new = torch.sigmoid(f + P_f * c) * c + torch.sigmoid(i + P_i * c) * torch.tanh(g)
    return torch.sigmoid(o + P_o * c_new) * torch.tanh(c_new), c_new


STEPS: dict[str, Callable[[Weights, dict[str, str], State, Tensor], State]] = {
    "elman": elman_step,
    "gru": gru_step,
    "lstm": lstm_step,
}
"""One step of every cell."""


class Tracks(NamedTuple):
    """Outputs (N, T, o), states (N, T, h), and memories (N, T, h) of an LSTM."""

    y: Tensor
    h: Tensor
    c: Tensor | None


def run(cell: str, options: dict[str, str], output: str, w: Weights, start: State, x: Tensor) -> Tracks:
    """Walk over the steps of x (N, T, i) from the start, (h0,) or (h0, c0), each (N, h)."""
    state, states = start, []
    for k in range(x.shape[1]):
        state = STEPS[cell](w, options, state, x[:, k])
        states.append(state)
    tracks = [torch.stack(part, 1) for part in zip(*states, strict=True)]
    return Tracks(read(output, w, tracks[0], x), tracks[0], tracks[1] if len(tracks) > 1 else None)


def read(output: str, w: Weights, h: Tensor, x: Tensor) -> Tensor:
    """y = s_y(V h + D x + c), or the state without V."""
    if "V" not in w:
        return h
    s = h @ w["V"].mT + w["c"]
    return ACTIVATIONS[output](s + x @ w["D"].mT if "D" in w else s)


class Posed(NamedTuple):
    """A problem as tensors: zeros in x past the lengths, and which steps belong to a series (N, T)."""

    weights: Weights
    starts: Weights
    x: Tensor
    inside: Tensor

    def run(self, problem: Any, changed: Weights | None = None) -> Tracks:
        """The network on the problem's data, with some tensors changed."""
        every = self.weights | self.starts | {"x": self.x} | (changed or {})
        start = tuple(every[name] for name in self.starts)
        weights = {name: every[name] for name in self.weights}
        return run(problem.cell, problem.options, problem.output, weights, start, every["x"])


def pose(problem: Any) -> Posed:
    """Tensors of a problem; copies, so that nothing of the user's can be written to."""
    x = tensor(problem.x)
    N, T = x.shape[:2]
    lengths = torch.full((N,), T) if problem.lengths is None else tensor(problem.lengths)
    inside = torch.arange(T) < lengths[:, None]
    starts = {"h0": tensor(problem.h0)}
    if problem.c0 is not None:
        starts["c0"] = tensor(problem.c0)
    weights = {name: tensor(value) for name, value in problem.weights.items()}
    return Posed(weights, starts, torch.where(inside[..., None], x, 0), inside)


def tensor(array: NDArray[Any]) -> Tensor:
    """A tensor with a copy of the numbers."""
    return torch.from_numpy(np.array(array))


def targets(problem: Any, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Targets with zeros where nothing is counted, and the weight of every number (N, T, o)."""
    y = tensor(problem.y)
    weight = (~y.isnan() & inside[..., None]).to(y.dtype)
    weight[:, : problem.warmup] = 0
    if problem.mask is not None:
        weight = weight * tensor(problem.mask)
    return torch.where(weight > 0, y, 0), weight


def forward_raw(
    problem: Any, threads: int = 1, *, store: str = "all", out: dict[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """Run the network over every series.

    Parameters
    ----------
    problem : kelman.rnn Problem
    threads : int
        Not used: PyTorch has its own threads.
    store : {"outputs", "all"}
        "outputs": only y, or h where the state is the output.
    out : dict of arrays, optional
        Arrays that the results are written to, by name.

    Returns
    -------
    dict of arrays
        y (N, T, o), h (N, T, h), c (N, T, h) of an LSTM, NaN past a series' length; status (N,), failed_at (N,) as the
        compiled core's.
    """
    del threads
    posed = pose(problem)
    with torch.no_grad():
        tracks = {name: part for name, part in posed.run(problem)._asdict().items() if part is not None}
        fine = torch.stack([part.isfinite().all(-1) for part in (posed.x, *tracks.values())]).all(0)
        bad = posed.inside & ~fine
        found = {name: torch.where(posed.inside[..., None], part, torch.nan) for name, part in tracks.items()}
    failed = bad.any(1)
    kept = tuple(found) if store == "all" else ("y" if "V" in problem.weights else "h",)
    arrays = {name: found[name].numpy() for name in kept}
    for name, given in (out or {}).items():
        np.copyto(given, arrays[name])
        arrays[name] = given
    arrays["status"] = torch.where(failed, NOT_FINITE, 0).numpy().astype(np.int32)
    arrays["failed_at"] = torch.where(failed, bad.int().argmax(1), -1).numpy()
    return arrays


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
    loss, total weight, gradients by name (those of h0 and c0 for each series)
    """
    del threads
    posed = pose(problem)
    target, weight = targets(problem, posed.inside)
    leaves = {name: value.requires_grad_() for name, value in (posed.weights | posed.starts).items()}
    with torch.enable_grad():
        yhat = posed.run(problem, leaves).y
        total = weight.expand_as(target).sum()
        loss = (weight * (yhat - target).square()).sum() / total
        return float(loss.detach()), float(total), _gradients(loss, leaves)


def vjp_raw(
    problem: Any,
    g_y: NDArray[Any] | None,
    g_h: NDArray[Any] | None,
    threads: int = 1,
    *,
    g_c: NDArray[Any] | None = None,
    want_x: bool = True,
) -> dict[str, NDArray[Any]]:
    """Gradient of sum(g_y * y) + sum(g_h * h) (+ sum(g_c * c at each series' last step)) by autograd.

    Parameters
    ----------
    problem : kelman.rnn Problem
    g_y, g_h : ndarray, shape (N, T, o) and (N, T, h), or None
        What lies past the lengths is not read.
    threads : int
        Not used.
    g_c : ndarray, shape (N, h), or None
        For an LSTM.
    want_x : bool
        Whether the gradient by x is wanted.

    Returns
    -------
    dict of arrays
        By the names of the weights, "h0" and "c0" (for each series), and "x" (N, T, i), zero past the lengths.
    """
    del threads
    posed = pose(problem)
    point = posed.weights | posed.starts | ({"x": posed.x} if want_x else {})
    leaves = {name: v.requires_grad_() for name, v in point.items()}
    with torch.enable_grad():
        tracks = posed.run(problem, leaves)
        total = torch.zeros((), dtype=posed.x.dtype)
        for track, weight in ((tracks.y, g_y), (tracks.h, g_h)):
            if weight is not None:
                total = total + (torch.where(posed.inside[..., None], tensor(weight), 0) * track).sum()
        if g_c is not None and tracks.c is not None:
            last = posed.inside.sum(1) - 1
            total = total + (tensor(g_c) * tracks.c[torch.arange(len(last)), last]).sum()
        return _gradients(total, leaves)


def jvp_raw(problem: Any, tangents: dict[str, NDArray[Any]], threads: int = 1) -> dict[str, NDArray[Any]]:
    """Directional derivative of outputs and states, by differentiating the gradient's own linear map once more.

    Parameters
    ----------
    problem : kelman.rnn Problem
    tangents : dict of ndarray
        By the names of weights, "h0", "c0" and "x"; what is absent does not move.
    threads : int
        Not used.

    Returns
    -------
    dict of arrays
        y (N, T, o), h (N, T, h), and c (N, T, h) of an LSTM, NaN past a series' length.
    """
    del threads
    posed = pose(problem)
    point = posed.weights | posed.starts | {"x": posed.x}
    moved = {name: tensor(value) for name, value in tangents.items()}
    if "x" in moved:
        moved["x"] = torch.where(posed.inside[..., None], moved["x"], 0)
    names = tuple(moved)

    def tracks(*changed: Tensor) -> tuple[Tensor, ...]:
        found = posed.run(problem, dict(zip(names, changed, strict=True)))
        return tuple(part for part in found if part is not None)

    along = tuple(moved[name] for name in names)
    _, derivatives = torch.autograd.functional.jvp(tracks, tuple(point[name] for name in names), along)
    found = zip("yhc", derivatives, strict=False)
    return {name: torch.where(posed.inside[..., None], part, torch.nan).numpy() for name, part in found}


def _gradients(total: Tensor, leaves: Weights) -> dict[str, NDArray[Any]]:
    """Derivatives of a number by every leaf, zeros where it does not depend on it."""
    if not total.requires_grad:
        return {name: np.zeros_like(leaf.detach().numpy()) for name, leaf in leaves.items()}
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {name: g.numpy() for name, g in zip(leaves, found, strict=True)}
