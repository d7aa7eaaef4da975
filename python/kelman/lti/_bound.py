# SPDX-License-Identifier: BSD-3-Clause
r"""The Cramer-Rao bound of the poles of a stationary model, per sample, without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.lti._check import FloatArray, covariance, number_between
from kelman.lti._derivatives import pole_covariance
from kelman.lti._lyapunov import require_stable, stein
from kelman.lti._poles import ComplexArray, poles
from kelman.lti._riccati import dare
from kelman.lti._standard import standard_form

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class PoleBound:
    """Asymptotic Cramer-Rao bound of the poles.

    Attributes
    ----------
    poles : ndarray of complex, shape (n,)
        In the order of `kelman.lti.poles`.
    covariance : ndarray, shape (n, 2, 2)
        Bound on the covariance of (real, imaginary) part of each.
    modulus_std : ndarray, shape (n,)
        Bound on the standard deviation of the modulus.
    angle_std : ndarray, shape (n,)
        Bound on the standard deviation of the angle (0 for a real pole).
    dimension : int
        Identifiable parameters of the predictor: n (2 m + p) + m p for a minimal model. N tr(Sigma^-1 Delta) of an efficient fit is
        chi-square with that many degrees of freedom.
    """

    poles: ComplexArray
    covariance: FloatArray
    modulus_std: FloatArray
    angle_std: FloatArray
    dimension: int


def pole_crb(model: Any, N: float = 1, *, input_cov: ArrayLike | None = None) -> PoleBound:
    r"""Asymptotic Cramer-Rao bound for the poles of a stationary model estimated from N samples.

    The information per sample of all entries of the predictor (F, K, B~ | H, D) is :math:`E\, \psi_k' \Sigma^{-1} \psi_k` with the derivative
    :math:`\psi` of the one-step prediction. Predictor states and derivatives together are one linear system driven by the innovations (and a
    white input), so the expectation is one Lyapunov equation. Changes of basis make the information singular: the bound for the poles, which do not
    depend on the basis, comes from its pseudo-inverse by the delta method.

    Parameters
    ----------
    model : StateSpace
        Time-invariant and stable, with a steady state, and minimal.
    N : float, default 1
        Number of samples: the covariance is divided by it.
    input_cov : array_like, shape (p, p), optional
        Covariance of the white input of a model with inputs; the identity when left out.

    Returns
    -------
    PoleBound
        Covariances of the poles, standard deviations of modulus and angle.

    Examples
    --------
    The package's test bed: .350 / sqrt(N) for the modulus, .429 / sqrt(N) for the angle.

    >>> from kelman import lti, systems
    >>> bound = lti.pole_crb(systems.rotation())
    >>> print(f"{bound.modulus_std[0]:.3f} {bound.angle_std[0]:.3f} {bound.dimension}")
    0.350 0.429 4
    """
    A, B, H, D = standard_form(model)
    require_stable("model.A", A)
    samples = number_between("N", N, 0.0, np.inf)
    p = B.shape[1]
    U = np.eye(p) if input_cov is None else covariance("input_cov", input_cov, p, "to match the inputs")
    ss = dare(A, H, model.Q, model.R, model.S)
    information = _information(A, B, H, D, ss.K, ss.Sigma, ss.F, U)
    size = np.sqrt(np.where(np.diag(information) > 0, np.diag(information), 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    keep = values > 1e-10 * values[-1]
    half = vectors[:, keep] / np.sqrt(values[keep]) / size[:, None]
    n, m = len(A), len(H)
    dA = np.zeros((n, n, len(size)))  # derivative of A = F + K H by the parameters
    theta1 = np.arange(n * (n + m + p)).reshape(n, n + m + p)
    theta2 = n * (n + m + p) + np.arange(m * (n + p)).reshape(m, n + p)
    for i in range(n):
        dA[i, np.arange(n), theta1[i, :n]] += 1.0
        for j in range(m):
            dA[i, :, theta1[i, n + j]] += H[j]
            dA[i, np.arange(n), theta2[j, :n]] += ss.K[i, j]
    root = dA.reshape(n * n, -1) @ half
    cov = pole_covariance(A, root @ root.T) / samples
    found = poles(A)
    modulus, angle = polar_std(found, cov)
    return PoleBound(found, cov, modulus, angle, int(keep.sum()))


def polar_std(values: ComplexArray, cov: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard deviations of modulus and angle from the covariance of real and imaginary part."""
    size = np.abs(values)
    unit = values / np.where(size > 0, size, 1.0)
    radial, across = np.stack([unit.real, unit.imag], axis=1), np.stack([-unit.imag, unit.real], axis=1)
    var_modulus = np.einsum("ki,kij,kj->k", radial, cov, radial)
    var_angle = np.einsum("ki,kij,kj->k", across, cov, across)
    return np.sqrt(np.maximum(var_modulus, 0)), np.sqrt(np.maximum(var_angle, 0)) / np.where(size > 0, size, np.inf)


def _information(
    A: FloatArray,
    B: FloatArray,
    H: FloatArray,
    D: FloatArray,
    K: FloatArray,
    Sigma: FloatArray,
    F: FloatArray,
    U: FloatArray,
) -> FloatArray:
    """Information per sample of (F, K, B~) and (H, D), each block in row order.

    For output l and source j, g+ = F' g + Hw_l' sigma_j with Hw = Sigma^(-1/2) H and sources sigma = (s, z, u).
    """
    from scipy.linalg import solve_triangular

    n, m, p = len(A), len(H), B.shape[1]
    q = n + m + p
    whiten = solve_triangular(np.linalg.cholesky(Sigma), np.eye(m), lower=True)
    Hw = whiten @ H
    noise = np.block([[Sigma, np.zeros((m, p))], [np.zeros((p, m)), U]])
    by_state = np.vstack([np.eye(n), H, np.zeros((p, n))])
    by_noise = np.block([[np.zeros((n, m + p))], [np.eye(m), D], [np.zeros((p, m)), np.eye(p)]])
    G = np.hstack([K, B])
    P = stein(A, G @ noise @ G.T)
    d1 = n * q
    information = np.zeros((d1 + m * (n + p), d1 + m * (n + p)))
    for row in range(m):
        E = np.einsum("i,js->jis", Hw[row], by_state)  # g_j+ = F' g_j + E_j s + N_j w
        N = np.einsum("i,je->jie", Hw[row], by_noise)
        X = stein(A, A @ P @ E.transpose(0, 2, 1) + G @ noise @ N.transpose(0, 2, 1), F)  # E s g_j'
        cross = E[:, None] @ X[None] @ F  # (j, k): E_j E[s g_k'] F
        both = E[:, None] @ P @ E.transpose(0, 2, 1)[None] + N[:, None] @ noise @ N.transpose(0, 2, 1)[None]
        gg = stein(F.T, cross + cross.transpose(1, 0, 3, 2) + both, F)
        information[:d1, :d1] += gg.transpose(2, 0, 3, 1).reshape(d1, d1)
        for out in range(m):
            first = slice(d1 + out * (n + p), d1 + out * (n + p) + n)
            block = whiten[row, out] * X.transpose(1, 2, 0).reshape(n, d1)
            information[first, :d1] += block
            information[:d1, first] += block.T
            for other in range(m):
                weight = whiten[row, out] * whiten[row, other]
                a, b = d1 + out * (n + p), d1 + other * (n + p)
                information[a : a + n, b : b + n] += weight * P
                information[a + n : a + n + p, b + n : b + n + p] += weight * U
    return (information + information.T) / 2
