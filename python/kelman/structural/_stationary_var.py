# SPDX-License-Identifier: BSD-3-Clause
r"""Coefficients of a stationary vector autoregression, from matrices without bounds.

Ansley and Kohn (J. Statistical Computation and Simulation 24 (1986) 99-106): every real matrix B gives a partial autocorrelation
P = L^-1 B, L L' = I + B B', of spectral norm below one; Whittle's recursion makes of P_1..P_p the coefficients of a process
of unit variance; a triangular change of basis gives it the error covariance that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.lti._lyapunov import stein
from kelman.models._transforms import Cholesky

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array


@dataclass(frozen=True, eq=False)
class Jet:
    """A matrix (m, m) and its derivatives by K parameters (K, m, m)."""

    value: Array
    slope: Array

    def __matmul__(self, other: Jet) -> Jet:
        return Jet(self.value @ other.value, self.slope @ other.value + self.value @ other.slope)

    def __sub__(self, other: Jet) -> Jet:
        return Jet(self.value - other.value, self.slope - other.slope)

    @property
    def T(self) -> Jet:
        """The transpose."""
        return Jet(self.value.T, np.swapaxes(self.slope, 1, 2))

    def cholesky(self) -> Jet:
        """Return the lower factor L: dL = L Phi(L^-1 dS L^-T), Phi the lower triangle with half the diagonal."""
        L = np.linalg.cholesky(self.value)
        inside = np.linalg.solve(L, np.swapaxes(np.linalg.solve(L, self.slope), 1, 2))
        m = len(L)
        inside = np.tril(inside) - 0.5 * inside * np.eye(m)
        return Jet(L, L @ inside)

    def inverse(self) -> Jet:
        """Return the inverse: -X^-1 dX X^-1."""
        inverse = np.linalg.inv(self.value)
        return Jet(inverse, -inverse @ self.slope @ inverse)


@dataclass(frozen=True, eq=False)
class StationaryVAR:
    """Coefficients of a stationary VAR(p) of m variables, in row order, then, if it is free, the triangle of the error covariance.

    Attributes
    ----------
    m, p : int
        Number of variables and of lags.
    covariance : bool
        Whether the error covariance is part of the block; it is the identity otherwise.
    """

    m: int
    p: int
    covariance: bool = True

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.p * self.m**2 + (self.m * (self.m + 1) // 2 if self.covariance else 0)

    @property
    def _cut(self) -> int:
        return self.p * self.m**2

    def forward(self, eta: Array) -> Array:
        """Return coefficients and covariance of unconstrained values."""
        return self._each(eta, lambda one: self._jets(one, slopes=False)[0])

    def jacobian(self, eta: Array) -> Array:
        """Return the derivative, carried along with the recursion."""
        flat = eta.reshape(-1, self.size)
        slopes = np.array([self._jets(one, slopes=True)[1] for one in flat])
        return slopes.reshape(*eta.shape, self.size)

    def inverse(self, theta: Array) -> Array:
        """Return unconstrained values, or raise if the process is not stationary."""
        return self._each(theta, self._unconstrain)

    def _each(self, values: Array, function: Callable[[Array], Array]) -> Array:
        flat = np.asarray(values, dtype=np.float64).reshape(-1, self.size)
        nothing = np.full(self.size, np.nan)
        return np.array([function(one) if np.isfinite(one).all() else nothing for one in flat]).reshape(values.shape)

    def _jets(self, eta: Array, slopes: bool) -> tuple[Array, Array]:
        m, p = self.m, self.p
        K = self.size if slopes else 0
        eye = np.eye(m)
        unit = np.eye(self.size)[:K]
        one = Jet(eye, np.zeros((K, m, m)))
        near = [
            Jet(eta[i * m**2 : (i + 1) * m**2].reshape(m, m), unit[:, i * m**2 : (i + 1) * m**2].reshape(K, m, m))
            for i in range(p)
        ]
        left, right = one, one  # roots of the variances of the errors ahead and behind; the left one is triangular
        phi: list[Jet] = []
        back: list[Jet] = []
        for B in near:
            ahead, behind = B @ B.T, B.T @ B
            shrink = Jet(eye + ahead.value, ahead.slope).cholesky().inverse()
            P = shrink @ B
            last = left @ P @ right.inverse()
            last_back = right @ P.T @ left.inverse()
            s = len(phi)
            phi, back = (
                [*(phi[k] - last @ back[s - 1 - k] for k in range(s)), last],
                [*(back[k] - last_back @ phi[s - 1 - k] for k in range(s)), last_back],
            )
            # I - P P' = shrink shrink' and I - P'P = (I + B'B)^-1: no difference is taken
            left, right = left @ shrink, right @ Jet(eye + behind.value, behind.slope).cholesky().inverse().T
        wanted, tail_value, tail_slope = one, np.zeros(0), np.zeros((0, K))
        if self.covariance:
            block = Cholesky(m)
            tail_value = block.forward(eta[self._cut :])
            tail_slope = np.zeros((len(tail_value), K))
            rows, cols = np.tril_indices(m)
            S, dS = np.zeros((m, m)), np.zeros((K, m, m))
            S[rows, cols] = S[cols, rows] = tail_value
            if slopes:
                tail_slope[:, self._cut :] = block.jacobian(eta[self._cut :])
                dS[:, rows, cols] = dS[:, cols, rows] = tail_slope.T
            wanted = Jet(S, dS).cholesky()
        turn = wanted @ left.inverse()
        back_turn = turn.inverse()
        done = [turn @ each @ back_turn for each in phi]
        value = np.concatenate([*(each.value.ravel() for each in done), tail_value])
        slope = np.concatenate([*(each.slope.reshape(K, m * m).T for each in done), tail_slope])
        return value, slope

    def _unconstrain(self, theta: Array) -> Array:
        m, p = self.m, self.p
        phi = theta[: self._cut].reshape(p, m, m)
        S = np.eye(m)
        tail = np.zeros(0)
        if self.covariance:
            rows, cols = np.tril_indices(m)
            S[rows, cols] = S[cols, rows] = theta[self._cut :]
            tail = Cholesky(m).inverse(theta[self._cut :])
        A = companion(phi)
        if not np.abs(np.linalg.eigvals(A)).max() < 1:
            raise KelmanError("expected the coefficients of a stationary vector autoregression")
        noise = np.zeros((m * p, m * p))
        noise[:m, :m] = S
        joint = stein(A, noise)
        root = np.linalg.inv(np.linalg.cholesky(joint[:m, :m]))
        # autocovariances Cov(y_k, y_{k-h}) of the process of unit variance, h = 0..p
        lagged = [root @ joint[:m, h * m : (h + 1) * m] @ root.T for h in range(p)]
        lagged.append(root @ (A @ joint)[:m, (p - 1) * m :] @ root.T)
        left = right = np.eye(m)
        own: list[Array] = []
        back: list[Array] = []
        free = []
        for s in range(p):
            rest = lagged[s + 1] - sum((own[k] @ lagged[s - k] for k in range(s)), np.zeros((m, m)))
            P = np.linalg.solve(left, rest) @ np.linalg.inv(right).T
            B = np.linalg.solve(np.linalg.cholesky(np.eye(m) - P @ P.T), P)
            free.append(B.ravel())
            last = left @ P @ np.linalg.inv(right)
            last_back = right @ P.T @ np.linalg.inv(left)
            own, back = (
                [*(own[k] - last @ back[s - 1 - k] for k in range(s)), last],
                [*(back[k] - last_back @ own[s - 1 - k] for k in range(s)), last_back],
            )
            left = left @ np.linalg.inv(np.linalg.cholesky(np.eye(m) + B @ B.T))
            right = right @ np.linalg.inv(np.linalg.cholesky(np.eye(m) + B.T @ B)).T
        return np.concatenate([*free, tail])


def companion(phi: Array) -> Array:
    """Return the transition (m p, m p) of a VAR with coefficients (p, m, m)."""
    p, m = phi.shape[:2]
    A = np.eye(m * p, k=-m)
    A[:m] = np.concatenate(list(phi), axis=1)
    return A
