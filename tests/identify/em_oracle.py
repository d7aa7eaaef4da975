# SPDX-License-Identifier: BSD-3-Clause
"""EM as in textbooks, by the dense joint Gaussian of all states and measurements: obviously right, and slow.

`second_moments` gives the expected second moments of every regression of a model; `whole_step` the closed forms of
Shumway and Stoffer (1982) for matrices that are all free; `expected_loglik` the function that an M-step maximises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.oracles import Dense, matrices


@dataclass
class Regression:
    """target on regressors: E sums xx (d, d), xy (d, q), yy (q, q), and the number of steps."""

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    count: float

    def residual(self, M: np.ndarray) -> np.ndarray:
        """Sum of E[(x - M y)(x - M y)']."""
        return self.xx - M @ self.xy.T - self.xy @ M.T + M @ self.yy @ M.T


def _zero(d: int, q: int) -> Regression:
    return Regression(np.zeros((d, d)), np.zeros((d, q)), np.zeros((q, q)), 0.0)


def _add(total: Regression, mean: np.ndarray, cov: np.ndarray, d: int) -> None:
    square = np.outer(mean, mean) + cov
    total.xx += square[:d, :d]
    total.xy += square[:d, d:]
    total.yy += square[d:, d:]
    total.count += 1


def _known(mean: np.ndarray, cov: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments with known numbers put behind."""
    whole = np.zeros((len(mean) + len(extra),) * 2)
    whole[: len(mean), : len(mean)] = cov
    return np.r_[mean, extra], whole


def second_moments(
    model: Any, z: list[np.ndarray], u: list[np.ndarray] | None, *, rows: bool
) -> tuple[Regression, list[Regression], Regression]:
    """Sums over series: of the transition; of the measurement, by component (`rows`) or as one; of the first state.

    By component: only measured values count. As one: of a step that is measured in part, the rest is unknown, too.
    """
    n, m, p = model.dims.n, model.dims.m, model.dims.p
    q = n + p + 1
    move, first = _zero(n, q), _zero(n, 1)
    seen = [_zero(1, q) for _ in range(m)] if rows else [_zero(m, q)]
    for i, one in enumerate(z):
        T = len(one)
        given = np.zeros((T, p)) if u is None else u[i]
        dense = Dense(model, one, None if u is None else given)
        before = dense.kind == "x0"
        start = dense.given(T, dense.x(-1 if before else 0))
        _add(first, *_known(start.mean, start.cov, np.ones(1)), n)
        for k in range(T):
            if k > 0 or before:
                both = dense.given(T, np.r_[dense.x(k), dense.x(k - 1)])
                driving = given[k - model.input_lag] if k >= model.input_lag else np.zeros(p)
                _add(move, *_known(both.mean, both.cov, np.r_[driving, 1.0]), n)
            known = ~np.isnan(one[k])
            if not known.any():
                continue
            both = dense.given(T, np.r_[dense.measured(k), dense.x(k)])
            mean, cov = both.mean.copy(), both.cov.copy()
            cov[:m][known] = 0.0  # what is measured is known
            cov[:, :m][:, known] = 0.0
            mean[:m][known] = one[k][known]
            mean, cov = _known(mean, cov, np.r_[given[k], 1.0])
            if not rows:
                _add(seen[0], mean, cov, m)
            for j in np.flatnonzero(known) if rows else []:
                pick = np.r_[j, m : m + q]
                _add(seen[j], mean[pick], cov[np.ix_(pick, pick)], 1)
    return move, seen, first


def whole_step(regression: Regression) -> tuple[np.ndarray, np.ndarray]:
    """M = Sxy Syy^-1 and W = (Sxx - M Sxy') / count."""
    M = np.linalg.solve(regression.yy, regression.xy.T).T
    return M, regression.residual(M) / regression.count


def expected_loglik(regression: Regression, M: np.ndarray, W: np.ndarray) -> float:
    """Expected log-density of the targets given the regressors, up to a constant."""
    _, logdet = np.linalg.slogdet(W)
    return float(-0.5 * (regression.count * logdet + np.trace(np.linalg.solve(W, regression.residual(M)))))


def system(model: Any) -> dict[str, np.ndarray]:
    """[A B b], Q, [H D c], R of a constant model."""
    at = matrices(model, 0)
    return {
        "AB": np.hstack([at.A, at.B, at.b[:, None]]),
        "Q": at.Q,
        "HD": np.hstack([at.H, at.D, at.c[:, None]]),
        "R": at.R,
    }
