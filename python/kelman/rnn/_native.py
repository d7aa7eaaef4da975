# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core behind the functions that every backend of recurrent networks has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Problem


def _shared(problem: Problem) -> dict[str, Any]:
    names = ("weights", "hidden", "output", "h0", "x", "lengths")
    return {name: getattr(problem, name) for name in names}


def _targets(problem: Problem) -> dict[str, Any]:
    return {"y": problem.y, "mask": problem.mask, "warmup": problem.warmup}


def forward_raw(problem: Problem, threads: int) -> dict[str, Array]:
    """Outputs y (N,T,o), states h (N,T,h), status (N,) and failed_at (N,): the first step that is not finite, or -1."""
    compute = getattr(_core.recurrent(), f"{problem.cell}_forward")
    y, h, status, failed_at = compute(**_shared(problem), threads=threads)
    return {"y": y, "h": h, "status": status, "failed_at": failed_at}


def loss_and_grad_raw(problem: Problem, threads: int) -> tuple[float, float, dict[str, Array]]:
    """Mean loss, total weight, and gradients by name; that of h0 for each series (N,h)."""
    compute = getattr(_core.recurrent(), f"{problem.cell}_loss_and_grad")
    loss, weight, gradients = compute(**_shared(problem), **_targets(problem), threads=threads)
    return loss, weight, gradients


def gauss_newton_raw(problem: Problem, threads: int, *, learn_h0: bool) -> tuple[float, float, Array, Array]:
    """Mean loss, total weight, J'WJ and J'We over the weight; float64 only."""
    compute = getattr(_core.recurrent(), f"{problem.cell}_gauss_newton")
    result: tuple[float, float, Array, Array] = compute(
        **_shared(problem), **_targets(problem), learn_h0=learn_h0, threads=threads
    )
    return result
