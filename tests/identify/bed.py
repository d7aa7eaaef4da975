"""The test bed of the acceptance numbers: a noisy rotation seen in one coordinate, its predictor, and exact excess risk."""

from __future__ import annotations

import numpy as np
from scipy import linalg

import kelman

A = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
H = np.array([[1.0, 0.0]])
Q, R = 0.1 * np.eye(2), np.eye(1)
P = linalg.solve_discrete_are(A.T, H.T, Q, R)
SIGMA = H @ P @ H.T + R
K = A @ P @ H.T / SIGMA


def series(seed: int, T: int) -> np.ndarray:
    """z (T,) from a stationary start."""
    rng = np.random.default_rng(seed)
    x = np.linalg.cholesky(linalg.solve_discrete_lyapunov(A, Q)) @ rng.normal(size=2)
    w, v = np.sqrt(0.1) * rng.normal(size=(T, 2)), rng.normal(size=T)
    z = np.empty(T)
    for k in range(T):
        z[k] = x[0] + v[k]
        x = A @ x + w[k]
    return z


def excess(net: kelman.Elman) -> float:
    """tr(Sigma^-1 Delta) of a linear one-step predictor, by one Lyapunov equation on plant, filter and network."""
    n = net.dims.hidden
    Z = np.block(
        [
            [A, np.zeros((2, 2)), np.zeros((2, n))],
            [K @ H, A - K @ H, np.zeros((2, n))],
            [net.W @ H, np.zeros((n, 2)), net.U],
        ]
    )
    G = np.block([[np.eye(2), np.zeros((2, 1))], [np.zeros((2, 2)), K], [np.zeros((n, 2)), net.W]])
    S = linalg.solve_discrete_lyapunov(Z, G @ linalg.block_diag(Q, R) @ G.T)
    d = np.hstack([np.zeros((1, 2)), H, -net.V])
    mean = net.V @ np.linalg.solve(np.eye(n) - net.U, net.b) + net.c
    return float((d @ S @ d.T + mean**2)[0, 0] / SIGMA[0, 0])


def simulated_excess(net: kelman.Elman, T: int = 100_000) -> float:
    """The same for any network, paired with the filter on fresh data."""
    from scipy import signal

    z = series(10_000, T)
    system = signal.dlti(A - K @ H, K, H, np.zeros((1, 1)), dt=1)
    best = system.output(np.append(z, 0.0)[:, None], t=np.arange(T + 1))[1][1:, 0]
    error = kelman.forward(net, z).y[:, 0] - best
    return float(np.mean(error[200:] ** 2) / SIGMA[0, 0])
