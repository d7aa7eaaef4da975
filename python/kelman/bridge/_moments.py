# SPDX-License-Identifier: BSD-3-Clause
"""Second moments of a record over a window of lags: all that a linear one-step predictor can know of it.

For y_t = [z_t; u_t] and the window [y_t, y_{t-1}, ..., y_{t-L}] the centred sums of products are exact (no edge is dropped or
padded), at the price of one pass over the record per lag:

    M_{0,d} = sum_t y_t y_{t-d}',     M_{i+1,i+1+d} = M_{i,i+d} + y_{L-1-i} y_{L-1-i-d}' - y_{T-1-i} y_{T-1-i-d}'.

Every predictor with responses theta_i (see `LinearPredictor.markov`) then has its mean-square error in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.bridge._data import FloatArray
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from kelman.bridge._predictor import LinearPredictor

__all__: list[str] = []


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Covariances of the window [y_t .. y_{t-lags}], its means, and the number of windows."""

    cov: FloatArray
    """Shape ((lags + 1) q, (lags + 1) q)."""
    mean: FloatArray
    """Shape (lags + 1, q)."""
    count: int
    lags: int
    m: int
    p: int

    @property
    def q(self) -> int:
        """Width m + p of y."""
        return self.m + self.p

    def columns(self, direct: bool) -> FloatArray:
        """Indices of the window that may predict z_t: the past, and u_t if ``direct``."""
        first = np.arange(self.m, self.q) if direct else np.arange(0)
        return np.concatenate([first, np.arange(self.q, self.q * (self.lags + 1))])

    def regressor_cov(self, direct: bool) -> FloatArray:
        """Covariance of the admissible part of the window."""
        at = self.columns(direct)
        part: FloatArray = self.cov[np.ix_(at, at)]
        return part

    def cross_cov(self, direct: bool) -> FloatArray:
        """Covariance of z_t with the admissible part of the window."""
        cross: FloatArray = self.cov[: self.m][:, self.columns(direct)]
        return cross

    def past_cov(self, steps: int) -> FloatArray:
        """Covariance of [y_{t-1} .. y_{t-steps}]."""
        q = self.q
        return self.cov[q : q * (steps + 1), q : q * (steps + 1)]

    def error_cov(self, theta: FloatArray) -> FloatArray:
        """Mean square of z_t less its prediction by the responses theta (lags + 1, m, q), each with its best constant."""
        full = -np.concatenate(list(theta), axis=1)
        full[:, : self.m] += np.eye(self.m)
        value: FloatArray = full @ self.cov @ full.T
        return (value + value.T) / 2

    def least_squares(self, direct: bool) -> FloatArray:
        """Responses (lags + 1, m, q) of the best predictor with this memory."""
        G = self.regressor_cov(direct)
        flat = np.linalg.lstsq(G, self.cross_cov(direct).T, rcond=1e-12)[0].T
        return self.unflatten(flat, direct)

    def unflatten(self, flat: FloatArray, direct: bool) -> FloatArray:
        """Responses (lags + 1, m, q) from their admissible columns (m, .)."""
        full = np.zeros((len(flat), self.q * (self.lags + 1)))
        full[:, self.columns(direct)] = flat
        return np.ascontiguousarray(np.swapaxes(full.reshape(len(flat), self.lags + 1, self.q), 0, 1))

    def flatten(self, theta: FloatArray, direct: bool) -> FloatArray:
        """Admissible columns (m, .) of responses."""
        return np.concatenate(list(theta), axis=1)[:, self.columns(direct)]


def moments_of(
    zs: list[FloatArray], us: list[FloatArray], lags: int, targets: list[FloatArray] | None = None
) -> Moments:
    """Moments of a list of series; ``targets`` (for the response of a network) replace z_t at lag 0 of the window."""
    m, p = zs[0].shape[1], us[0].shape[1]
    q = m + p
    use = [i for i, z in enumerate(zs) if len(z) > lags]
    if not use:
        raise KelmanError(f"z: expected at least {lags + 2} steps for a memory of {lags} lags, got {max(map(len, zs))}")
    centre = np.concatenate([np.hstack([zs[i], us[i]]) for i in use]).mean(axis=0)
    shift = np.zeros(m) if targets is None else np.concatenate([targets[i] for i in use]).mean(axis=0)
    width = q * (lags + 1)
    total, sums, count = np.zeros((width, width)), np.zeros(width), 0
    for i in use:
        y = np.hstack([zs[i], us[i]]) - centre
        head = None if targets is None else targets[i] - shift
        block, part, n = _window_sums(y, lags, head)
        total += block
        sums += part
        count += n
    mean = sums / count
    cov = total / count - np.outer(mean, mean)
    offsets = np.tile(centre, lags + 1)
    if targets is not None:
        offsets[:m] = shift
    return Moments((cov + cov.T) / 2, (mean + offsets).reshape(lags + 1, q), count, lags, m, p)


