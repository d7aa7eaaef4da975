# SPDX-License-Identifier: BSD-3-Clause
"""Kalman filters as differentiable functions of tensors.

The log-likelihood and its gradient come from the compiled core. Its derivative by the measurements is that by the offsets c,
which enter as z - c; by the inputs it is B' that of b plus D' that of c. The means of filter and smoother come from the core
too; their derivatives from autograd through the PyTorch reference, where the smoothed state is a derivative itself:
``E[x_k | all] = E[x_k | past] + P_k d loglik / d b_k`` (de Jong 1989, with b_k added to x_k).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kelman
from kelman.errors import KelmanError
from kelman.linear._gradient import _record, _stepwise
from kelman.linear._problem import RANKS, pose
from kelman.models import StateSpace
from kelman.torch._filter import new_trouble, steps
from kelman.torch._gradient import leaf_of, spread, tidied
from kelman.torch._recurrence import once

_COVARIANCES = ("Q", "R", "P0", "P1", "P1_inf")
_ENTRIES = ("B", "D", "b", "c", "S", "m0", "P0", "m1", "P1", "P1_inf")


class Call(NamedTuple):
    """All of a call that is no tensor, and the names of its tensors after z and u."""

    verb: str
    names: tuple[str, ...]
    words: dict[str, Any]
    options: dict[str, Any]
    batched: bool

    def model(self, tensors: Any) -> StateSpace:
        """The model of these tensors."""
        arrays = {name: tensor.detach().numpy() for name, tensor in zip(self.names, tensors, strict=True)}
        return StateSpace(**arrays, **self.words)


class _Loglik(torch.autograd.Function):
    """The log-likelihood of each series, () or (N,); its gradient is computed with it where one is needed."""

    @staticmethod
    def forward(ctx: Any, call: Call, z: Tensor, u: Tensor | None, *tensors: Tensor) -> Tensor:
        """The log-likelihood."""
        model = call.model(tensors)
        data, inputs = z.detach().numpy(), None if u is None else u.detach().numpy()
        ctx.call, ctx.found = call, None
        ctx.save_for_backward(z, *(() if u is None else (u,)), *tensors)
        if not any(ctx.needs_input_grad):
            return _number(kelman.loglik(model, data, inputs, **call.options), z)
        by_z, by_u = ctx.needs_input_grad[1], ctx.needs_input_grad[2]
        if by_u:
            model = model.replace(b=_timed(model, "b", data, model.dims.n))
        if by_z or by_u:
            model = model.replace(c=_timed(model, "c", data, model.dims.m))
        value, gradient = kelman.loglik_and_grad(model, data, inputs, per_series=call.batched, **call.options)
        ctx.found = (model, gradient, by_z, by_u)
        return _number(value, z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        """The kept gradient, weighted by g."""
        call, saved = ctx.call, ctx.saved_tensors
        z, rest = saved[0], saved[1:]
        model, gradient, by_z, by_u = ctx.found
        weight = g.detach().numpy()
        has_u = len(rest) > len(call.names)
        g_z = g_u = None
        if by_z or by_u:
            g_c = _own(gradient.c, weight, call.batched)
            if by_z:
                g_z = torch.from_numpy(np.where(np.isnan(z.detach().numpy()), 0, -g_c.reshape(z.shape)))
            if by_u:
                g_b = _own(gradient.b, weight, call.batched)
                g_u = torch.from_numpy(_by_inputs(model, g_b, g_c, tuple(rest[0].shape), call.batched))
        results: list[Any] = [g_z, g_u]
        for name, tensor in zip(call.names, rest[1:] if has_u else rest, strict=True):
            if name == "P1_inf":
                results.append(None)
                continue
            array = _weighted(gradient[name], weight, call.batched, tuple(tensor.shape))
            results.append(torch.from_numpy(array))
        return None, *once(results, saved, g)


class _Means(torch.autograd.Function):
    """Means of the filter or of the smoother, (T, n) or (N, T, n)."""

    @staticmethod
    def forward(ctx: Any, call: Call, z: Tensor, u: Tensor | None, *tensors: Tensor) -> Tensor:
        """The means."""
        model = call.model(tensors)
        data, inputs = z.detach().numpy(), None if u is None else u.detach().numpy()
        ctx.call = call
        ctx.save_for_backward(z, *(() if u is None else (u,)), *tensors)
        if call.verb == "filter":
            mean = kelman.filter(model, data, inputs, store="means", **call.options).mean
        else:
            if any(ctx.needs_input_grad) and pose(model, data, inputs).problem.rank.any():
                raise KelmanError(
                    "smoothed_mean: its derivatives need a start without a diffuse part; give m1 and P1 (or m0 and P0)"
                )
            mean = kelman.smooth(model, data, inputs, **call.options).mean
        return torch.from_numpy(np.array(mean))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        """Autograd through the PyTorch reference."""
        call, saved = ctx.call, ctx.saved_tensors
        has_u = len(saved) > len(call.names) + 1
        z, u, tensors = saved[0], saved[1] if has_u else None, saved[2 if has_u else 1 :]
        inputs = None if u is None else u.detach().numpy()
        posed = pose(call.model(tensors), z.detach().numpy(), inputs)
        raw = _pulled(_stepwise(posed), g.detach().numpy().reshape(posed.N, posed.T, -1), call.verb == "smooth")
        gradient = _record(posed, raw, False)
        results: list[Any] = [torch.from_numpy(_like(raw["z"], z))]
        results.append(None if u is None else torch.from_numpy(_like(raw["u"], u)))
        by = (None if name == "P1_inf" else torch.from_numpy(np.array(gradient[name])) for name in call.names)
        results.extend(by)
        return None, *once(results, saved, g)


def differentiable(
    verb: str, z: Tensor, u: Any, required: dict[str, Any], entries: dict[str, Any], threads: Any
) -> Tensor:
    """Check the tensors of a call and compute it, on the CPU; the result goes where z is."""
    words: dict[str, Any] = {name: entries.pop(name) for name in ("initial", "input_lag") if name in entries}
    unknown = sorted(set(entries) - set(_ENTRIES))
    if unknown:
        raise KelmanError(
            f"{verb}: no argument {unknown[0]!r}; entries of the model are A, H, Q, R, {', '.join(_ENTRIES)}, initial, input_lag"
        )
    tensors = required | {name: entries[name] for name in _ENTRIES if entries.get(name) is not None}
    given = {"z": z} | ({} if u is None else {"u": u}) | tensors
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            raise KelmanError(f"{name}: expected a tensor, got a {type(tensor).__name__}")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise KelmanError(f"{name}: expected dtype float32 or float64, got {tensor.dtype}")
    if len({tensor.dtype for tensor in given.values()}) > 1:
        raise KelmanError(
            f"{verb}: expected tensors of one dtype, got {', '.join(f'{k} {t.dtype}' for k, t in given.items())}"
        )
    if u is not None and u.requires_grad and verb == "loglik":
        if "m0" not in tensors and "m1" not in tensors:
            raise KelmanError("u: derivatives by inputs need a given start: m1 and P1, or m0 and P0")
        if words.get("input_lag"):
            raise KelmanError("u: derivatives by inputs are there for input_lag=0 only")
    moved = {name: tensor.cpu() for name, tensor in given.items()}
    for name in _COVARIANCES:
        if name in moved:
            moved[name] = (moved[name] + moved[name].mT) / 2
    call = Call(verb, tuple(tensors), words, {"threads": threads}, z.ndim == 3)
    function = _Loglik if verb == "loglik" else _Means
    result: Tensor = function.apply(call, moved["z"], moved.get("u"), *(moved[name] for name in tensors))
    return result.to(z.device)


def _number(value: Any, z: Tensor) -> Tensor:
    return torch.as_tensor(np.array(value), dtype=z.dtype)


def _timed(model: StateSpace, name: str, z: NDArray[Any], size: int) -> NDArray[Any]:
    """An offset that varies in time, so that its derivative is there for every step."""
    offset, T = getattr(model, name), z.shape[-2] if z.ndim > 1 else len(z)
    if offset is None:
        return np.zeros((T, size), model.dtype)
    if offset.ndim == 3:
        return np.array(np.broadcast_to(offset, (len(offset), T, size)))
    return np.array(np.broadcast_to(offset, (T, size)))


def _own(gradient: NDArray[Any], weight: NDArray[Any], batched: bool) -> NDArray[Any]:
    """Derivative of a time-varying offset for each series, weighted: (N, T, size) or (T, size)."""
    weighted: NDArray[Any] = gradient * (weight[:, None, None] if batched else weight)
    return weighted


def _by_inputs(model: StateSpace, g_b: Any, g_c: Any, shape: tuple[int, ...], batched: bool) -> NDArray[Any]:
    """B' g_b + D' g_c, in the shape of u."""
    total = np.zeros((*g_b.shape[:-1], model.dims.p), g_b.dtype)
    for matrix, g in ((model.B, g_b), (model.D, g_c)):
        if matrix is not None:
            total = total + (matrix.swapaxes(-1, -2) @ g[..., None])[..., 0]
    if batched and len(shape) == 2:
        total = total.sum(axis=0)
    return total.reshape(shape).astype(g_b.dtype)


def _weighted(gradient: NDArray[Any], weight: NDArray[Any], batched: bool, shape: tuple[int, ...]) -> NDArray[Any]:
    """The sum over series of weight times derivative, in the shape of the entry."""
    if not batched:
        total = np.asarray(gradient) * weight
    else:
        total = gradient * weight.reshape(-1, *[1] * (gradient.ndim - 1))
        total = total if total.shape == shape else total.sum(axis=0)
    while total.ndim > len(shape):  # an offset that was spread over time
        total = total.sum(axis=0)
    for axis, (have, want) in enumerate(zip(total.shape, shape, strict=True)):
        if have != want:
            total = total.sum(axis=axis, keepdims=True)
    return np.ascontiguousarray(total, dtype=gradient.dtype)


def _like(array: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """A derivative (N, T, size) in the shape of z or u."""
    shape = tuple(tensor.shape)
    if len(shape) == 2 and array.shape[0] > 1:
        array = array.sum(axis=0)
    return np.ascontiguousarray(array.reshape(shape))


@torch.enable_grad()
def _pulled(problem: Any, g: NDArray[Any], smoothed: bool) -> dict[str, NDArray[Any]]:
    """Derivatives of sum(g * means) by every field of the problem, z and u; laid out as `gradient_raw` does."""
    names = [name for name in (*RANKS, "mean", "cov", "inf", "noise_cov") if getattr(problem, name) is not None]
    leaves = {name: leaf_of(problem, name) for name in names}
    given = {name: spread(leaf, problem, name) if name in RANKS else leaf for name, leaf in leaves.items()}
    for name in ("z", "u"):
        if getattr(problem, name) is not None:
            leaves[name] = torch.tensor(np.array(getattr(problem, name)), requires_grad=True)
            given[name] = leaves[name]
    weight, trouble = torch.tensor(np.array(g)), new_trouble(problem)
    n = problem.mean.shape[-1]
    if smoothed:
        means = _smoothed(problem, given, trouble)
    else:
        means = [step.updated.mean[:, :n] for step in steps(replace(problem, **given), trouble)]
    total = (weight * torch.stack(means, 1)).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    fine = torch.zeros(len(weight), dtype=torch.bool)
    return {
        name: derivative.numpy() if name in ("z", "u") else tidied(name, derivative, fine, False)
        for (name, _), derivative in zip(leaves.items(), found, strict=True)
    }


def _smoothed(problem: Any, given: dict[str, Tensor], trouble: Any) -> list[Tensor]:
    """Smoothed means, differentiable: predicted mean + P d loglik / d (what is added to the state)."""
    N, T, n = problem.z.shape[0], problem.z.shape[1], problem.mean.shape[-1]
    added = [torch.zeros(N, n, dtype=given["mean"].dtype, requires_grad=True) for _ in range(T)]
    b = given.get("b")
    shifts = torch.stack(added, 1)
    changed = given | {"b": shifts if b is None else b + shifts}
    if problem.start_kind == 0:
        changed["mean"] = given["mean"] + added[0]
    run = list(steps(replace(problem, **changed), trouble))
    loglik = torch.stack([step.loglik for step in run]).sum()
    score = torch.autograd.grad(loglik, added, create_graph=True)
    return [
        step.predicted.mean + (step.predicted.cov @ r[..., None])[..., 0] for step, r in zip(run, score, strict=True)
    ]
