# SPDX-License-Identifier: BSD-3-Clause
"""The predictor of low order that is nearest to given responses in mean-square one-step prediction.

With responses theta_i = H F^{i-1} [K G] (i >= 1), theta_0 = [0 D] and the covariance Gamma of the inputs [u_t, y_{t-1}, y_{t-2}, ...],

    cost(F, K, G, H, D) = tr Sigma^-1 (theta - theta*) Gamma (theta - theta*)'

is the excess risk between the two predictors. It is minimised by Gauss-Newton, started from weighted Ho-Kalman: balanced truncation
of the predictor with the covariance of its inputs as weight. With theta* the least-squares responses of the data, the minimum is
the prediction-error estimate (Ljung, *System Identification*, 1999, ch. 7); with theta* those of a trained network, it is the
network's projection onto systems of this order. The Jacobian of the same cost gives the Fisher information of the predictor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kelman.bridge._data import FloatArray
from kelman.bridge._moments import Moments

__all__: list[str] = []

_STABLE = 1 - 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """Weights of the cost: W' W = Sigma^-1 and C C' = Gamma over the admissible columns."""

    moments: Moments
    direct: bool
    whiten: FloatArray
    factor: FloatArray

    def residual(self, theta: FloatArray, goal: FloatArray) -> FloatArray:
        """Weighted difference (m, columns); its sum of squares is the cost."""
        return self.whiten @ self.moments.flatten(theta - goal, self.direct) @ self.factor


def metric_of(moments: Moments, Sigma: FloatArray, direct: bool) -> Metric:
    """Metric from the moments of a record and an innovation covariance."""
    return Metric(moments, direct, _inverse_root(Sigma), _root(moments.regressor_cov(direct)))


def _root(cov: FloatArray) -> FloatArray:
    """Square root C with C C' = cov, also where cov is singular."""
    values, vectors = np.linalg.eigh(cov)
    root: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _inverse_root(cov: FloatArray) -> FloatArray:
    """W with W' W = cov^-1; directions without variance get the weight of the smallest sensible one."""
    values, vectors = np.linalg.eigh(cov)
    floor = max(float(values[-1]), 1e-300) * 1e-12
    root: FloatArray = (vectors / np.sqrt(np.maximum(values, floor))).T
    return root


@dataclass(frozen=True, slots=True, eq=False)
class Realisation:
    """Matrices of a predictor without offsets."""

    F: FloatArray
    KG: FloatArray
    H: FloatArray
    D: FloatArray

    @property
    def n(self) -> int:
        """Number of states."""
        return len(self.F)

    def responses(self, lags: int) -> FloatArray:
        """Theta (lags + 1, m, q)."""
        m, q = self.H.shape[0], self.KG.shape[1]
        out = np.zeros((lags + 1, m, q))
        out[0, :, q - self.D.shape[1] :] = self.D
        block = self.KG
        for i in range(1, lags + 1):
            out[i] = self.H @ block
            block = self.F @ block
        return out

    def jacobian(self, lags: int, direct: bool) -> FloatArray:
        """Derivatives of theta by [F, KG, H (, D)], each row-wise: shape (lags + 1, m, q, parameters)."""
        n, q, m, p = self.n, self.KG.shape[1], self.H.shape[0], self.D.shape[1]
        sizes = [n * n, n * q, m * n, m * p if direct else 0]
        at = np.concatenate([[0], np.cumsum(sizes)])
        out = np.zeros((lags + 1, m, q, int(at[-1])))
        if direct and p:
            units = np.eye(m * p).reshape(m, p, m * p)
            out[0, :, q - p :, at[3] :] = units
        X = self.KG
        dX = np.zeros((n, q, n * n + n * q))
        dX[:, :, n * n :] = np.eye(n * q).reshape(n, q, n * q)
        rows = np.arange(n)
        units_m = np.arange(m)
        dH = out[..., at[2] : at[3]].reshape(lags + 1, m, q, m, n)  # a view
        for i in range(1, lags + 1):
            out[i, :, :, : at[2]] = np.tensordot(self.H, dX, axes=1)
            dH[i, units_m, :, units_m, :] = X.T
            dX = np.tensordot(self.F, dX, axes=1)
            dX[:, :, : n * n].reshape(n, q, n, n)[rows, :, rows, :] += X.T
            X = self.F @ X
        return out

    def moved(self, step: FloatArray, direct: bool) -> Realisation:
        """Parameters plus a step."""
        n, q, m, p = self.n, self.KG.shape[1], self.H.shape[0], self.D.shape[1]
        cut = np.cumsum([n * n, n * q, m * n])
        D = self.D + step[cut[2] :].reshape(m, p) if direct and p else self.D
        return Realisation(
            self.F + step[: cut[0]].reshape(n, n),
            self.KG + step[cut[0] : cut[1]].reshape(n, q),
            self.H + step[cut[1] : cut[2]].reshape(m, n),
            D,
        )

    def balanced(self, lags: int) -> Realisation:
        """The same system in coordinates where observability and reachability over ``lags`` steps are equal and diagonal."""
        if self.n == 0:
            return self
        obs, reach = np.zeros((self.n, self.n)), np.zeros((self.n, self.n))
        O, X = self.H, self.KG
        for _ in range(lags):
            obs += O.T @ O
            reach += X @ X.T
            O, X = O @ self.F, self.F @ X
        left, right = _root(obs), _root(reach)
        U, s, Vt = np.linalg.svd(left.T @ right)
        if s[-1] <= 1e-12 * s[0]:
            return self
        T = right @ Vt.T / np.sqrt(s)
        Ti = (U / np.sqrt(s)).T @ left.T
        return Realisation(Ti @ self.F @ T, Ti @ self.KG, self.H @ T, self.D)


