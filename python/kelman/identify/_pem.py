# SPDX-License-Identifier: BSD-3-Clause
r"""The prediction-error method in innovation form.

Minimised is :math:`N \log\det \hat\Sigma(\theta)`, which is maximum likelihood for the steady-state predictor (L. Ljung, System Identification, 2nd ed. 1999,
ch. 7 and 10), by Gauss-Newton with exact derivatives. A change of basis moves n^2 directions of the full parametrisation without changing the
predictor; the normal equations are singular there, and the step is taken in their range only. Where a step does not improve, or makes
the predictor unstable, it is shortened by Levenberg-Marquardt damping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.identify._predictor import Predictor, gauge, moved
from kelman.lti import lyapunov, spectral_radius

if TYPE_CHECKING:
    from kelman.identify._predictor import Free, Normal, Records
    from kelman.lti._check import FloatArray

_NULL = 1e-11  # relative eigenvalue of the scaled normal equations below which a direction counts as unidentifiable
_RADIUS = 1.0 - 1e-9
_WINDOW, _FLAT = 10, 0.05
_EXACT = 1e-20  # variance of the errors of standardised data below which only rounding is left


@dataclass(frozen=True, slots=True)
class Iteration:
    """One accepted point of an iterative fit.

    Attributes
    ----------
    objective : float
        N log det Sigma (on standardised data).
    expected : float
        Decrease of the objective that the quadratic model still promises.
    damping : float
        Levenberg-Marquardt damping, relative to the largest curvature.
    radius : float
        Spectral radius of the predictor A - K H.
    """

    objective: float
    expected: float
    damping: float
    radius: float


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the iteration ended: the best point found."""

    model: Predictor
    Sigma: FloatArray
    history: tuple[Iteration, ...]
    converged: bool
    message: str
    system: Reduced | None = None


class Reduced:
    """Normal equations after the first states are eliminated, split into identifiable directions.

    Changes of basis are taken out by restricting steps to the orthogonal complement of their tangent space (the data-driven local
    coordinates of McKelvey, Helmersson & Ribarits, Automatica 40 (2004) 1629); what is singular beyond that is cut off.
    """

    def __init__(self, normal: Normal, gauge: FloatArray) -> None:
        self.normal = normal
        N, _d, n = normal.cross.shape
        matrix, right = normal.matrix.copy(), normal.right.copy()
        if N and n and normal.own.any():
            self.own_inverse = np.linalg.pinv(normal.own, rcond=1e-12, hermitian=True)
            weighted = normal.cross @ self.own_inverse
            matrix -= np.tensordot(weighted, normal.cross, axes=([0, 2], [0, 2]))
            right -= np.tensordot(weighted, normal.own_right, axes=([0, 2], [0, 1]))
        else:
            self.own_inverse = np.zeros((N, n, n))
        diagonal = np.sqrt(np.maximum(np.diag(matrix), 0.0))
        self.scale = np.where(diagonal > 1e-150, diagonal, 1.0)
        moves = _complement(gauge * self.scale[:, None])
        scaled = moves.T @ ((matrix + matrix.T) / 2 / np.outer(self.scale, self.scale)) @ moves
        values, vectors = np.linalg.eigh(scaled)
        keep = values > _NULL * max(float(values.max(initial=0.0)), 0.0)
        self.values, self.vectors = values[keep], moves @ vectors[:, keep]
        self.right = self.vectors.T @ (right / self.scale)

    @property
    def rank(self) -> int:
        """Number of identifiable directions."""
        return len(self.values)

    def expected(self) -> float:
        """Decrease of the objective that an undamped step promises, of the parameters and of the first states."""
        own = np.einsum("ji,jik,jk->", self.normal.own_right, self.own_inverse, self.normal.own_right)
        return float(np.sum(np.square(self.right) / self.values) + own)

    def step(self, damping: float) -> tuple[FloatArray, FloatArray]:
        """Step of the parameters (d,) and of the first states (n, N)."""
        mu = damping * float(self.values.max(initial=0.0))
        step = self.vectors @ (self.right / (self.values + mu)) / self.scale
        left = self.normal.own_right - np.einsum("jdi,d->ji", self.normal.cross, step)
        return step, np.einsum("jik,jk->ij", self.own_inverse, left)

    def covariance(self) -> FloatArray:
        """Pseudo-inverse: covariance of the parameters in the gauge of smallest (scaled) norm."""
        half = self.vectors / np.sqrt(self.values) / self.scale[:, None]
        covariance: FloatArray = half @ half.T
        return covariance


