# SPDX-License-Identifier: BSD-3-Clause
r"""A state-space model as one dense Gaussian, for validation: all states at once, predicted by universal kriging.

Stack the states of one series, s = (x_1, ..., x_T) (x_0 in front where the model starts there). The transitions are one
linear system ``(I - L) s = f + w + E delta`` with L block sub-diagonal and delta the exactly diffuse part of the start, the
measurements are ``z = H s + g + v``. So s and z are Gaussian around a mean that is linear in the unknown delta:
``E z = mean + X delta``, ``Cov z = C``. The best linear unbiased prediction of a number t = mean_t + x_t delta + ... from z,
and its variance, come from the bordered system of universal kriging,

    [C  X] [weights]   [c_t ]
    [X' 0] [  mu   ] = [x_t'],      prediction mean_t + weights'(z - mean),    variance  c_tt - weights'c_t - mu'x_t',

and the likelihood from the contrasts that do not see delta. Costs grow like (T m)^3: for short series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.linear import Problem

_SUPPORT = 1e-9


class Moments(NamedTuple):
    """Means (T, q) and covariances (T, q, q)."""

    mean: Array
    cov: Array


class DenseSeries:
    """One series of a problem as a dense Gaussian.

    Parameters
    ----------
    problem : kelman.linear.Problem
        As the verbs lay it out; a fresh start (not one that goes on from a state).
    i : int
        Which series.
    """

    def __init__(self, problem: Problem, i: int) -> None:
        p = problem
        _, T, m = p.z.shape
        n = p.mean.shape[-1]
        self.n, self.m, self.T = n, m, T
        self.lead = lead = p.start_kind  # 1: x_0 stands in front
        self.z = np.asarray(p.z[i], dtype=np.float64)
        blocks = T + lead
        L = np.zeros((blocks, n, blocks, n))
        f = np.zeros((blocks, n))
        W = np.zeros((blocks, n, blocks, n))
        C_wv = np.zeros((blocks, n, T, m))
        f[0], W[0, :, 0] = p.mean[i], p.cov[i]
        for k in range(T):
            row = k + lead
            if row > 0:
                L[row, :, row - 1] = p.A[i, k]
                f[row] = self._drive(p, i, k)
                W[row, :, row] = p.Q[i, max(k - 1, 0)]
            if k > 0 and p.S is not None:
                C_wv[row, :, k - 1] = p.S[i, k - 1]
        size = blocks * n
        M = np.linalg.inv(np.eye(size) - L.reshape(size, size))
        H, R, g = np.zeros((T, m, blocks, n)), np.zeros((T, m, T, m)), np.zeros((T, m))
        for k in range(T):
            H[k, :, k + lead], R[k, :, k] = p.H[i, k], p.R[i, k]
            g[k] += 0 if p.D is None or p.u is None else p.D[i, k] @ p.u[i, k]
            g[k] += 0 if p.c is None else p.c[i, k]
        H2, cross = H.reshape(T * m, size), M @ C_wv.reshape(size, T * m)
        self.mean_s, self.cov_s = M @ f.reshape(-1), M @ W.reshape(size, size) @ M.T
        self.diffuse_s = M[:, :n] @ p.inf[i][:, : int(p.rank[i])]
        self.mean_z, self.X = H2 @ self.mean_s + g.reshape(-1), H2 @ self.diffuse_s
        self.cov_sz = self.cov_s @ H2.T + cross
        self.cov_z = H2 @ self.cov_sz + (H2 @ cross).T + R.reshape(T * m, T * m)

    @staticmethod
    def _drive(p: Problem, i: int, k: int) -> Array:
        total: Array = np.zeros(p.mean.shape[-1]) if p.b is None else np.array(p.b[i, k], dtype=np.float64)
        at = k - p.input_lag
        if p.B is not None and p.u is not None and at >= 0:
            total = total + p.B[i, k] @ p.u[i, at]
        return total

    def state(self, k: int) -> Array:
        """Rows of s that hold x_k (0-based)."""
        rows: Array = np.arange(self.n) + (k + self.lead) * self.n
        return rows

    def _rows(self, upto: int) -> Array:
        """Observed numbers of the first `upto` steps, without those that earlier ones predict exactly."""
        seen = np.flatnonzero(~np.isnan(self.z[:upto]).reshape(-1))
        work = (self.cov_z + self.X @ self.X.T)[np.ix_(seen, seen)]
        size, kept = np.diag(work).copy(), np.zeros(len(seen), dtype=bool)
        for j in range(len(seen)):
            if work[j, j] > _SUPPORT * size[j]:
                kept[j] = True
                work -= np.outer(work[:, j], work[j]) / work[j, j]
        return np.asarray(seen[kept])

    def given(self, upto: int, targets: Array) -> tuple[Array, Array]:
        """Mean and covariance of entries of s given the first `upto` measurements."""
        rows = self._rows(upto)
        C, X, _ = self._determined(rows)
        basis = self._row_space(rows)
        d = X.shape[1]
        bordered = np.block([[C, X], [X.T, np.zeros((d, d))]])
        right = np.vstack([self.cov_sz[np.ix_(targets, rows)].T, (self.diffuse_s[targets] @ basis).T])
        weights = np.linalg.solve(bordered, right)
        error = self.z.reshape(-1)[rows] - self.mean_z[rows]
        cov = self.cov_s[np.ix_(targets, targets)] - weights.T @ right
        return self.mean_s[targets] + weights[: len(rows)].T @ error, (cov + cov.T) / 2

    def _row_space(self, rows: Array) -> Array:
        """Orthonormal directions of delta that these rows determine (d, r)."""
        X = self.X[rows]
        if not X.size:
            return np.zeros((self.X.shape[1], 0))
        _, size, right = np.linalg.svd(X, full_matrices=False)
        return np.asarray(right[size > 1e-9 * max(size.max(), 1e-300)].T)

    def _determined(self, rows: Array) -> tuple[Array, Array, Array]:
        """Covariance, regressors in the determined directions, and contrasts free of delta."""
        X = self.X[rows] @ self._row_space(rows)
        left = np.linalg.svd(X)[0] if X.size else np.eye(len(rows))
        return self.cov_z[np.ix_(rows, rows)], X, left[:, X.shape[1] :]

    def loglik(self, upto: int | None = None) -> float:
        """Exact diffuse log-likelihood in the KFAS convention."""
        rows = self._rows(self.T if upto is None else upto)
        C, X, N = self._determined(rows)
        e = N.T @ (self.z.reshape(-1)[rows] - self.mean_z[rows])
        S = N.T @ C @ N
        total = len(e) * np.log(2 * np.pi) + np.linalg.slogdet(X.T @ X)[1]
        return float(-0.5 * (total + np.linalg.slogdet(S)[1] + e @ np.linalg.solve(S, e)))

    def filtered(self) -> Moments:
        """Moments of each state given the measurements so far."""
        return self._each(lambda k: self.given(k + 1, self.state(k)))

    def predicted(self) -> Moments:
        """Moments of each state given the measurements before."""
        return self._each(lambda k: self.given(k, self.state(k)))

    def smoothed(self) -> tuple[Moments, Array]:
        """Moments of each state given everything, and Cov(x_k, x_{k-1} | all) (entry 0 NaN without x_0)."""
        first = np.zeros(0, dtype=int) if not self.lead else np.arange(self.n)
        mean, cov = self.given(self.T, np.concatenate([first, *(self.state(k) for k in range(self.T))]))
        n, lead = self.n, self.lead
        steps = cov.reshape(self.T + lead, n, self.T + lead, n)
        lag = np.full((self.T, n, n), np.nan)
        for k in range(1 - lead, self.T):
            lag[k] = steps[k + lead, :, k + lead - 1]
        moments = self._each(lambda k: (mean[(k + lead) * n : (k + lead + 1) * n], steps[k + lead, :, k + lead]))
        return moments, lag

    def _each(self, at: Any) -> Moments:
        pairs = [at(k) for k in range(self.T)]
        return Moments(np.array([mean for mean, _ in pairs]), np.array([cov for _, cov in pairs]))

    def undetermined(self) -> bool:
        """Whether something of the start is still diffuse after all measurements."""
        return bool(self._row_space(self._rows(self.T)).shape[1] < self.X.shape[1])

    def condition(self) -> float:
        """Condition number of what has to be inverted."""
        C, X, N = self._determined(self._rows(self.T))
        inner = float(np.linalg.cond(N.T @ C @ N)) if N.size else 1.0
        return max(inner, float(np.linalg.cond(X)) if X.size else 1.0)
