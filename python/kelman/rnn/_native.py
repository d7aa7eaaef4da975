# SPDX-License-Identifier: BSD-3-Clause
"""The compiled core behind the functions that every backend of recurrent networks has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Problem


def _shared(problem: Problem) -> dict[str, Any]:
    names = ("weights", "options", "h0", "c0", "x", "lengths")
    shared = {name: getattr(problem, name) for name in names}
    return {**shared, "output": problem.output if "V" in problem.weights else None}


def _targets(problem: Problem) -> dict[str, Any]:
    return {"y": problem.y, "mask": problem.mask, "warmup": problem.warmup}


def _function(problem: Problem, verb: str) -> Any:
    return getattr(_core.recurrent(), f"{problem.cell}_{verb}")


def forward_raw(
    problem: Problem, threads: int, *, store: str = "all", out: dict[str, Array] | None = None
) -> dict[str, Array]:
    """Outputs y (N,T,o), states h (N,T,h) (and c of an LSTM), status (N,), failed_at (N,): the first bad step, or -1.

    With store="outputs" only y, or h where the state is the output. A step is bad too where x is not finite. Arrays of `out`
    are written to.
    """
    compute = _function(problem, "forward")
    result: dict[str, Array] = compute(**_shared(problem), threads=threads, states=store == "all", out=out)
    return result


def loss_and_grad_raw(problem: Problem, threads: int) -> tuple[float, float, dict[str, Array]]:
    """Mean loss, total weight, and gradients by name; those of h0 (and c0) for each series (N,h)."""
    compute = _function(problem, "loss_and_grad")
    loss, weight, gradients = compute(**_shared(problem), **_targets(problem), threads=threads)
    return loss, weight, gradients


def vjp_raw(
    problem: Problem,
    g_y: Array | None,
    g_h: Array | None,
    threads: int,
    *,
    g_c: Array | None = None,
    want_x: bool = True,
) -> dict[str, Array]:
    """Gradients of sum(g_y y) + sum(g_h h) + sum(g_c c_last) by name; of h0, c0 and x for each series."""
    result: dict[str, Array] = _function(problem, "vjp")(
        **_shared(problem), g_y=g_y, g_h=g_h, g_c=g_c, want_x=want_x, threads=threads
    )
    return result


def jvp_raw(problem: Problem, tangents: dict[str, Array], threads: int) -> dict[str, Array]:
    """Directional derivatives of y and h (and c) along tangents of the weights, h0, c0 and x; absent ones are zero."""
    result: dict[str, Array] = _function(problem, "jvp")(**_shared(problem), tangents=tangents, threads=threads)
    return result


def stepper(problem: Problem) -> Any:
    """A handle with `step(x (N,i), y (N,o) or None) -> int`, `state()` and `restart(h0, c0)`; x of the problem is not used."""
    given = {name: value for name, value in _shared(problem).items() if name not in ("x", "lengths")}
    given |= {name: given[name].copy() for name in ("h0", "c0") if given[name] is not None}  # no strides of 0
    return _core.recurrent().NetworkStepper(problem.cell, **given)


def gauss_newton_raw(problem: Problem, threads: int, *, learn_h0: bool) -> tuple[float, float, Array, Array]:
    """Mean loss, total weight, J'WJ and J'We over the weight; float64 only."""
    compute = _function(problem, "gauss_newton")
    result: tuple[float, float, Array, Array] = compute(
        **_shared(problem), **_targets(problem), learn_h0=learn_h0, threads=threads
    )
    return result


def gauss_newton_each_raw(problem: Problem, threads: int) -> dict[str, Any]:
    """Sums loss, JtJ and Jtr over the weights; of every series start (N,s,P+s), right, end (N,s), end_dot (N,s,P+s).

    For multiple shooting: `start` and `right` are the rows of J'WJ and J'We that belong to the series' own start (h0, then
    c0), `end` is its last state and `end_dot` that state's derivatives, by the weights and by its start. float64 only.
    """
    compute = _function(problem, "gauss_newton_each")
    result: dict[str, Any] = compute(**_shared(problem), **_targets(problem), threads=threads)
    return result


def jacobian_raw(problem: Problem, threads: int, *, learn_h0: bool) -> Array:
    """Derivatives (N,T,o,P) of the outputs by the parameters of `gauss_newton_raw`; zero past the lengths; float64 only."""
    J: Array = _function(problem, "jacobian")(**_shared(problem), learn_h0=learn_h0, threads=threads)
    return J
