# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives through a start that the model works out: by mean, covariance and diffuse factor -> by A, Q and b.

With the spectral projector Pi = Vs Ls of A onto its stable subspace and F = A Pi, the start of `_start` is

    mu = F mu + Pi b          P = F P F' + Pi Q Pi'          V = Vu, an orthonormal basis of the other subspace.

Given g, G and W, the derivatives by mu, P and V, the adjoints of the two equations are ``l = F'l + g`` and
``L = F'L F + G``, and

    d loglik = <l mu' + 2 L F P, dF> + <l b' + 2 L Pi Q, dPi> + <Pi'l, db> + <Pi'L Pi, dQ> + <W, dV>,   dF = dA Pi + A dPi.

In the bases (Vs, Vu) the projector moves off the diagonal only, dPi = Vs X Lu + Vu Y Ls, with the Sylvester equations

    As X - X Au = Ls dA Vu          Au Y - Y As = -Lu dA Vs,

and the subspace of V by ``dV = -(I - Vu Vu') Vs X``, what is left of dV being a rotation of the basis, which changes
nothing. How many modes count as stable is taken as fixed. (Kato, *Perturbation Theory for Linear Operators* (1976),
section II.1.4; Durbin and Koopman, 2nd ed. (2012), section 5.6.2.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..lti._lyapunov import stein, stein_stack
from ._start import _MODULUS_TOLERANCE, before_first

if TYPE_CHECKING:
    from .._types import Array
    from ..models import StateSpace


def start_gradient(model: StateSpace, mean: Array, cov: Array, inf: Array) -> tuple[Array, Array, Array]:
    """Return what the start adds to the derivatives by A, Q and b.

    Parameters
    ----------
    model : StateSpace
        With ``initial`` "stationary" or "auto".
    mean, cov, inf : ndarray, shapes (L, n), (L, n, n), (L, n, d)
        Derivatives by the moments of the start, of L series.

    Returns
    -------
    A, Q, b : ndarray, shapes (L, n, n), (L, n, n), (L, n)
    """
    A, Q, b = before_first(model)
    stable, mu, P = model._cache["stationary"]
    tolerance = _MODULUS_TOLERANCE[model.dtype.name]
    if len(A) == 1:
        if stable[0]:
            return _stationary(A, mu, P, mean, cov)
        return _one(A[0], Q[0], b[0], mean, cov, inf, tolerance)
    by = np.zeros_like(cov), np.zeros_like(cov), np.zeros_like(mean)
    parts = _stationary(A[stable], mu[stable], P[stable], mean[stable], cov[stable])
    for whole, part in zip(by, parts, strict=True):
        whole[stable] = part
    for i in np.flatnonzero(~stable):
        parts = _one(A[i], Q[i], b[i], mean[i, None], cov[i, None], inf[i, None], tolerance)
        for whole, part in zip(by, parts, strict=True):
            whole[i] = part[0]
    return by


def _stationary(A: Array, mu: Array, P: Array, g: Array, G: Array) -> tuple[Array, Array, Array]:
    """The chain rule where all of A is stable: Pi is the identity. A, mu and P of 1 or L starts."""
    turned = np.swapaxes(A, -1, -2)
    weight = np.linalg.solve(np.eye(A.shape[-1]) - turned, g[..., None])  # l (L, n, 1)
    by_Q = stein_stack(turned, G, A)
    by_Q = (by_Q + np.swapaxes(by_Q, -1, -2)) / 2
    return weight * mu[:, None, :] + 2 * by_Q @ A @ P, by_Q, weight[..., 0]


def _one(A: Array, Q: Array, b: Array, g: Array, G: Array, W: Array, tolerance: float) -> tuple[Array, Array, Array]:
    """The chain rule for one start, of which g (L, n), G (L, n, n) and W (L, n, d) are the derivatives."""
    from .. import lti

    n = len(A)
    split = lti.stationary_split(A, tol=tolerance)
    Vs, Vu, Ls, Lu = split.Vs, split.Vu, split.Ls, split.Lu
    if Vs.shape[1] == 0:  # everything is diffuse, whatever A is
        return np.zeros((len(g), n, n)), np.zeros((len(g), n, n)), np.zeros((len(g), n))
    Pi = Vs @ Ls
    mu = Vs @ np.linalg.solve(np.eye(len(split.As)) - split.As, Ls @ b)
    P = Vs @ lti.lyapunov(split.As, Ls @ Q @ Ls.T) @ Vs.T
    weight = np.linalg.solve(np.eye(n) - (A @ Pi).T, g[..., None])  # l (L, n, 1)
    inner = stein(split.As.T, Vs.T @ G @ Vs, split.As)  # Vs'L Vs
    half = Ls.T @ split.As.T @ inner @ split.As + G @ Vs  # L Vs
    by_F = weight * mu + 2 * half @ split.As @ Ls @ P
    by_Pi = weight * b + 2 * half @ Ls @ Q + A.T @ by_F
    by_A = by_F @ Pi.T
    if Vu.shape[1]:
        width = Vu.shape[1]
        turned = W[..., :width] - Vu @ (Vu.T @ W[..., :width])
        X = sylvester(split.As.T, split.Au.T, Vs.T @ (by_Pi @ Lu.T - turned))
        Y = sylvester(split.Au.T, split.As.T, -(Vu.T @ by_Pi @ Ls.T))
        by_A = by_A + Ls.T @ X @ Vu.T + Lu.T @ Y @ Vs.T
    by_Q = Ls.T @ inner @ Ls
    return by_A, (by_Q + np.swapaxes(by_Q, -1, -2)) / 2, (Pi.T @ weight)[..., 0]


def sylvester(F: Array, G: Array, W: Array) -> Array:
    """Solve F Z - Z G = W for a stack W (L, r, c), column by column in a Schur form of G."""
    from scipy.linalg import schur

    T, U = schur(G, output="complex")
    right = W @ U
    Z = np.empty_like(right)
    for j in range(len(G)):
        column = right[..., j] + Z[..., :j] @ T[:j, j]
        Z[..., j] = np.linalg.solve(F - T[j, j] * np.eye(len(F)), column[..., None])[..., 0]
    real: Array = (Z @ U.conj().T).real
    return real
