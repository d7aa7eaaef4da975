# SPDX-License-Identifier: BSD-3-Clause
"""What a model can see and what its noise can reach: ranks and condition numbers of finite-horizon Gramians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman._arrays import collapsed
from kelman.linear._problem import fields_of
from kelman.linear._simulate import _root

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace

_RANK = 1e-10
"""A direction is lost if its singular value is below this part of the largest, states and values scaled to one."""

_LONG = 100_000
"""Rows times states of the observability matrix of a measurement that varies."""


@dataclass(frozen=True)
class Reach:
    """How much of the state a model's measurements see, or its noise (or inputs) move, within some steps.

    Attributes
    ----------
    rank : int
        Dimension of what is reached (of the worst series, where each has its own model).
    n : int
        Number of states.
    condition : float
        Condition number of the Gramian over `horizon` steps, its diagonal scaled to one; infinite if the rank is short.
    horizon : int
        Number of steps.
    series : int
        The series that has the worst of it; 0 for a shared model.
    """

    rank: int
    n: int
    condition: float
    horizon: int
    series: int

    @property
    def full(self) -> bool:
        """Whether every direction is reached."""
        return self.rank == self.n


def observability(model: StateSpace, T: int) -> Reach:
    """Gramian sum_k Phi_k' H_k' H_k Phi_k over the first steps, Phi_k the transition from the first to step k."""
    A, H, _, _ = _matrices(model, T)
    horizon = _horizon(model, T)
    if horizon < T and H.shape[1] > 1:  # what a varying H sees late, as the effect of an intervention, counts too
        horizon = min(T, max(horizon, _LONG // A.shape[-1]))
    rows, carried = [], np.broadcast_to(np.eye(A.shape[-1]), (len(A), *A.shape[-2:]))
    for k in range(horizon):
        if k:
            carried = _at(A, k) @ carried
        rows.append(_at(H, k) @ carried)
    return _reach(np.concatenate([np.broadcast_to(r, (len(A), *r.shape[1:])) for r in rows], axis=1), horizon)


def reachability(model: StateSpace, T: int, *, inputs: bool) -> Reach:
    """Gramian sum_k Psi_k G_k G_k' Psi_k' over the last steps of the horizon, G G' = Q or G = B."""
    A, _, Q, B = _matrices(model, T)
    source = B if inputs else _root(Q)
    horizon = _horizon(model, T)
    rows, carried = [], np.broadcast_to(np.eye(A.shape[-1]), (len(A), *A.shape[-2:]))
    for k in range(horizon - 1, -1, -1):
        rows.append(np.swapaxes(carried @ _at(source, k), -1, -2))
        carried = carried @ _at(A, k)
    return _reach(np.concatenate([np.broadcast_to(r, (len(A), *r.shape[1:])) for r in rows], axis=1), horizon)


def _matrices(model: StateSpace, T: int) -> tuple[Array, Array, Array, Array]:
    """A, H, Q, B as (1 or N, 1 or T, ...), all with the same number of series."""
    N = model.dims.N or 1
    fields = fields_of(model, N, T, np.dtype(np.float64))
    A, H, Q, B = (fields[name] for name in "AHQB")
    n = model.dims.n
    B = np.zeros((1, 1, n, 0)) if B is None else B
    parts = [np.zeros((1, 1, n, n)) if part is None else collapsed(part) for part in (A, H, Q, B)]
    count = max(len(part) for part in parts)
    A, H, Q, B = (np.broadcast_to(part, (count, *part.shape[1:])) for part in parts)
    return A, H, Q, B


def _horizon(model: StateSpace, T: int) -> int:
    """n steps reach all that a constant model ever reaches; what varies is given twice as long, if there are so many."""
    n = model.dims.n
    return n if model.dims.T is None else min(T, 2 * n)


def _at(array: Array, k: int) -> Array:
    return array[:, k if array.shape[1] > 1 else 0]


def _reach(stacked: Array, horizon: int) -> Reach:
    """Rank and condition of rows (count, rows, n) whose columns are scaled to length one."""
    n = stacked.shape[-1]
    if stacked.shape[1] == 0:
        return Reach(0, n, float("inf"), horizon, 0)
    length = np.linalg.norm(stacked, axis=1, keepdims=True)
    unit = np.where(length > 0, stacked / np.where(length > 0, length, 1.0), 0.0)
    size = np.linalg.svd(unit, compute_uv=False)
    size = np.pad(size, ((0, 0), (0, max(0, n - size.shape[1]))))[:, :n]
    rank = (size > _RANK * np.maximum(size[:, :1], np.finfo(np.float64).tiny)).sum(1)
    with np.errstate(divide="ignore"):
        condition = np.where(rank == n, np.square(size[:, 0] / np.where(rank == n, size[:, -1], 1.0)), np.inf)
    worst = int(np.lexsort((-condition, rank))[0])
    return Reach(int(rank[worst]), n, float(condition[worst]), horizon, worst)