def _complement(tangent: FloatArray) -> FloatArray:
    """Orthonormal basis of what is orthogonal to the columns."""
    d, count = tangent.shape
    if not count or not d:
        return np.eye(d)
    size = np.linalg.norm(tangent, axis=0)
    left, values, _ = np.linalg.svd(tangent / np.where(size > 0, size, 1.0), full_matrices=True)
    return left[:, int(np.count_nonzero(values > 1e-10 * values[0])) :]


def objective(Sigma: FloatArray, total: int) -> float:
    """N log det Sigma; +inf where it is not finite."""
    if not np.isfinite(Sigma).all():
        return np.inf
    sign, logdet = np.linalg.slogdet(Sigma)
    return float(total * logdet) if sign > 0 else np.inf


def floored(Sigma: FloatArray) -> FloatArray:
    """Keep Sigma invertible where the data are predicted exactly (standardised data: variances are of order one)."""
    return Sigma + 1e-26 * np.eye(len(Sigma))


def balanced(model: Predictor) -> Predictor:
    """Return the same predictor in a basis where its state, driven by white unit measurements and inputs, has unit covariance."""
    n = model.n
    if n == 0 or not spectral_radius(model.F) < 1 - 1e-12:
        return model
    drive = model.theta1[:, n:-1]
    P = lyapunov(model.F, drive @ drive.T)
    values, vectors = np.linalg.eigh(P)
    values = np.maximum(values, 1e-10 * max(float(values[-1]), 1e-300))
    to_new = (vectors / np.sqrt(values)).T
    to_old = vectors * np.sqrt(values)
    theta1 = to_new @ model.theta1
    theta1[:, :n] = theta1[:, :n] @ to_old
    theta2 = model.theta2.copy()
    theta2[:, :n] = theta2[:, :n] @ to_old
    return Predictor(theta1, theta2, to_new @ model.x1)


def first_state_precision(records: Records, model: Predictor, Sigma: FloatArray, free: Free) -> FloatArray | None:
    """Inverse of the spread that states of this model have, by which the first states are held near zero; None where they are free.

    The spread is the stationary one that the innovations cause (where A is stable), plus that seen when every series starts at zero (which is
    what the inputs cause).
    """
    if not (free.x1 and free.prior):
        return None
    n, stable = model.n, spectral_radius(model.A) < 1 - 1e-6
    spread = lyapunov(model.A, _symmetric(model.K @ Sigma @ model.K.T)) if stable else np.zeros((n, n))
    if records.u.shape[1] or not stable:
        spread = spread + records.state_spread(model)
    if not np.isfinite(spread).all():
        return None
    size = max(float(np.trace(spread)) / max(n, 1), 1e-300)
    return _symmetric(np.linalg.inv(spread + 1e-12 * size * np.eye(n)))


def _symmetric(array: FloatArray) -> FloatArray:
    return (array + array.T) / 2


def penalty(model: Predictor, precision: FloatArray | None) -> float:
    """Return the price of the first states, x1' precision x1 over all series."""
    return 0.0 if precision is None else float(np.sum(model.x1 * (precision @ model.x1)))


