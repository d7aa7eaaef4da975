# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of the log-likelihood in the PyTorch backend: autograd through the filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kelman.torch._filter import IMPOSSIBLE, OK, new_trouble, steps

_FIELDS = ("A", "H", "Q", "R", "B", "D", "b", "c", "S")
_START = ("mean", "cov", "inf", "noise_cov")
_SYMMETRIC = ("Q", "R", "cov", "noise_cov")


@torch.enable_grad()
def gradient_raw(problem: Any, summed: bool, threads: int = 1) -> dict[str, NDArray[Any]]:
    """Differentiate the log-likelihood by every entry of the problem's matrices and start.

    Parameters
    ----------
    problem : Problem
        Model and data with one dtype, broadcast over series and time.
    summed : bool
        Whether derivatives are summed over series.
    threads : int
        Not used: PyTorch has its own threads.

    Returns
    -------
    dict of arrays
        ``loglik``, ``status``, ``failed_at``, and the derivatives under the names of the problem's fields: (N, T, ...), or
        (N, ...) and summed over time where the field does not vary. The first axis of all but the mean is 1 if `summed`.
    """
    del threads
    leaves = {name: leaf_of(problem, name) for name in (*_FIELDS, *_START) if getattr(problem, name) is not None}
    given = {name: spread(leaf, problem, name) if name in _FIELDS else leaf for name, leaf in leaves.items()}
    trouble = new_trouble(problem)
    total = torch.zeros(())
    for step in steps(replace(problem, **given), trouble):
        total = total + step.loglik
    derivatives = torch.autograd.grad(total.sum(), list(leaves.values()), allow_unused=True)
    failed = trouble.status != OK
    arrays: dict[str, NDArray[Any]] = {}
    for (name, leaf), found in zip(leaves.items(), derivatives, strict=True):
        arrays[name] = tidied(name, torch.zeros_like(leaf) if found is None else found, failed, summed)
    lost = failed & (trouble.status != IMPOSSIBLE)
    arrays["loglik"] = torch.where(lost, torch.nan, total.detach()).numpy()
    arrays["status"] = trouble.status.numpy().astype(np.int32)
    arrays["failed_at"] = trouble.failed_at.numpy()
    return arrays


def leaf_of(problem: Any, name: str) -> Tensor:
    """A tensor of its own for every series, without the time axis for a field that does not vary."""
    array = getattr(problem, name)
    if name in _FIELDS and (array.shape[1] == 1 or array.strides[1] == 0):
        array = array[:, 0]
    return torch.tensor(np.array(array), requires_grad=True)


def spread(leaf: Tensor, problem: Any, name: str) -> Tensor:
    """The field (N, T, ...) that a leaf stands for."""
    field = getattr(problem, name)
    return leaf if leaf.ndim == field.ndim else leaf[:, None].expand(field.shape)


def tidied(name: str, gradient: Tensor, failed: Tensor, summed: bool) -> NDArray[Any]:
    """A derivative as an array: symmetric where its field is, NaN for series that failed, summed over series if asked for."""
    if name in _SYMMETRIC:
        gradient = (gradient + gradient.mT) / 2
    gradient = torch.where(failed.reshape(-1, *[1] * (gradient.ndim - 1)), torch.nan, gradient)
    if summed and name != "mean":
        gradient = gradient.sum(0, keepdim=True)
    array: NDArray[Any] = gradient.numpy()
    return array
