"""The filter and the smoother as a textbook writes them: one series, one step at a time, in NumPy.

The judge of every answer, and a peer for those who would write it themselves. Complex numbers pass through, so that a
derivative is an imaginary part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problems import MATRICES, Model, Problem

NAME = "textbook NumPy loop"
LOOPS = True
GAPS = {"none", "whole", "single"}

Array = np.ndarray


def forward(model: Model, z: Array) -> tuple[Array, Array, Any]:
    """Return filtered means (T,n), covariances (T,n,n) and the log-likelihood of one series (T,m), NaN = missing."""
    A, H, Q, R, x, P = (getattr(model, name) for name in MATRICES)
    T, n = len(z), model.n
    kind = np.result_type(A, H, Q, R, x, P)
    mean, cov, loglik = np.empty((T, n), kind), np.empty((T, n, n), kind), 0.0
    for k in range(T):
        x = A @ x
        P = A @ P @ A.T + Q
        seen = np.isfinite(z[k])
        if seen.any():
            h = H[seen]
            e = z[k, seen] - h @ x
            S = h @ P @ h.T + R[np.ix_(seen, seen)]
            K = np.linalg.solve(S, h @ P).T
            x = x + K @ e
            P = P - K @ h @ P
            P = (P + P.T) / 2
            loglik -= 0.5 * (seen.sum() * np.log(2 * np.pi) + np.log(np.linalg.det(S)) + e @ np.linalg.solve(S, e))
        mean[k], cov[k] = x, P
    return mean, cov, loglik


def backward(model: Model, mean: Array, cov: Array) -> tuple[Array, Array]:
    """Return smoothed means and covariances of one series by the Rauch-Tung-Striebel recursion."""
    A, Q = model.A, model.Q
    mean, cov = mean.copy(), cov.copy()
    for k in range(len(mean) - 2, -1, -1):
        ahead = A @ cov[k] @ A.T + Q
        G = np.linalg.solve(ahead, A @ cov[k]).T
        mean[k] += G @ (mean[k + 1] - A @ mean[k])
        cov[k] += G @ (cov[k + 1] - ahead) @ G.T
    return mean, cov


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filter the series one after another."""

    def run() -> dict[str, Array]:
        every = [forward(problem.model.of(i), z) for i, z in enumerate(problem.z)]
        return {"mean": np.array([x[0] for x in every]), "cov": np.array([x[1] for x in every])}

    return run, lambda result, few: {name: array[:few] for name, array in result.items()}


def loglik(problem: Problem) -> tuple[Any, Any]:
    """Log-likelihoods of the series one after another."""

    def run() -> Array:
        return np.array([forward(problem.model.of(i), z)[2] for i, z in enumerate(problem.z)])

    return run, lambda result, few: {"loglik": result[:few]}


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Smooth the series one after another."""

    def run() -> dict[str, Array]:
        every = []
        for i, z in enumerate(problem.z):
            model = problem.model.of(i)
            every.append(backward(model, *forward(model, z)[:2]))
        return {"mean": np.array([x[0] for x in every]), "cov": np.array([x[1] for x in every])}

    return run, lambda result, few: {name: array[:few] for name, array in result.items()}


def em(problem: Problem) -> tuple[Any, Any]:
    """EM of each series by itself, everything free (Shumway and Stoffer, 1982); the log-likelihoods on the way."""

    def one(model: Model, z: Array, steps: int) -> Array:
        A, H, Q, R = (getattr(model, name) for name in "AHQR")
        m1, P1 = model.first
        found = np.empty(steps)
        for step in range(steps):
            # the first state stands for x_0, one step before which nothing moved
            still = Model(A, H, Q, R, m1, P1)
            mean, cov, found[step] = forward_from(still, z)
            mean, cov, lag = backward_lag(still, mean, cov)
            past = cov[:-1].sum(0) + mean[:-1].T @ mean[:-1]
            cross = lag.sum(0) + mean[1:].T @ mean[:-1]
            now = cov[1:].sum(0) + mean[1:].T @ mean[1:]
            every = cov.sum(0) + mean.T @ mean
            A = np.linalg.solve(past, cross.T).T
            Q = (now - A @ cross.T) / (len(z) - 1)
            H = np.linalg.solve(every, mean.T @ z).T
            R = (z.T @ z - H @ mean.T @ z) / len(z)
            Q, R, m1, P1 = (Q + Q.T) / 2, (R + R.T) / 2, mean[0], cov[0]
        return found

    def run(steps: int = 20) -> Array:
        return np.array([one(problem.model.of(i), z, steps) for i, z in enumerate(problem.z)])

    return run, lambda result, few: {"loglik": result[:few, :5]}


def variances(problem: Problem) -> tuple[Any, Any]:
    """The likelihood at the most likely Q and R of each series by itself, by a simplex of their logarithms."""
    from scipy.optimize import minimize

    model = problem.model
    m1, P1 = model.first

    def best(z: Array) -> float:
        def lost(eta: Array) -> float:
            Q, R = np.exp(eta)[:, None, None]
            return -float(forward_from(Model(model.A, model.H, Q, R, m1, P1), z)[2])

        spread = float(np.log(np.diff(z, axis=0).var() / 3))
        return -float(
            minimize(lost, [spread, spread], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).fun
        )

    return lambda: np.array([best(z) for z in problem.z]), lambda result, few: {"loglik": result[:few]}


def forward_from(model: Model, z: Array) -> tuple[Array, Array, float]:
    """As `forward`, but m0 and P0 are those of the state at the first measurement."""
    undone = np.linalg.solve(model.A, model.m0)  # A x_0 = m_1, A P_0 A' + Q = P_1: what `forward` will make of it
    before = np.linalg.solve(model.A, np.linalg.solve(model.A, model.P0 - model.Q).T)
    return forward(Model(model.A, model.H, model.Q, model.R, undone, before), z)


def backward_lag(model: Model, mean: Array, cov: Array) -> tuple[Array, Array, Array]:
    """As `backward`, and the covariances of neighbouring states (T-1,n,n)."""
    A, Q = model.A, model.Q
    gains = [np.linalg.solve(A @ P @ A.T + Q, A @ P).T for P in cov[:-1]]
    mean, cov = backward(model, mean, cov)
    return mean, cov, np.array([P @ G.T for P, G in zip(cov[1:], gains, strict=True)])


def both(problem: Problem) -> tuple[Any, Any]:
    """Filtered and smoothed moments."""

    def run() -> dict[str, Array]:
        every = []
        for i, z in enumerate(problem.z):
            model = problem.model.of(i)
            filtered = forward(model, z)[:2]
            every.append((*filtered, *backward(model, *filtered)))
        names = ("mean", "cov", "smoothed_mean", "smoothed_cov")
        return {name: np.array([x[j] for x in every]) for j, name in enumerate(names)}

    return run, lambda result, few: {name: array[:few] for name, array in result.items()}
