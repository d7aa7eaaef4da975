# SPDX-License-Identifier: BSD-3-Clause
"""Covariances of what a fit identifies, by the delta method from the inverse information of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.identify._predictor import Predictor
from kelman.lti import balance, spectral_radius
from kelman.lti._derivatives import pole_covariance

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.identify._predictor import Free
    from kelman.lti._check import FloatArray


@dataclass(frozen=True, eq=False)
class Frame:
    """The linear map from a predictor of standardised data to one of the user's data in another basis.

    z = mean_z + scale_z z', u = mean_u + scale_u u', s = to_new s'.
    """

    mean_z: FloatArray
    scale_z: FloatArray
    mean_u: FloatArray
    scale_u: FloatArray
    to_new: FloatArray
    to_old: FloatArray

    def __call__(self, theta1: FloatArray, theta2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map both parameter blocks (linear in them, up to the constant mean_z in c)."""
        return self._map(theta1, theta2, self.mean_z)

    def _map(self, theta1: FloatArray, theta2: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        n, m = len(theta1), len(theta2)
        F, K, B, b = np.split(self.to_new @ theta1, [n, n + m, theta1.shape[1] - 1], axis=1)
        K, B = K / self.scale_z, B / self.scale_u
        b = b - (K @ self.mean_z + B @ self.mean_u)[:, None]
        H, D, c = np.split(theta2, [n, theta2.shape[1] - 1], axis=1)
        H = self.scale_z[:, None] * H @ self.to_old
        D = self.scale_z[:, None] * D / self.scale_u
        c = mean[:, None] + self.scale_z[:, None] * c - (D @ self.mean_u)[:, None]
        return np.hstack([F @ self.to_old, K, B, b]), np.hstack([H, D, c])

    def model(self, old: Predictor) -> Predictor:
        """Return the predictor in the user's units."""
        theta1, theta2 = self(old.theta1, old.theta2)
        return Predictor(theta1, theta2, self.to_new @ old.x1)

    def factor(self, half: FloatArray, free: Free, n: int, m: int, p: int) -> FloatArray:
        """Map the columns of a factor of the covariance (d, r) to all parameters of the new predictor."""
        columns = []
        q, zero = len(free.one), np.zeros(m)
        for column in half.T:
            theta1, theta2 = np.zeros((n, n + m + p + 1)), np.zeros((m, n + p + 1))
            theta1[:, free.one] = column[: n * q].reshape(n, q)
            theta2[:, free.two] = column[n * q :].reshape(m, len(free.two))
            columns.append(np.concatenate([part.ravel() for part in self._map(theta1, theta2, zero)]))
        return np.array(columns).reshape(len(columns), -1).T


def canonical_frame(model: Predictor) -> tuple[FloatArray, FloatArray]:
    """Maps (to, from) the balanced basis of the predictor, with the sum of each column of H made non-negative."""
    n = model.n
    identity = np.eye(n)
    drive = model.theta1[:, n:-1]
    if not spectral_radius(model.F) < 1 - 1e-8:
        return identity, identity
    system = balance(model.F, drive, model.H)
    if len(system.T) < n or system.hankel[-1] < 1e-7 * system.hankel[0]:
        return identity, identity
    sign = np.where(system.H.sum(0) < 0, -1.0, 1.0)
    return sign[:, None] * system.T, system.T_inv * sign


def transition_factor(model: Predictor, factor: FloatArray) -> FloatArray:
    """Map a factor of the covariance of all parameters to one of A = F + K H, entries in row order."""
    n, m = model.n, len(model.theta2)
    split = model.theta1.size
    out = []
    for column in factor.T:
        d1, d2 = column[:split].reshape(model.theta1.shape), column[split:].reshape(model.theta2.shape)
        dA = d1[:, :n] + d1[:, n : n + m] @ model.H + model.K @ d2[:, :n]
        out.append(dA.ravel())
    return np.array(out).reshape(len(out), n * n).T


def poles_covariance(model: Predictor, factor: FloatArray) -> FloatArray:
    """Covariance of (re, im) of each pole of A."""
    half = transition_factor(model, factor)
    return pole_covariance(model.A, half @ half.T)


def delta(
    model: Predictor, factor: FloatArray, function: Callable[[Predictor], FloatArray], step: float = 1e-3
) -> tuple[FloatArray, FloatArray]:
    """Value of a function of the model and its covariance, by central differences along the columns of the factor."""
    value = np.asarray(function(model), dtype=np.float64)
    split = model.theta1.size
    rows = []
    for column in factor.T:
        d1, d2 = column[:split].reshape(model.theta1.shape), column[split:].reshape(model.theta2.shape)
        up = function(Predictor(model.theta1 + step * d1, model.theta2 + step * d2, model.x1))
        down = function(Predictor(model.theta1 - step * d1, model.theta2 - step * d2, model.x1))
        rows.append((np.asarray(up) - np.asarray(down)).ravel() / (2 * step))
    half = np.array(rows).reshape(len(rows), value.size)
    return value, half.T @ half
