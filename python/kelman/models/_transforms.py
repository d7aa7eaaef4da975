# SPDX-License-Identifier: BSD-3-Clause
"""From unconstrained numbers eta to natural parameters theta, block by block, with exact Jacobians.

Every block works on the last axis and keeps the ones before it, so that many parameter vectors go through at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import KelmanError

if TYPE_CHECKING:
    from .._types import Array


class Transform(Protocol):
    """A smooth one-to-one map of a block of parameters."""

    @property
    def size(self) -> int:
        """Number of parameters in the block."""
        ...

    def forward(self, eta: Array) -> Array:
        """Return theta (..., k) of eta (..., k)."""
        ...

    def inverse(self, theta: Array) -> Array:
        """Return eta of theta, or raise if theta is outside."""
        ...

    def jacobian(self, eta: Array) -> Array:
        """Return d theta / d eta, shape (..., k, k)."""
        ...


def log_volume(transform: Transform, eta: Array) -> tuple[float, Array]:
    """Logarithm of |det d theta / d eta| at eta (k,), and its derivative (k,): what a density is multiplied by.

    In closed form for single numbers, and for covariances, where it is n log 2 + (n + 1) sum d_i; for others from the
    Jacobian, its derivative by central differences.
    """
    if isinstance(transform, Bounded):
        low, high = np.isfinite(transform.lower), np.isfinite(transform.upper)
        if low and high:
            # log of (upper - lower) p (1 - p) with p = 1 / (1 + e^-eta)
            value = np.log(transform.upper - transform.lower) - np.abs(eta[0]) - 2 * np.log1p(np.exp(-np.abs(eta[0])))
            return float(value), 1 - 2 * _expit(eta)
        sign = float(low) - float(high)
        return float(sign * eta[0]), np.full(1, sign)
    if isinstance(transform, Cholesky):
        rows, cols = np.tril_indices(transform.order)
        slope = np.where(rows == cols, transform.order + 1.0, 0.0)
        return float(transform.order * np.log(2) + slope @ eta), slope

    def height(at: Array) -> float:
        return float(np.linalg.slogdet(transform.jacobian(at))[1])

    step = 1e-5
    gradient = np.array([(height(eta + step * e) - height(eta - step * e)) / (2 * step) for e in np.eye(len(eta))])
    return height(eta), gradient


@dataclass(frozen=True, eq=False)
class Bounded:
    """One number between bounds: eta, lower + e^eta, upper - e^-eta, or lower + (upper - lower) / (1 + e^-eta)."""

    lower: float
    upper: float
    size: int = 1

    def forward(self, eta: Array) -> Array:
        """Return theta of eta."""
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)
        if low and high:
            return self.lower + (self.upper - self.lower) * _expit(eta)
        with np.errstate(over="ignore"):
            if low:
                return self.lower + np.exp(eta)
            if high:
                return self.upper - np.exp(-eta)
        return eta

    def inverse(self, theta: Array) -> Array:
        """Return eta of theta."""
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)
        if not ((theta > self.lower) & (theta < self.upper)).all():
            raise KelmanError(f"expected a value between {self.lower:g} and {self.upper:g}, got {theta}")
        if low and high:
            return np.log(theta - self.lower) - np.log(self.upper - theta)
        if low:
            return np.log(theta - self.lower)
        return -np.log(self.upper - theta) if high else theta

    def jacobian(self, eta: Array) -> Array:
        """Return d theta / d eta, (..., 1, 1)."""
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)
        with np.errstate(over="ignore"):
            if low and high:
                part = _expit(eta)
                slope = (self.upper - self.lower) * part * (1 - part)
            elif low:
                slope = np.exp(eta)
            elif high:
                slope = np.exp(-eta)
            else:
                slope = np.ones_like(eta)
        return np.asarray(slope[..., None])


@dataclass(frozen=True, eq=False)
class Cholesky:
    """The lower triangle of a covariance, row by row, through L = diag(e^d) T with T unit lower triangular.

    theta = tril(L L'); eta holds d_i where theta holds the variance i, and t_ij (free of units) where it holds an entry i > j.
    """

    order: int

    @property
    def size(self) -> int:
        """Number of entries of the triangle."""
        return self.order * (self.order + 1) // 2

    def _factor(self, eta: Array) -> Array:
        rows, cols = np.tril_indices(self.order)
        T = np.zeros((*eta.shape[:-1], self.order, self.order))
        T[..., rows, cols] = eta
        scale = np.exp(np.diagonal(T, axis1=-2, axis2=-1))
        index = np.arange(self.order)
        T[..., index, index] = 1.0
        return np.asarray(scale[..., :, None] * T)

    def forward(self, eta: Array) -> Array:
        """Return the triangle of L L'."""
        L = self._factor(eta)
        rows, cols = np.tril_indices(self.order)
        return np.asarray((L @ np.swapaxes(L, -1, -2))[..., rows, cols])

    def inverse(self, theta: Array) -> Array:
        """Return logarithms and ratios of the Cholesky factor."""
        rows, cols = np.tril_indices(self.order)
        full = np.zeros((*theta.shape[:-1], self.order, self.order))
        full[..., rows, cols] = theta
        full[..., cols, rows] = theta
        try:
            L = np.linalg.cholesky(full)
        except np.linalg.LinAlgError:
            raise KelmanError("expected a positive definite covariance to begin with") from None
        scale = np.diagonal(L, axis1=-2, axis2=-1)
        T = L / scale[..., :, None]
        index = np.arange(self.order)
        T[..., index, index] = np.log(scale)
        return np.asarray(T[..., rows, cols])

    def jacobian(self, eta: Array) -> Array:
        """Return d tril(L L') / d (d, t): entry (i, j) moves by dL_i . L_j + L_i . dL_j."""
        L = self._factor(eta)
        rows, cols = np.tril_indices(self.order)
        jacobian = np.zeros((*eta.shape[:-1], self.size, self.size))
        for number, (i, j) in enumerate(zip(rows, cols, strict=True)):
            # dL has one non-zero row i: all of it where e^d_i grows (d L_i = L_i), one entry e^d_i where t_ij does.
            change = np.zeros_like(L[..., 0, :])
            if i == j:
                change[...] = L[..., i, :]
            else:
                change[..., j] = L[..., i, i]
            moved = np.zeros_like(L)
            moved[..., i, :] += np.einsum("...c,...jc->...j", change, L)
            moved[..., :, i] += np.einsum("...c,...jc->...j", change, L)
            jacobian[..., :, number] = moved[..., rows, cols]
        return jacobian


@dataclass(frozen=True, eq=False)
class Contraction:
    """A square matrix of spectral norm below one, A = X (I + X'X)^(-1/2), from any X of the same size.

    Every stable model has such an A in some basis (that of its Lyapunov function), so nothing stable is left out where the
    basis is free.
    """

    order: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.order**2

    def _matrix(self, values: Array) -> Array:
        return values.reshape(*values.shape[:-1], self.order, self.order)

    def forward(self, eta: Array) -> Array:
        """Return A of X, entries in row order."""
        U, s, Vt = np.linalg.svd(self._matrix(eta))
        return np.asarray(((U * (s / np.sqrt(1 + s**2))[..., None, :]) @ Vt).reshape(eta.shape))

    def inverse(self, theta: Array) -> Array:
        """Return X of A."""
        U, s, Vt = np.linalg.svd(self._matrix(theta))
        if not (s < 1).all():
            raise KelmanError(
                f"expected a matrix of spectral norm below 1 to begin with, got {float(s.max()):.6g}; scale the states"
            )
        return np.asarray(((U * (s / np.sqrt(1 - s**2))[..., None, :]) @ Vt).reshape(theta.shape))

    def jacobian(self, eta: Array) -> Array:
        """Return the derivative, by those of I + X'X = W diag(g) W' in its eigenbasis (Daleckii and Krein)."""
        X = self._matrix(eta)
        n = self.order
        values, W = np.linalg.eigh(np.eye(n) + np.swapaxes(X, -1, -2) @ X)
        root = np.sqrt(values)
        inverse_root = (W / root[..., None, :]) @ np.swapaxes(W, -1, -2)
        # f(g) = g^-1/2 has the divided differences -1 / (sqrt(g_i) sqrt(g_j) (sqrt(g_i) + sqrt(g_j))).
        pair = root[..., :, None] * root[..., None, :]
        divided = -1 / (pair * (root[..., :, None] + root[..., None, :]))
        jacobian = np.empty((*eta.shape, n * n))
        for number in range(n * n):
            dX = np.zeros((n, n))
            dX.flat[number] = 1.0
            change = np.swapaxes(X, -1, -2) @ dX
            change = np.swapaxes(W, -1, -2) @ (change + np.swapaxes(change, -1, -2)) @ W
            moved = dX @ inverse_root + X @ (W @ (divided * change) @ np.swapaxes(W, -1, -2))
            jacobian[..., :, number] = moved.reshape(*moved.shape[:-2], n * n)
        return jacobian


@dataclass(frozen=True, eq=False)
class StationaryAR:
    """Coefficients phi of a stationary autoregression of order p, from partial autocorrelations tanh(eta).

    With ``sign = -1`` the coefficients theta of an invertible moving average 1 + theta_1 L + ..., phi = -theta.
    (Barndorff-Nielsen and Schou, J. Multivariate Analysis 3 (1973); Monahan, Biometrika 71 (1984).)
    """

    order: int
    sign: float = 1.0

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.order

    def forward(self, eta: Array) -> Array:
        """Return the coefficients, by the recursion of Durbin and Levinson."""
        r = np.tanh(eta)
        phi = np.empty_like(r)
        for k in range(self.order):
            head = phi[..., :k].copy()
            phi[..., :k] = head - r[..., k, None] * head[..., ::-1]
            phi[..., k] = r[..., k]
        return self.sign * phi

    def inverse(self, theta: Array) -> Array:
        """Return eta, by the same recursion backwards."""
        phi = self.sign * np.array(theta, dtype=np.float64)
        r = np.empty_like(phi)
        for k in reversed(range(self.order)):
            r[..., k] = phi[..., k]
            if not (np.abs(r[..., k]) < 1).all():
                kind = "stationary autoregression" if self.sign > 0 else "invertible moving average"
                raise KelmanError(f"expected the coefficients of a {kind}, got {theta}")
            head = phi[..., :k].copy()
            phi[..., :k] = (head + r[..., k, None] * head[..., ::-1]) / (1 - r[..., k, None] ** 2)
        return np.arctanh(r)

    def jacobian(self, eta: Array) -> Array:
        """Return the derivative of the recursion, carried along with it."""
        r = np.tanh(eta)
        phi = np.zeros_like(r)
        by = np.zeros((*eta.shape, self.order))
        for k in range(self.order):
            head, by_head = phi[..., :k].copy(), by[..., :k, :].copy()
            phi[..., :k] = head - r[..., k, None] * head[..., ::-1]
            phi[..., k] = r[..., k]
            by[..., :k, :] = by_head - r[..., k, None, None] * by_head[..., ::-1, :]
            by[..., :k, k] = -head[..., ::-1]
            by[..., k, k] = 1.0
        return np.asarray(self.sign * by * (1 - r**2)[..., None, :])


def _expit(value: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(value / 2)))
