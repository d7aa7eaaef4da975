# SPDX-License-Identifier: BSD-3-Clause
"""What the data say about a model in one pass each way: the sufficient statistics of EM.

With r and N of the smoother, the gradient of the log-likelihood holds the conditional moments of the noises, without
the cancellation of second moments of states (Fisher's identity; S. J. Koopman, Biometrika 80 (1993) 117):

    sum E[w_k y_k'] = Q dA      sum E[w_k w_k'] = K Q + 2 Q dQ Q      y_k the regressors of A, B, b; K transitions
    sum E[v_k y_k'] = R dH      sum E[v_k v_k'] = K R + 2 R dR R      K steps measured, a missing part given the rest

What is left, the second moments of the regressors [x; u; 1], comes from the smoother.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arrays import FLOAT64
from ._native import _in_double, gradient_raw

if TYPE_CHECKING:
    from .._types import Array
    from ._problem import Problem


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """Log-likelihood, gradient and regressor moments of a problem of N series.

    Attributes
    ----------
    loglik, status, failed_at : ndarray, shape (N,)
        Of each series.
    gradient : dict of ndarray
        By the fields of the problem, as the core gives it: summed over series if asked.
    sums : ndarray, shape (N or 1, sets, q, q), or None
        ``sum E[y y']`` of ``y = [x - reference; u; 1]``, q = n + p + 1. Set 0: steps that a transition follows, with the
        input that drives it; 1: steps measured in full; 2: in part; 3 + j: those of set 2 in which component j is
        measured.
    reference : ndarray, shape (N or 1, n)
        What was subtracted from the states.
    """

    loglik: Array
    status: Array
    failed_at: Array
    gradient: dict[str, Array]
    sums: Array | None
    reference: Array


def moments(
    problem: Problem,
    *,
    threads: int,
    summed: bool = False,
    reference: Array | None = None,
    components: bool = False,
    second: bool = True,
) -> Moments:
    """Return the sufficient statistics of every series of a problem, in double precision.

    Parameters
    ----------
    problem : Problem
        Model, start and data; every kind of start and of gaps.
    threads : int
        Number of threads, at least 1; the results do not depend on it.
    summed : bool, default False
        Add all series up.
    reference : ndarray, shape (1, n) or (N, n), optional
        A point near the states, subtracted from them: far from zero, their second moments would drown in rounding.
    components : bool, default False
        Keep the sums of each component of z over partly measured steps (sets 3 and more), else sets 0 to 2.
    second : bool, default True
        False leaves the second moments out.

    Returns
    -------
    Moments
    """
    given = problem if problem.z.dtype == FLOAT64 else _in_double(problem)
    N, _, m = given.z.shape
    n = given.A.shape[-1]
    point = np.zeros((1, n)) if reference is None else np.ascontiguousarray(reference, dtype=np.float64)
    gradient = gradient_raw(given, summed, threads)
    status, failed_at = gradient.pop("status"), gradient.pop("failed_at")
    loglik = gradient.pop("loglik")
    gradient.pop("method", None)
    sums = None
    if second:
        raw: dict[str, Any] = _core.native().linear_moments(
            problem=given,
            reference=np.broadcast_to(point, (N, n)),
            sets=3 + m if components else 3,
            summed=summed,
            threads=threads,
        )
        sums = raw["sums"]
        worse = raw["status"] > status
        status, failed_at = np.where(worse, raw["status"], status), np.where(worse, raw["failed_at"], failed_at)
    return Moments(loglik, status, failed_at, gradient, sums, point)