def linear_refit(records: Records, model: Predictor, Sigma: FloatArray, free: Free) -> tuple[Predictor, FloatArray]:
    """Least squares for what the predictions are linear in (inputs, offsets, first states), the rest held fixed."""
    e = records.errors(model)
    precision = first_state_precision(records, model, Sigma, free)
    system = Reduced(records.normal_equations(model, e, floored(Sigma), free, precision), gauge(model, free))
    found = moved(model, *system.step(0.0), free)
    return found, records.covariance(records.errors(found))


def minimise(records: Records, start: Predictor, free: Free, max_iter: int, tol: float) -> Solution:
    """Gauss-Newton with damping from ``start``; the best point is kept whatever happens.

    The price of the first states is taken from the start, once more near the optimum, and held in between: each stage has one objective.
    """
    model = balanced(start)
    errors = records.errors(model)
    Sigma = floored(records.covariance(errors))
    precision = first_state_precision(records, model, Sigma, free)
    settled = precision is None
    history: list[Iteration] = []
    stage: list[float] = []
    damping, message = 0.0, f"no convergence in {max_iter} iterations"
    for _ in range(max_iter):
        value = objective(Sigma, records.total) + penalty(model, precision)
        system = Reduced(records.normal_equations(model, errors, Sigma, free, precision), gauge(model, free))
        expected = system.expected()
        if not settled and (expected < 0.1 or len(stage) > 20):
            precision, settled, stage = first_state_precision(records, model, Sigma, free), True, []
            value = objective(Sigma, records.total) + penalty(model, precision)
            system = Reduced(records.normal_equations(model, errors, Sigma, free, precision), gauge(model, free))
            expected = system.expected()
        history.append(Iteration(value, expected, damping, spectral_radius(model.F)))
        stage.append(value)
        if not expected > tol:
            return Solution(model, Sigma, tuple(history), True, "converged", system)
        if settled and len(stage) > _WINDOW and stage[-_WINDOW - 1] - value < _FLAT:
            message = (
                f"converged: the likelihood is flat (twice its logarithm gained less than {_FLAT} in {_WINDOW} steps)"
            )
            return Solution(model, Sigma, tuple(history), True, message, system)
        if np.diag(Sigma).max() < _EXACT:
            return Solution(
                model, Sigma, tuple(history), True, "converged: the predictions are exact to rounding", system
            )
        better = _try_steps(records, model, system, free, precision, value, damping)
        if better is None:
            reached = expected < 1e-3
            message = "converged to the precision of the objective" if reached else _stuck(model)
            return Solution(model, Sigma, tuple(history), reached, message, system)
        model, errors, Sigma, damping = better
    return Solution(model, Sigma, tuple(history), False, message)


def _stuck(model: Predictor) -> str:
    if spectral_radius(model.F) > 1 - 1e-6:
        return "stopped at the edge of stability: a pole of A - K H has reached the unit circle (too many states?)"
    return "no step improves the objective (a nearly cancelling pole and zero: too many states?)"


def _try_steps(
    records: Records,
    model: Predictor,
    system: Reduced,
    free: Free,
    precision: FloatArray | None,
    value: float,
    damping: float,
) -> tuple[Predictor, FloatArray, FloatArray, float] | None:
    """Raise the damping until a step improves the objective and keeps the predictor stable.

    A step may use up nine tenths of the distance to the unit circle, no more: unit zeros of the noise model are local optima of the likelihood,
    and a long first step must not jump to one.
    """
    limit = min(_RADIUS, 1 - 0.1 * (1 - spectral_radius(model.F)))
    while damping < 1e6:
        candidate = moved(model, *system.step(damping), free)
        if np.isfinite(candidate.theta1).all() and spectral_radius(candidate.F) < limit:
            with np.errstate(over="ignore", invalid="ignore"):
                e = records.errors(candidate)
                Sigma = floored(records.covariance(e))
            new_value = objective(Sigma, records.total) + penalty(candidate, precision)
            if new_value < value:
                return candidate, e, Sigma, damping / 10 if damping > 1e-8 else 0.0
        damping = max(10 * damping, 1e-6)
    return None
