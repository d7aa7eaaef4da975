# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of filtered and smoothed means: by hand over the compiled filter, and by autograd where that does not do.

Autograd through the PyTorch reference has the first steps of filtered means from a diffuse start, until its last direction is
known, and models in which a measurement is predicted without any error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kelman import _registry
from kelman._arrays import FLOAT64
from kelman.config import thread_count
from kelman.linear._gradient import _stepwise
from kelman.linear._mean_adjoint import mean_gradient
from kelman.linear._native import _in_double
from kelman.linear._problem import RANKS, Posed
from kelman.torch._filter import Step, new_trouble, steps
from kelman.torch._gradient import leaf_of, spread, tidied

Found = dict[str, NDArray[Any]]

_VAGUE = 1e2
"""A covariance this many times another is vague beside it: digits are lost where both are in one formula."""

_WATCHED = 16
"""Steps after the diffuse ones over which a covariance is watched becoming smaller."""


def derivatives(posed: Posed, g: NDArray[Any], smoothed: bool, threads: int | None) -> Found:
    """Derivatives of sum(g * means) by every field of the problem, z and u, laid out as ``gradient_raw`` does, in double.

    Parameters
    ----------
    posed : Posed
        The problem.
    g : ndarray, shape (N, T, n)
        Weights of the means.
    smoothed : bool
        Whether the means are smoothed, else filtered.
    threads : int, optional
        Threads of the filter.
    """
    problem = _stepwise(posed)
    problem = problem if problem.z.dtype == FLOAT64 else _in_double(problem)
    summed = posed.model.dims.N is None
    options: dict[str, Any] = {
        "kernels": _registry.backend("linear", None),
        "summed": summed,
        "own": not summed and (posed.model.initial in ("stationary", "auto") or bool(problem.rank.any())),
        "threads": thread_count(threads),
    }
    g = np.ascontiguousarray(g, dtype=np.float64)
    found = None
    if smoothed or not problem.rank.any():
        found = mean_gradient(problem, g, smoothed, **options)
    else:
        found = _from_diffuse(problem, g, **options)
    return pulled(problem, g, smoothed, summed) if found is None else found


def _from_diffuse(problem: Any, g: NDArray[Any], *, summed: bool, **options: Any) -> Found | None:
    """Filtered means from a diffuse start: what follows the diffuse steps by hand, and these with what that says of their end."""
    first = _first_settled(problem)
    if first is None:
        return None
    k, N = first.k, len(g)
    mean, cov = first.predicted.mean.numpy(), first.predicted.cov.numpy()
    if N > 1 and (cov == cov[:1]).all():
        cov = np.broadcast_to(cov[:1], cov.shape)
    later = {name: field[:, k:] for name in (*RANKS, "z", "u") if (field := getattr(problem, name)) is not None}
    nothing = np.zeros((*mean.shape, 0))
    rest = replace(problem, **later, mean=mean, cov=cov, inf=nothing, rank=np.zeros_like(problem.rank), u_before=None)
    found = mean_gradient(rest, g[:, k:], False, summed=False, **options)
    if found is None:
        return None
    early: Found = pulled(problem, g[:, :k], False, summed, (found.pop("mean"), found.pop("cov")))
    for name, value in found.items():
        field = getattr(problem, name)
        if summed and name not in ("z", "u"):
            value = value.sum(axis=0, keepdims=True)
        if name in ("z", "u") or (field.shape[1] > 1 and field.strides[1] != 0):
            early[name][:, k:] += value if value.ndim == field.ndim else value[:, None]
        else:
            early[name] = early[name] + value
    return early


def _first_settled(problem: Any) -> Step | None:
    """The first step that is not diffuse, and at which what has just become known is not vague beside what it will be."""
    best, size = None, np.inf
    with torch.no_grad():
        for step in steps(problem, new_trouble(problem)):
            if step.predicted.rank.any():
                continue
            now = float(step.predicted.cov.diagonal(dim1=-2, dim2=-1).amax())
            if best is None or now < size / _VAGUE:
                best, size = step, now
            if step.k >= best.k + _WATCHED:
                break
    return best


@torch.enable_grad()
def pulled(
    problem: Any, g: NDArray[Any], smoothed: bool, summed: bool, end: tuple[NDArray[Any], NDArray[Any]] | None = None
) -> Found:
    """The same by autograd through the reference.

    With `end` the filter stops where g does, and the derivatives by the mean (N, n) and the covariance (N or 1, n, n) that it
    predicts for the step after are given.
    """
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
        total = (weight * torch.stack(means, 1)).sum()
    else:
        total = torch.zeros((), dtype=weight.dtype)
        for step in steps(replace(problem, **given), trouble):
            if step.k == weight.shape[1]:
                break
            total = total + (weight[:, step.k] * step.updated.mean[:, :n]).sum()
        if end is not None:
            by_mean, by_cov = (torch.tensor(np.array(one)) for one in end)
            total = total + (by_mean * step.predicted.mean).sum() + (by_cov * step.predicted.cov[: len(by_cov)]).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    fine = torch.zeros(len(weight), dtype=torch.bool)
    return {
        name: derivative.numpy() if name in ("z", "u") else tidied(name, derivative, fine, summed)
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