def weighted_hankel(theta: FloatArray, metric: Metric) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Singular values and left vectors of the Hankel matrix of the responses, weighted as the cost is; with the raw matrix.

    Returns (values, left vectors unweighted, raw Hankel, D). The values are the canonical-like Hankel singular values of the predictor.
    """
    m, q = theta.shape[1:]
    past = max((len(theta) - 1) // 2, 1)
    future = len(theta) - past
    raw = np.block([[theta[i + j + 1] for j in range(past)] for i in range(future)])
    rows = raw.shape[0] // m
    weight = np.kron(np.eye(rows), metric.whiten)
    right = _root(metric.moments.past_cov(past))
    U, s, _ = np.linalg.svd(weight @ raw @ right, full_matrices=False)
    back = np.kron(np.eye(rows), np.linalg.inv(metric.whiten))
    return s, back @ U, raw, theta[0][:, q - metric.moments.p :]


def ho_kalman(hankel: tuple[FloatArray, FloatArray, FloatArray, FloatArray], m: int, q: int, order: int) -> Realisation:
    """Realisation of an order from the decomposition of :func:`weighted_hankel`, with its slow modes drawn inside the circle."""
    s, left, raw, D = hankel
    if order == 0:
        return Realisation(np.zeros((0, 0)), np.zeros((0, q)), np.zeros((m, 0)), D)
    observe = left[:, :order] * np.sqrt(np.maximum(s[:order], 1e-300))
    reach = np.linalg.lstsq(observe, raw, rcond=None)[0]
    F = np.linalg.lstsq(observe[:-m], observe[m:], rcond=None)[0] if len(observe) > m else np.zeros((order, order))
    return Realisation(_stabilised(F), reach[:, :q], observe[:m], D)


def _stabilised(F: FloatArray, limit: float = 0.999) -> FloatArray:
    """F with eigenvalues beyond the limit brought back to it (a start for Gauss-Newton, no estimate)."""
    values, vectors = np.linalg.eig(F)
    size = np.abs(values)
    if size.max(initial=0.0) < limit or np.linalg.cond(vectors) > 1e10:
        return F if size.max(initial=0.0) < limit else F * (limit / size.max())
    values = np.where(size >= limit, values / size * limit, values)
    return np.real((vectors * values) @ np.linalg.inv(vectors))


def gauss_newton(
    start: Realisation,
    goal: FloatArray,
    metric: Metric,
    *,
    steps: int = 60,
    tolerance: float = 1e-10,
    enough: float = 1e-18,
) -> tuple[Realisation, float]:
    """Nearest realisation of the start's order, and its cost; every accepted step lowers the cost and keeps F stable.

    It ends when the quadratic model promises less than ``enough``, or less than ``tolerance`` of the cost.
    """
    lags = metric.moments.lags
    here = start.balanced(lags)
    residual = metric.residual(here.responses(lags), goal)
    cost = float(np.sum(residual**2))
    damping = 0.0
    if free_parameters(here.n, metric.moments.m, metric.moments.p, metric.direct) == 0:
        return here, cost
    for _ in range(steps):
        s, V, along = _directions(weighted_jacobian(here, metric), residual.ravel())
        gain = float(np.sum(along**2))
        if gain <= max(tolerance * cost, enough):
            break
        moved = False
        for _ in range(12):
            trial = here.moved(-(V @ (s / (s**2 + damping * s[0] ** 2) * along)), metric.direct)
            if trial.n == 0 or np.abs(np.linalg.eigvals(trial.F)).max() < _STABLE:
                new = metric.residual(trial.responses(lags), goal)
                value = float(np.sum(new**2))
                if value < cost:
                    moved = True
                    break
            damping = max(damping * 8, 1e-5)
        if not moved:
            break
        damping = damping / 10 if damping > 1e-9 else 0.0
        small = cost - value <= max(tolerance * cost, enough / 10)
        here, residual, cost = trial, new, value
        if small:
            break
    return here, cost


def _directions(J: FloatArray, residual: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Singular values and right vectors of J without its null space, and the residual along the left ones."""
    if J.shape[1] <= 64:
        U, s, Vt = np.linalg.svd(J, full_matrices=False)
        keep = s > 1e-9 * s[0]
        return s[keep], Vt[keep].T, (U.T @ residual)[keep]
    values, vectors = np.linalg.eigh(J.T @ J)  # many parameters: half the digits, a tenth of the time
    keep = values > 1e-13 * values[-1]
    s, V = np.sqrt(values[keep])[::-1], vectors[:, keep][:, ::-1]
    return s, V, (J.T @ residual) @ V / s


