# SPDX-License-Identifier: BSD-3-Clause
"""Why a model has no steady state: the mode that prevents it, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kelman.errors import NoSteadyStateError
from kelman.lti._check import FloatArray, symmetric

ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class UnsteadyMode:
    """The mode that prevents a steady state.

    Attributes
    ----------
    eigenvalue : complex
        Eigenvalue of A (or zero of the noise model) at fault.
    modulus, angle, period : float
        The same in polar form; period = 2 pi / abs(angle), inf when it does not turn.
    reason : str
        Why it prevents the steady state.
    """

    eigenvalue: complex
    modulus: float
    angle: float
    period: float
    reason: str

    def __str__(self) -> str:
        """Say it in one phrase."""
        value = self.eigenvalue
        text = f"{value.real:.6g}{value.imag:+.6g}j" if abs(value.imag) > 1e-12 else f"{value.real:.6g}"
        turn = f", period {self.period:.6g}" if np.isfinite(self.period) else ""
        return f"eigenvalue {text} (modulus {self.modulus:.6g}, angle {self.angle:.6g}{turn}): {self.reason}"


def unsteady_mode(eigenvalue: complex, reason: str) -> UnsteadyMode:
    """Complete the record from the eigenvalue."""
    value = complex(eigenvalue)
    value = complex(value.real, abs(value.imag)) if abs(value.imag) > 1e-12 * abs(value) else complex(value.real, 0.0)
    angle = float(np.angle(value))
    return UnsteadyMode(value, abs(value), angle, 2 * np.pi / abs(angle) if angle else np.inf, reason)


def require_steady(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray, tol: float) -> None:
    """Raise NoSteadyStateError for the first eigenvalue of A that fails a rank test at relative tolerance ``tol``."""
    n, m = len(A), len(H)
    size = max(float(np.linalg.norm(A, 2)) if n else 0.0, 1.0)
    candidates = _candidates(np.linalg.eigvals(A).astype(np.complex128), tol)
    Hn = _rows_to(H, size)
    for value in candidates:
        shifted = A - value * np.eye(n)
        if abs(value) >= 1 - 1e-8 and _smallest(np.vstack([shifted, Hn])) <= tol * size:
            raise _error(value, "unobservable with modulus >= 1 (not detectable)")
    factor = _factor(np.block([[Q, S], [S.T, R]]))
    noise = factor[:n] / (np.linalg.norm(factor[:n]) or 1.0) * size
    noise_scale = float(np.linalg.norm(factor[:n])) or 1.0
    lower = _rows_to(np.hstack([H * noise_scale / size, factor[n:]]), size)
    for value in candidates:
        if abs(abs(value) - 1) > max(1e-8, tol):
            continue
        pencil = np.block([[A - value * np.eye(n), noise], [lower]])
        if m and min(np.linalg.norm(lower, axis=1), default=0.0) == 0.0:
            raise NoSteadyStateError(
                "no steady state: a row of H is zero and its measurement noise too, so the innovation covariance is singular",
                mode=None,
            )
        if _smallest(pencil.conj().T) <= tol * size:
            raise _error(value, "on the unit circle and not driven by noise")


def explain(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> NoSteadyStateError:
    """Explain a failure that no eigenvalue of A accounts for: a unit zero of the noise model, or a singular Sigma."""
    P = np.eye(len(A)) * max(float(np.trace(Q)), 1.0)
    for _ in range(200):
        Sigma = symmetric(H @ P @ H.T + R)
        gain = np.linalg.lstsq(Sigma, (A @ P @ H.T + S).T, rcond=1e-13)[0].T
        F = A - gain @ H
        KS = gain @ S.T
        P = symmetric(F @ P @ F.T + Q - KS - KS.T + gain @ R @ gain.T)
        if not np.isfinite(P).all():
            break
    if np.isfinite(Sigma).all():
        values = np.linalg.eigvalsh(Sigma)
        if values[0] <= 1e-10 * max(values[-1], 1e-300):
            return NoSteadyStateError(
                "no steady state: the innovation covariance H P H' + R is singular (a combination of the measurements is "
                "predicted exactly); drop the redundant measurement or give it noise in R",
                mode=None,
            )
    zeros = _pencil_eigenvalues(A, H, Q, R, S)
    if not len(zeros):
        return NoSteadyStateError("no steady state: the Riccati equation has no stabilising solution", mode=None)
    nearest = zeros[np.abs(np.abs(zeros) - 1).argmin()]
    return _error(
        nearest, "a zero of the noise model on the unit circle keeps the closed loop A - K H from being stable"
    )


def _pencil_eigenvalues(A: FloatArray, H: FloatArray, Q: FloatArray, R: FloatArray, S: FloatArray) -> ComplexArray:
    """Finite eigenvalues of the extended symplectic pencil: those of the closed loop and their reciprocals."""
    from scipy.linalg import eigvals

    n, m = len(A), len(H)
    one, none = np.eye(n), np.zeros
    left = np.block([[A.T, none((n, n)), H.T], [-Q, one, -S], [S.T, none((m, n)), R]])
    right = np.block(
        [[one, none((n, n)), none((n, m))], [none((n, n)), A, none((n, m))], [none((m, n)), -H, none((m, m))]]
    )
    alpha, beta = eigvals(left, right, homogeneous_eigvals=True)
    finite = np.abs(beta) > 1e-12 * np.abs(alpha)
    values: ComplexArray = alpha[finite] / beta[finite]
    return values


def _error(value: complex, reason: str) -> NoSteadyStateError:
    mode = unsteady_mode(value, reason)
    return NoSteadyStateError(f"no steady state: {mode}", mode=mode.eigenvalue)


def _candidates(eigenvalues: ComplexArray, tol: float) -> list[complex]:
    """Eigenvalues near or outside the unit circle, and the means of clusters (accurate where a defective mode is not)."""
    near = eigenvalues[np.abs(eigenvalues) >= 1 - max(1e-4, tol)]
    found = [complex(v) for v in near]
    for v in near:
        cluster = near[np.abs(near - v) < 1e-4]
        if len(cluster) > 1:
            found.append(complex(cluster.mean()))
    found += [v / abs(v) for v in found if 0 < abs(abs(v) - 1) < 1e-6]
    return sorted(found, key=lambda v: (-abs(v), abs(np.angle(v))))


def _smallest(tall: NDArray[np.complex128] | FloatArray) -> float:
    """Smallest singular value of a matrix with at least as many rows as columns (0 when there are fewer)."""
    if tall.shape[0] < tall.shape[1]:
        return 0.0
    return float(np.linalg.svd(tall, compute_uv=False)[-1]) if tall.shape[1] else np.inf


def _rows_to(array: FloatArray, size: float) -> FloatArray:
    """Scale each row to the norm ``size``; rows of zeros stay."""
    norm = np.linalg.norm(array, axis=1, keepdims=True)
    scaled: FloatArray = array * np.divide(size, norm, out=np.zeros_like(norm), where=norm > 0)
    return scaled


def _factor(cov: FloatArray) -> FloatArray:
    """A factor G with cov = G G', each row accurate to its own size."""
    size = np.sqrt(np.diag(cov))
    unit = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(symmetric(cov / np.outer(unit, unit)))
    floor = 1e-14 * max(float(values[-1]), 0.0) if len(values) else 0.0
    factor: FloatArray = size[:, None] * vectors * np.sqrt(np.where(values > floor, values, 0.0))
    return factor
