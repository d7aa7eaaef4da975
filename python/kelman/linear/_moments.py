# SPDX-License-Identifier: BSD-3-Clause
"""What the data say about a model in one pass each way: the sufficient statistics of EM.

With r and N of the smoother, the gradient of the log-likelihood holds the conditional moments of the noises, without
the cancellation of second moments of states (Fisher's identity; S. J. Koopman, Biometrika 80 (1993) 117):

    sum E[w_k y_k'] = Q dA      sum E[w_k w_k'] = K Q + 2 Q dQ Q      y_k the regressors of A, B, b; K transitions
    sum E[v_k y_k'] = R dH      sum E[v_k v_k'] = K R + 2 R dR R      K steps measured, a missing part given the rest

What is left, the second moments of the regressors [x; u; 1], comes from the smoother.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arrays import FLOAT64
from ..config import thread_count
from ._gradient import _record, _stepwise
from ._native import _in_double, gradient_raw
from ._problem import pose, refuse_infinity, require_model

if TYPE_CHECKING:
    from .._types import Array, ArrayLike
    from ..models import StateSpace
    from ._gradient_result import Gradient
    from ._problem import Problem


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """Log-likelihood, gradient and regressor moments of N series.

    Attributes
    ----------
    loglik, status, failed_at : ndarray, shape (N,)
        Of each series.
    gradient : Gradient
        As `loglik_and_grad` gives it: by what all series share, of the sum.
    sums : ndarray, shape (N or 1, sets, q, q), or None
        ``sum E[y y']`` of ``y = [x - reference; u; 1]``, q = n + p + 1. Set 0: states from which a transition leads into
        a measured step, with the input that drives it, x_0 included; 1: steps measured in full; 2: in part; 3 + j: those
        of set 2 in which component j is measured. A series that failed adds nothing.
    reference : ndarray, shape (N or 1, n)
        What was subtracted from the states.
    """

    loglik: Array
    status: Array
    failed_at: Array
    gradient: Gradient
    sums: Array | None
    reference: Array


def moments(
    model: StateSpace,
    z: ArrayLike,
    u: ArrayLike | None = None,
    *,
    summed: bool = False,
    reference: Array | None = None,
    components: bool = False,
    second: bool = True,
    threads: int | None = None,
) -> Moments:
    """Return the sufficient statistics of one or many series, in double precision.

    Parameters
    ----------
    model, z, u : StateSpace, array_like, array_like
        As in `filter`; every kind of start and of gaps.
    summed : bool, default False
        Add the sums of all series up.
    reference : ndarray, shape (1, n) or (N, n), optional
        A point near the states, subtracted from them: far from zero, their second moments would drown in rounding.
    components : bool, default False
        Keep the sums of each component of z over partly measured steps (sets 3 and more), else sets 0 to 2.
    second : bool, default True
        False leaves the second moments out.
    threads : int, optional
        As in `filter`.

    Returns
    -------
    Moments
    """
    require_model(model, "moments")
    count = thread_count(threads)
    posed = pose(model, z, u)
    if posed.dtype != FLOAT64:
        posed.problem = _in_double(posed.problem)
    problem = posed.problem
    N, _, m = problem.z.shape
    n = problem.A.shape[-1]
    point = np.zeros((1, n)) if reference is None else np.ascontiguousarray(reference, dtype=np.float64)
    at_once = summed and model.dims.N is None and (problem.start_kind == 0 or problem.cov.strides[0] == 0)
    points = np.broadcast_to(point, (N, n))
    raw = gradient_raw(_stepwise(posed), at_once, count, points if second and problem.u is None else None)
    status, failed_at, loglik = raw["status"], raw["failed_at"], raw["loglik"]
    sums = None
    along = raw.pop("moments", None)
    if second and along is not None and np.isfinite(along[status == 0]).all():
        sums = _unpacked(along, status == 0, 3 + m if components else 3, n)
        steps = (status == 0).astype(float) * problem.z.shape[1]
        sums[:, 1, n, n] = steps
        sums[:, 0, n, n] = np.maximum(steps - 1, 0.0)
    elif second:
        found: dict[str, Any] = _core.native().linear_moments(
            problem=problem,
            reference=points,
            sets=3 + m if components else 3,
            summed=at_once,
            threads=count,
        )
        sums = found["sums"]
        worse = found["status"] > status
        status, failed_at = np.where(worse, found["status"], status), np.where(worse, found["failed_at"], failed_at)
    if sums is not None:
        if problem.start_kind == 1:
            sums[:, 0] += _from_x0(problem, raw, point, status == 0, at_once)
        if summed and len(sums) > 1:
            sums = sums.sum(axis=0, keepdims=True)
    if status.any() or not np.isfinite(loglik).all():
        refuse_infinity(posed)
    return Moments(loglik, status, failed_at, _record(posed, raw, per_series=False), sums, point)


def _unpacked(along: Array, sound: Array, sets: int, n: int) -> Array:
    """The sums of complete series without inputs, from those that came along with the gradient."""
    rows, cols = _places(n)
    N, half = len(along), len(rows)
    packed = np.where(sound[:, None, None], along.reshape(N, 2, half), 0.0)
    sums = np.zeros((N, sets, n + 1, n + 1))
    sums[:, 0, rows, cols] = sums[:, 0, cols, rows] = packed[:, 0]
    sums[:, 1, rows, cols] = sums[:, 1, cols, rows] = packed.sum(axis=1)
    return sums


@functools.cache
def _places(n: int) -> tuple[Array, Array]:
    """Where the packed sums go: of each row i that of x_i, beside the constant, then those of x_i x_j, j <= i."""
    places = [(i, j) for i in range(n) for j in (n, *range(i + 1))]
    rows, cols = np.array(places).T
    return rows, cols


def _from_x0(problem: Problem, raw: dict[str, Array], reference: Array, sound: Array, summed: bool) -> Array:
    """The part of set 0 that x_0 and the first input add, (N or 1, q, q): E x_0 = m_0 + P_0 g, and so on."""
    P, shift = problem.cov, problem.mean - reference
    move = np.einsum("nij,nj->ni", P, raw["mean"])
    move[~sound] = 0.0
    if summed:
        P = P[:1]
    within = 2 * P @ raw["cov"] @ P
    far = [shift] if problem.u is None else [shift, problem.u[:, 0]]
    rest = np.concatenate([*far, np.ones((len(shift), 1))], axis=1)
    rest[~sound] = 0.0
    moved = np.zeros_like(rest)
    moved[:, : move.shape[1]] = move
    # rest rest' holds the second moments of what is known, moved what the data add to the mean of x_0
    first = "ni,nj->ij" if summed else "ni,nj->nij"
    total: Array = np.einsum(first, rest, rest) + np.einsum(first, rest, moved) + np.einsum(first, moved, rest)
    total = total[None] if summed else total
    n = move.shape[1]
    spread = P * sound.sum() if summed else P * sound[:, None, None]
    total[:, :n, :n] += spread + np.where(np.isfinite(within), within, 0.0)
    return total