def weighted_jacobian(system: Realisation, metric: Metric) -> FloatArray:
    """Derivatives of the weighted residual, shape (m columns, parameters)."""
    lags = metric.moments.lags
    J = system.jacobian(lags, metric.direct)
    m, q, d = J.shape[1:]
    flat = np.moveaxis(J, 0, 1).reshape(m, (lags + 1) * q, d)[:, metric.moments.columns(metric.direct)]
    right = np.matmul(metric.factor.T, flat)
    return np.tensordot(metric.whiten, right, axes=1).reshape(-1, d)


def free_parameters(n: int, m: int, p: int, direct: bool) -> int:
    """Identifiable parameters of a predictor of order n: n (2 m + p), and m p for the direct term."""
    return n * (2 * m + p) + (m * p if direct else 0)


def parameter_cov(system: Realisation, metric: Metric) -> FloatArray:
    """Covariance of [F, KG, H (, D)] from the Fisher information of the predictor (pseudo-inverse over the free basis)."""
    J = weighted_jacobian(system, metric)
    _, s, Vt = np.linalg.svd(J, full_matrices=False)
    rank = min(
        free_parameters(system.n, metric.moments.m, metric.moments.p, metric.direct), int(np.sum(s > 1e-10 * s[0]))
    )
    half = Vt[:rank].T / s[:rank]
    cov: FloatArray = half @ half.T / metric.moments.count
    return cov


def pole_sensitivity(system: Realisation, direct: bool) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues of A = F + K H and their derivatives by [F, KG, H (, D)], shape (n, parameters), complex."""
    n, q, m, p = system.n, system.KG.shape[1], system.H.shape[0], system.D.shape[1]
    K = system.KG[:, : q - p]
    A = system.F + K @ system.H
    values, right = np.linalg.eig(A)
    left = np.linalg.pinv(right)
    out = []
    for i in range(n):
        y, x = left[i], right[:, i]
        dF = np.outer(y, x)
        dKG = np.zeros((n, q), dtype=complex)
        dKG[:, : q - p] = np.outer(y, system.H @ x)
        dH = np.outer(y @ K, x)
        tail = [np.zeros(m * p)] if direct else []
        out.append(np.concatenate([dF.ravel(), dKG.ravel(), dH.ravel(), *tail]))
    return values, np.array(out).reshape(n, -1)


def pole_cov(sensitivity: FloatArray, cov: FloatArray) -> FloatArray:
    """Covariances (n, 2, 2) of real and imaginary part by the delta method."""
    parts = np.stack([sensitivity.real, sensitivity.imag], axis=1)
    covs: FloatArray = np.einsum("iap,pq,ibq->iab", parts, cov, parts)
    return covs
