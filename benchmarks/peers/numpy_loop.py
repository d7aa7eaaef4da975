"""The filter and the smoother as a textbook writes them: one series, one step at a time, in NumPy."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def kalman_filter(A: Array, H: Array, Q: Array, R: Array, m0: Array, P0: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return filtered means (N,T,n), covariances (N,T,n,n) and log-likelihoods (N,) of series z (N,T,m)."""
    (N, T, m), n = z.shape, A.shape[0]
    mean, cov, loglik = np.empty((N, T, n)), np.empty((N, T, n, n)), np.zeros(N)
    for i in range(N):
        x, P = m0, P0
        for k in range(T):
            x = A @ x
            P = A @ P @ A.T + Q
            e = z[i, k] - H @ x
            S = H @ P @ H.T + R
            K = np.linalg.solve(S, H @ P).T
            x = x + K @ e
            P = P - K @ H @ P
            P = (P + P.T) / 2
            mean[i, k], cov[i, k] = x, P
            loglik[i] -= 0.5 * (m * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + e @ np.linalg.solve(S, e))
    return mean, cov, loglik


def smoother(A: Array, H: Array, Q: Array, R: Array, m0: Array, P0: Array, z: Array) -> tuple[Array, Array]:
    """Return smoothed means and covariances by the Rauch-Tung-Striebel recursion."""
    mean, cov, _ = kalman_filter(A, H, Q, R, m0, P0, z)
    for i in range(z.shape[0]):
        for k in range(z.shape[1] - 2, -1, -1):
            ahead = A @ cov[i, k] @ A.T + Q
            G = np.linalg.solve(ahead, A @ cov[i, k]).T
            mean[i, k] += G @ (mean[i, k + 1] - A @ mean[i, k])
            cov[i, k] += G @ (cov[i, k + 1] - ahead) @ G.T
    return mean, cov
