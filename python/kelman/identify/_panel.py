# SPDX-License-Identifier: BSD-3-Clause
"""Maximum likelihood of a template for each of many series by itself, all of them in one loop.

Every step evaluates the likelihood of all series that are still climbing in one call, side by side in vector registers. A
dense BFGS update per series, then Newton steps whose second derivatives also give the covariances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.identify._objective import Objective, batch, longest, naturals

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.models import Template

_STEP = 1e-3
_SHORTEST = 1e-6


class Panel:
    """The likelihoods of many series under one template, each with its own parameters."""

    def __init__(self, whole: Objective) -> None:
        self.template: Template = whole.template
        self.z, self.u, self.threads = whole.z, whole.u, whole.threads
        self.counts: Array = whole.seen.sum((1, 2))

    def pools(self) -> tuple[Array, Array]:
        """Each series alone: (N, 1, T, m), and how many values it has."""
        return self.z[:, None], self.counts

    def naturals(self, theta: Array) -> tuple[Array, Array]:
        """Values (N,) and gradients (N, K) of theta (N, K)."""
        return naturals(self.template, theta, self.z, self.u, self.threads)

    def at(self, eta: Array, which: Array) -> tuple[Array, Array]:
        """Values and gradients of eta (L, K) for the series `which` (L,)."""
        u = None if self.u is None else self.u[which]
        return batch(self.template, eta, self.z[which], u, self.threads)

    def second(self, eta: Array, steps: Array, which: Array) -> tuple[Array, Array]:
        """Second derivatives (L, K, K) by central differences, and whether they are all finite (L,)."""
        K = eta.shape[1]
        hessian = np.empty((len(eta), K, K))
        fine = np.ones(len(eta), dtype=bool)
        for k in range(K):
            shift = np.zeros_like(eta)
            shift[:, k] = steps[:, k]
            up, g_up = self.at(eta + shift, which)
            down, g_down = self.at(eta - shift, which)
            hessian[:, k] = (g_up - g_down) / (2 * steps[:, k, None])
            fine &= np.isfinite(up) & np.isfinite(down)
        return (hessian + np.swapaxes(hessian, 1, 2)) / 2, fine


@dataclass(eq=False)
class Climb:
    """Where all series stand."""

    eta: Array
    value: Array
    gradient: Array
    scale: Array
    held: Array
    converged: Array
    steps: Array
    hessian: Array


def climb(
    panel: Panel,
    eta: Array,
    lowest: Array,
    *,
    max_iter: int,
    tol: float,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Climb, bool]:
    """Climb with every series; also return whether Ctrl-C ended it."""
    everyone = np.arange(len(eta))
    eta = np.maximum(eta, lowest)
    value, gradient = panel.at(eta, everyone)
    K = eta.shape[1]
    state = Climb(
        eta,
        value,
        gradient,
        np.ones_like(eta),
        np.zeros(eta.shape, dtype=bool),
        ~np.isfinite(value),
        np.zeros(len(eta), dtype=np.int64),
        np.broadcast_to(np.eye(K), (len(eta), K, K)).copy(),
    )
    state.converged[:] = False
    active = np.flatnonzero(np.isfinite(value))
    goal = float(np.sqrt(2 * tol))
    try:
        _rescale(panel, state, active)
        inverse = state.scale[:, :, None] * np.eye(K) * state.scale[:, None, :]
        for iteration in range(max_iter):
            active = active[_length(state, active) > goal]
            if not len(active):
                break
            active = _step(panel, state, inverse, lowest, active)
            state.steps[active] += 1
            if report is not None:
                report(iteration + 1, float(state.value[np.isfinite(state.value)].sum()))
        _polish(panel, state, lowest, np.flatnonzero(np.isfinite(value)), goal)
    except KeyboardInterrupt:
        return state, True
    return state, False


def _length(state: Climb, which: Array) -> Array:
    """Scaled norm of the gradient, without what is held at its lowest."""
    return np.asarray(np.linalg.norm(np.where(state.held, 0.0, state.gradient * state.scale)[which], axis=1))


def _rescale(panel: Panel, state: Climb, which: Array) -> None:
    """Set the scales to 1 / sqrt |second derivative|, within reason."""
    guess = np.maximum(np.abs(state.eta[which]), 1.0)
    hessian, fine = panel.second(state.eta[which], 1e-4 * guess, which)
    curvature = np.abs(np.diagonal(hessian, axis1=1, axis2=2)) * fine[:, None]
    scale = np.where(curvature > 0, 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), guess)
    state.scale[which] = np.minimum(np.clip(scale, 1e-8 * guess, 1e2 * guess), longest(panel.template))


def _step(panel: Panel, state: Climb, inverse: Array, lowest: Array, active: Array) -> Array:
    """One step of BFGS with backtracking for each series of `active`; return those that moved."""
    eta, value, gradient = state.eta[active], state.value[active], state.gradient[active]
    scale = state.scale[active]
    held = (eta <= lowest[active] + 1e-9) & (gradient < 0)
    state.held[active] = held
    slope = np.where(held, 0.0, gradient)
    move = np.where(held, 0.0, np.einsum("nij,nj->ni", inverse[active], slope))
    uphill = (move * slope).sum(1)
    weak = ~(uphill > 1e-8 * np.linalg.norm(move / scale, axis=1) * np.linalg.norm(slope * scale, axis=1))
    inverse[active[weak]] = scale[weak, :, None] * np.eye(eta.shape[1]) * scale[weak, None, :]
    move = np.where(weak[:, None], slope * scale**2, move)
    uphill = (move * slope).sum(1)
    length = np.linalg.norm(move / scale, axis=1)
    pace = np.minimum(1.0, 3.0 / np.maximum(length, 1e-300))
    todo = np.arange(len(active))
    moved = np.zeros(len(active), dtype=bool)
    while len(todo):
        tried = np.maximum(eta[todo] + pace[todo, None] * move[todo], lowest[active[todo]])
        new, new_gradient = panel.at(tried, active[todo])
        good = new >= value[todo] + 1e-4 * pace[todo] * uphill[todo] - 1e-12 * np.abs(value[todo])
        rows = todo[good]
        _update(inverse, active[rows], tried[good] - eta[rows], new_gradient[good] - gradient[rows], held[rows])
        state.eta[active[rows]], state.value[active[rows]] = tried[good], new[good]
        state.gradient[active[rows]] = new_gradient[good]
        moved[rows] = True
        todo = todo[~good]
        pace[todo] *= 0.25
        todo = todo[pace[todo] * length[todo] > _SHORTEST]
    return active[moved]


def _update(inverse: Array, which: Array, s: Array, y: Array, held: Array) -> None:
    """BFGS of the inverse of minus the second derivatives: y is minus the change of the gradient."""
    y = np.where(held, 0.0, -y)
    s = np.where(held, 0.0, s)
    bend = (s * y).sum(1)
    fine = bend > 1e-10 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    which, s, y, bend = which[fine], s[fine], y[fine], bend[fine]
    H = inverse[which]
    Hy = np.einsum("nij,nj->ni", H, y)
    weight = (1 + (y * Hy).sum(1) / bend) / bend
    H += weight[:, None, None] * s[:, :, None] * s[:, None, :]
    H -= (Hy[:, :, None] * s[:, None, :] + s[:, :, None] * Hy[:, None, :]) / bend[:, None, None]
    inverse[which] = H


def _polish(panel: Panel, state: Climb, lowest: Array, which: Array, goal: float) -> None:
    """Newton steps until the gradient is small; the last second derivatives stay in `state.hessian`."""
    _rescale(panel, state, which)
    for _ in range(50):
        eta, scale = state.eta[which], state.scale[which]
        hessian, fine = panel.second(eta, _STEP * scale, which)
        state.hessian[which] = np.where(fine[:, None, None], hessian, np.nan)
        held = (eta <= lowest[which] + 1e-9) & (state.gradient[which] < 0)
        state.held[which] = held
        move, promised = _newton_move(hessian, state.gradient[which], scale, held)
        state.converged[which] = promised <= 5 * goal**2
        rows = fine & (promised > 0.05 * goal**2)
        which, move = which[rows], move[rows]
        if not len(which):
            return
        pace = np.ones(len(which))
        todo = np.arange(len(which))
        moved = np.zeros(len(which), dtype=bool)
        while len(todo):
            index = which[todo]
            tried = np.maximum(state.eta[index] + pace[todo, None] * move[todo], lowest[index])
            new, new_gradient = panel.at(tried, index)
            better = new > state.value[index]
            state.eta[index[better]], state.value[index[better]] = tried[better], new[better]
            state.gradient[index[better]] = new_gradient[better]
            moved[todo[better]] = True
            todo = todo[~better]
            pace[todo] *= 0.25
            todo = todo[pace[todo] > 1e-4]
        which = which[moved]
        if not len(which):
            return


def _newton_move(hessian: Array, gradient: Array, scale: Array, held: Array) -> tuple[Array, Array]:
    """Newton's step of each series, no longer than three scales, and the likelihood that it promises."""
    free = ~held
    pull = np.where(free, gradient * scale, 0.0)
    bend = -np.nan_to_num(hessian) * scale[:, :, None] * scale[:, None, :]
    bend = np.where(free[:, :, None] & free[:, None, :], bend, np.eye(scale.shape[1]))
    values, vectors = np.linalg.eigh(bend)
    values = np.maximum(np.abs(values), np.maximum(1e-6 * np.abs(values).max(1, keepdims=True), 1e-12))
    move = np.einsum("nij,nj,nkj,nk->ni", vectors, 1 / values, vectors, pull)
    promised = 0.5 * (pull * move).sum(1)
    length = np.linalg.norm(move, axis=1, keepdims=True)
    return move * np.minimum(1.0, 3.0 / np.maximum(length, 1e-300)) * scale, promised
