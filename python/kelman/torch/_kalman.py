# SPDX-License-Identifier: BSD-3-Clause
"""Kalman filters as differentiable functions of tensors.

The log-likelihood and its gradient come from the compiled core. Its derivative by the measurements is that by the offsets c,
which enter as z - c; by the inputs it is B' that of b plus D' that of c. The means of filter and smoother come from the core
too; their derivatives are worked out by hand over what its filter leaves (`linear._mean_adjoint`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kelman
from kelman import _registry
from kelman.config import thread_count
from kelman.errors import KelmanError
from kelman.linear._gradient import _record, _stepwise
from kelman.linear._outcome import settle
from kelman.linear._problem import Posed, pose, refuse_infinity
from kelman.models import StateSpace
from kelman.torch._means import derivatives
from kelman.torch._recurrence import once

_COVARIANCES = ("Q", "R", "P0", "P1", "P1_inf")
_ENTRIES = ("B", "D", "b", "c", "S", "m0", "P0", "m1", "P1", "P1_inf")


class Call(NamedTuple):
    """All of a call that is no tensor, and the names of its tensors after z and u."""

    verb: str
    names: tuple[str, ...]
    words: dict[str, Any]
    options: dict[str, Any]

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
        posed = pose(model, data, inputs)
        by_u = ctx.needs_input_grad[2]
        offsets = ("b", "c") if by_u else ("c",) if ctx.needs_input_grad[1] else ()
        problem = _with_offsets(posed, offsets)
        kernels = _registry.backend("linear", None)
        raw = kernels.gradient_raw(problem, not posed.batched, thread_count(call.options["threads"]))
        loglik = raw["loglik"]
        if not (posed.scanned or (np.isfinite(loglik).all() and np.isfinite(raw["mean"]).all())):
            refuse_infinity(posed)
        settle(raw["status"], raw["failed_at"], "raise", lambda: loglik)
        ctx.found = (posed, raw, offsets)
        return _number(loglik if posed.batched else loglik[0], z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        """The kept gradient, weighted by g."""
        call, saved = ctx.call, ctx.saved_tensors
        z, u, tensors = _apart(call, saved)
        posed, raw, offsets = ctx.found
        weight, raw = g.detach().numpy(), dict(raw)
        g_z = g_u = None
        if "c" in offsets:
            by_c = raw["c"] * weight.reshape(-1, 1, 1)
            g_z = torch.from_numpy(np.where(np.isnan(z.detach().numpy()), 0, _like(-by_c, z)))
        if u is not None and "b" in offsets:
            by_u = _by_inputs(posed, raw["b"] * weight.reshape(-1, 1, 1), by_c, raw["mean"] * weight.reshape(-1, 1))
            g_u = torch.from_numpy(_like(by_u, u))
        for name in offsets:
            field = getattr(posed.problem, name)
            if field is None or field.shape[1] == 1 or field.strides[1] == 0:
                raw[name] = raw[name].sum(axis=1)
        gradient = _record(posed, raw, posed.batched)
        results: list[Any] = [g_z, g_u]
        for name, tensor in zip(call.names, tensors, strict=True):
            if name == "P1_inf":
                results.append(None)
                continue
            results.append(torch.from_numpy(_weighted(gradient[name], weight, posed.batched, tuple(tensor.shape))))
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
            mean = kelman.smooth(model, data, inputs, **call.options).mean
        return torch.from_numpy(mean if mean.flags.writeable else np.array(mean))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        """The adjoint."""
        call, saved = ctx.call, ctx.saved_tensors
        z, u, tensors = _apart(call, saved)
        posed = pose(call.model(tensors), z.detach().numpy(), None if u is None else u.detach().numpy())
        weight = g.detach().numpy().reshape(posed.N, posed.T, -1)
        raw = derivatives(posed, weight, call.verb == "smooth", call.options["threads"])
        gradient = _record(posed, raw, False)
        results: list[Any] = [torch.from_numpy(_like(raw["z"], z)), None]
        if u is not None:
            by_u = raw["u"] if "u" in raw else np.zeros((posed.N, posed.T, u.shape[-1]))
            results[1] = torch.from_numpy(_like(by_u + _by_first_input(posed, raw["mean"], u.shape[-1]), u))
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
    moved = {name: tensor.cpu() for name, tensor in given.items()}
    for name in _COVARIANCES:
        if name in moved:
            moved[name] = (moved[name] + moved[name].mT) / 2
    call = Call(verb, tuple(tensors), words, {"threads": threads})
    function = _Loglik if verb == "loglik" else _Means
    result: Tensor = function.apply(call, moved["z"], moved.get("u"), *(moved[name] for name in tensors))
    return result.to(z.device)


def _number(value: Any, z: Tensor) -> Tensor:
    return torch.as_tensor(np.array(value), dtype=z.dtype)


def _apart(call: Call, saved: Any) -> tuple[Tensor, Tensor | None, Any]:
    """z, u (or None) and the entries of the model."""
    if len(saved) > len(call.names) + 1:
        return saved[0], saved[1], saved[2:]
    return saved[0], None, saved[1:]


def _with_offsets(posed: Posed, names: tuple[str, ...]) -> Any:
    """The problem with offsets b or c that have a derivative at every step of every series."""
    problem = _stepwise(posed)
    N, T, m = problem.z.shape
    changed = {}
    sizes = {"b": problem.mean.shape[-1], "c": m}
    for name in names:
        size = sizes[name]
        offset = getattr(problem, name)
        shared = offset is None or offset.strides[0] == 0
        timed = np.zeros((1 if shared else N, T, size), problem.z.dtype)
        if offset is not None:
            timed += offset[: len(timed)]
        changed[name] = np.broadcast_to(timed, (N, T, size))
    return replace(problem, **changed) if changed else problem


def _by_inputs(posed: Posed, by_b: NDArray[Any], by_c: NDArray[Any], mean: NDArray[Any]) -> NDArray[Any]:
    """Derivatives by u (N, T, p): B' that of b at the step that it drives, D' that of c, and that of a start that it moves."""
    problem = posed.problem
    total = np.zeros((posed.N, posed.T, posed.model.dims.p))
    if problem.B is not None:
        driven = (by_b[:, :, None] @ problem.B)[:, :, 0]
        if problem.input_lag:
            total[:, :-1] += driven[:, 1:]
        else:
            total += driven
    if problem.D is not None:
        total += (by_c[:, :, None] @ problem.D)[:, :, 0]
    total += _by_first_input(posed, mean, total.shape[-1])
    return total


def _by_first_input(posed: Posed, mean: NDArray[Any], p: int) -> NDArray[Any]:
    """What the first input adds through the mean of a start that is worked out, (N, T, p)."""
    B, found = posed.problem.B, np.zeros((posed.N, posed.T, p))
    if B is not None and posed.problem.input_lag == 0 and posed.model.initial in ("stationary", "auto"):
        found[:, 0] = (mean[:, None] @ B[:, 0])[:, 0]
    return found


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
    """A derivative (N, T, size) in the shape and precision of z or u."""
    shape = tuple(tensor.shape)
    if len(shape) < 3 and array.shape[0] > 1:
        array = array.sum(axis=0)
    return np.ascontiguousarray(array.reshape(shape), dtype=tensor.detach().numpy().dtype)
