# SPDX-License-Identifier: BSD-3-Clause
"""Gauss-Newton normal equations in the PyTorch backend."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from kelman.torch._cells import ACTIVATIONS, Weights, pose, targets


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
    if problem.cell != "elman":
        return _dense(problem, learn_h0)
    posed = pose(problem)
    w, h, x = posed.weights, posed.starts["h0"], posed.x
    target, weight = targets(problem, posed.inside)
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
        new, slope = _with_slope(problem.hidden, h @ w["U"].mT + x[:, k] @ w["W"].mT + w["b"])
        dnew = slope[..., None] * ds
        if "A" in w:
            new, dnew = new + h @ w["A"].mT, dnew + w["A"] @ dh
            _add_outer(dnew, at["A"], h)
        if "B" in w:
            new = new + x[:, k] @ w["B"].mT
            _add_outer(dnew, at["B"], x[:, k])
        h, dh = new, dnew
        y, ds, slope = h, dh, torch.ones_like(h)
        if "V" in w:
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


def gauss_newton_each_raw(problem: Any, threads: int = 1) -> dict[str, Any]:
    """Normal equations where every series has a start of its own, from the whole Jacobian by autograd.

    Parameters
    ----------
    problem : kelman.rnn Problem
        With targets, in float64.
    threads : int
        Not used.

    Returns
    -------
    dict
        Sums loss, JtJ (P, P) and Jtr (P,) over the weights; of every series start (N, s, P + s), right (N, s), end (N, s)
        and end_dot (N, s, P + s).
    """
    del threads
    posed = pose(problem)
    target, weight = targets(problem, posed.inside)
    weight = weight.expand_as(target)
    N = len(target)
    last = posed.inside.sum(1) - 1
    names = (*posed.weights, *posed.starts)

    def rows(*arrays: Tensor) -> Tensor:
        tracks = posed.run(problem, dict(zip(names, arrays, strict=True)))
        ends = [part[torch.arange(N), last] for part in (tracks.h, tracks.c) if part is not None]
        return torch.cat([tracks.y.reshape(N, -1), *ends], 1)  # (N, T o + s)

    points = tuple((posed.weights | posed.starts).values())
    with torch.enable_grad():
        values = rows(*points).detach()
        count = len(posed.weights)
        shared = torch.autograd.functional.jacobian(lambda *w: rows(*w, *points[count:]), points[:count])
        # series do not touch each other: the sum over them has the derivatives by every start
        own = torch.autograd.functional.jacobian(lambda *s: rows(*points[:count], *s).sum(0), points[count:])
    J = torch.cat([part.reshape(*values.shape, -1) for part in shared] + [part.transpose(0, 1) for part in own], 2)
    split, P = target[0].numel(), sum(part.numel() for part in points[:count])
    w, y = weight.reshape(N, -1), values[:, :split].reshape(target.shape)
    e = torch.where(weight > 0, y - target, 0).reshape(N, -1)
    J, end_dot = J[:, :split], J[:, split:]
    right = (J.mT @ (w * e)[..., None])[..., 0]
    square = J.mT @ (w[..., None] * J)
    found = {
        "loss": float((w * e * e).sum()), "JtJ": square[:, :P, :P].sum(0), "Jtr": right[:, :P].sum(0),
        "start": square[:, P:], "right": right[:, P:], "end": values[:, split:], "end_dot": end_dot,
    }  # fmt: skip
    return {name: value if isinstance(value, float) else value.numpy().copy() for name, value in found.items()}


def jacobian_raw(problem: Any, threads: int = 1, *, learn_h0: bool) -> NDArray[Any]:
    """Derivatives of the outputs by the weights, row by row by autograd.

    Parameters
    ----------
    problem : kelman.rnn Problem
        In float64.
    threads : int
        Not used.
    learn_h0 : bool
        Whether the start, shared by all series, counts among the weights.

    Returns
    -------
    ndarray, shape (N, T, o, P)
        Zero past the lengths.
    """
    del threads
    posed = pose(problem)
    J = _jacobian(problem, posed, learn_h0)[0]
    inside: NDArray[Any] = torch.where(posed.inside[..., None, None], J, 0).numpy()
    return inside


def _jacobian(problem: Any, posed: Any, learn_h0: bool) -> tuple[Tensor, Tensor]:
    """The Jacobian (N, T, o, P) and the outputs."""
    starts = {name: value[0] for name, value in posed.starts.items()} if learn_h0 else {}
    point = posed.weights | starts
    names = tuple(point)

    def outputs(*arrays: Tensor) -> Tensor:
        changed = dict(zip(names, arrays, strict=True))
        for name in starts:
            changed[name] = changed[name].expand_as(posed.starts[name])
        return posed.run(problem, changed).y

    with torch.enable_grad():
        blocks = torch.autograd.functional.jacobian(outputs, tuple(point.values()))
        y = outputs(*point.values()).detach()
    return torch.cat([block.reshape(*y.shape, -1) for block in blocks], 3), y


def _dense(problem: Any, learn_h0: bool) -> tuple[float, float, NDArray[Any], NDArray[Any]]:
    """Normal equations from the whole Jacobian, row by row by autograd: for cells with gates, and small problems."""
    posed = pose(problem)
    target, weight = targets(problem, posed.inside)
    weight = weight.expand_as(target)
    J, y = _jacobian(problem, posed, learn_h0)
    J = J.reshape(y.numel(), -1)
    w, total = weight.reshape(-1), weight.sum()
    e = torch.where(weight > 0, y - target, 0).reshape(-1)
    JtJ, Jtr = J.mT @ (w[:, None] * J) / total, J.mT @ (w * e) / total
    return float((w * e * e).sum() / total), float(total), JtJ.numpy(), Jtr.numpy()


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