def _window_sums(y: FloatArray, lags: int, head: FloatArray | None) -> tuple[FloatArray, FloatArray, int]:
    """Sums of products and sums over all windows of one series; ``head`` (T, m) stands in for the first m columns at lag 0."""
    T, q = y.shape
    L = lags
    gram = np.empty((L + 1, q, L + 1, q))
    for d in range(L + 1):
        first = y[L:].T @ y[L - d : T - d]
        gram[0, :, d, :] = first
        if d < L:
            s = np.arange(L - d)
            gain = (
                y[L - 1 - s][:, :, None] * y[L - 1 - s - d][:, None, :]
                - y[T - 1 - s][:, :, None] * y[T - 1 - s - d][:, None, :]
            )
            gram[s + 1, :, s + 1 + d, :] = first + np.cumsum(gain, axis=0)
    for i in range(L + 1):  # the other triangle
        gram[i + 1 :, :, i, :] = gram[i, :, i + 1 :, :].transpose(1, 2, 0)
    sums = np.array([y[L - i : T - i].sum(axis=0) for i in range(L + 1)])
    if head is not None:
        m = head.shape[1]
        h = head[L:]
        for d in range(1, L + 1):
            gram[0, :m, d, :] = h.T @ y[L - d : T - d]
            gram[d, :, 0, :m] = gram[0, :m, d, :].T
        gram[0, :m, 0, m:] = h.T @ y[L:, m:]
        gram[0, m:, 0, :m] = gram[0, :m, 0, m:].T
        gram[0, :m, 0, :m] = h.T @ h
        sums[0, :m] = h.sum(axis=0)
    width = q * (L + 1)
    return gram.reshape(width, width), sums.reshape(width), T - L


def moments_of_model(predictor: LinearPredictor, Sigma: FloatArray, lags: int) -> Moments:
    """Moments that the model behind a predictor implies, with white inputs of unit variance; identity where A is not stable.

    With w = [e; u]: x_{t+1} = A x_t + Bw w_t, y_t = C x_t + Dw w_t, Gamma_0 = C P C' + Dw W Dw', Gamma_d = C A^{d-1} (A P C' + Bw W Dw').
    """
    m, p, n = predictor.m, predictor.p, predictor.n
    q, A = m + p, predictor.A
    width = q * (lags + 1)
    if n and np.abs(np.linalg.eigvals(A)).max() >= 1 - 1e-8:
        cov = np.kron(np.eye(lags + 1), np.diag([*np.diag(Sigma), *np.ones(p)]))
        return Moments(cov, np.zeros((lags + 1, q)), 0, lags, m, p)
    from kelman.lti import lyapunov

    noise = np.zeros((q, q))
    noise[:m, :m], noise[m:, m:] = Sigma, np.eye(p)
    drive = np.hstack([predictor.K, predictor.B])
    direct = np.block([[np.eye(m), predictor.D], [np.zeros((p, m)), np.eye(p)]])
    read = np.vstack([predictor.H, np.zeros((p, n))])
    P = lyapunov(A, drive @ noise @ drive.T) if n else np.zeros((0, 0))
    gamma = np.empty((lags + 1, q, q))
    gamma[0] = read @ P @ read.T + direct @ noise @ direct.T
    carry = A @ P @ read.T + drive @ noise @ direct.T
    for d in range(1, lags + 1):
        gamma[d] = read @ carry
        carry = A @ carry
    steps = np.arange(lags + 1)
    lag = steps[None, :] - steps[:, None]
    blocks = np.where((lag >= 0)[:, :, None, None], gamma[np.abs(lag)], np.swapaxes(gamma[np.abs(lag)], -1, -2))
    cov = blocks.transpose(0, 2, 1, 3).reshape(width, width)
    return Moments((cov + cov.T) / 2, np.zeros((lags + 1, q)), 0, lags, m, p)
