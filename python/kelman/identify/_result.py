# SPDX-License-Identifier: BSD-3-Clause
"""The result of a fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman.identify._pole_report import PoleReport
from kelman.identify._stages import stage_lines
from kelman.identify._uncertainty import delta
from kelman.lti import markov, poles, spectral_radius

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman.identify._data import Data
    from kelman.identify._diagnose import Diagnosis
    from kelman.identify._pem import Iteration
    from kelman.identify._predictor import Predictor
    from kelman.identify._stages import Stage
    from kelman.lti._check import FloatArray
    from kelman.lti._poles import ComplexArray
    from kelman.models import StateSpace


@dataclass(frozen=True, eq=False)
class Fit(PoleReport):
    """A fitted model in innovation form.

    Attributes
    ----------
    model : StateSpace
        x_{k+1} = A x_k + B u_k + b + K e_k, z_k = H x_k + D u_k + c + e_k, as a `StateSpace` with Q = K Sigma K', R = Sigma,
        S = K Sigma (``from_shifted``, so ``input_lag`` is 1), in the balanced basis of its predictor. It starts, on these data
        or others, in its stationary distribution; with inputs where they kept the state: m1 and P1 are mean and
        spread of the states that the inputs cause over the data, from ``x1`` on, P1 with the stationary covariance of the
        noise and the spread of ``x1`` added. Modes that are not stable start diffuse.
    method : str
        "subspace" or "pem".
    order : int
        Number of states n.
    K : ndarray, shape (n, m)
        Predictor gain.
    Sigma : ndarray, shape (m, m)
        Covariance of the one-step prediction errors.
    x1 : ndarray, shape (n,) or (N, n)
        Estimated state at the first measurement.
    loglik : float
        Gaussian log-likelihood of the steady-state one-step prediction errors from ``x1``. That of ``model``, whose start is
        not fitted, is a few units lower for each series.
    nobs : int
        Number of measured time steps.
    history : tuple
        One record for each iteration (empty for a subspace fit).
    converged : bool
        Whether the iteration reached its tolerance; if not, the best point found is kept.
    message : str
        How it ended.
    singular_values : ndarray
        Those of the subspace method under its weighting: the order shows as a gap.
    block_rows : int
        Block rows used.
    weighting : str
        Weighting used.
    noise : tuple of ndarray
        Covariances (Q, R, S) of state and measurement noise in the basis of ``model``: of a subspace fit those of its residuals, from which
        K and Sigma were made; of "pem" K Sigma K', Sigma and K Sigma.
    poles : ndarray of complex, shape (n,)
        Eigenvalues of A, slowest first.
    pole_covariance : ndarray, shape (n, 2, 2)
        Covariance of (real, imaginary) part of each pole: the inverse Fisher information at the estimate. A subspace fit with
        weights "cca" attains it when there are many samples; for the other weightings it is a lower bound.
    rank : int
        Number of identifiable directions among the parameters.
    stages : tuple of Stage
        Name, iterations, log-likelihood at its end, and seconds of each stage.
    windows : int
        Whole windows of 2 ``block_rows`` steps that the subspace method used: the columns of its block Hankel matrices.
    unused : int
        Steps that a subspace fit of data with gaps leaves out: those with a missing value, and stretches between gaps that are shorter
        than a window. The rest counts as series of their own, so ``x1`` has one row for each stretch.
    """

    model: StateSpace
    method: str
    order: int
    K: FloatArray
    Sigma: FloatArray
    x1: FloatArray
    loglik: float
    nobs: int
    history: tuple[Iteration, ...]
    converged: bool
    message: str
    singular_values: FloatArray
    block_rows: int
    weighting: str
    noise: tuple[FloatArray, FloatArray, FloatArray]
    poles: ComplexArray
    pole_covariance: FloatArray
    rank: int
    _predictor: Predictor = field(repr=False)
    _factor: FloatArray = field(repr=False)
    _data: Data | None = field(default=None, repr=False)
    stages: tuple[Stage, ...] = ()
    windows: int = 0
    unused: int = 0

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for value in (*vars(self).values(), *self.noise, *vars(self._predictor).values()):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def _poles_known(self) -> tuple[ComplexArray, FloatArray]:
        return self.poles, self.pole_covariance

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the free parameters (F, K, B - K D, b - K c) and (H, D, c), each block in row order.

        F = A - K H. A change of basis leaves the likelihood alone, so the information is singular: this is its pseudo-inverse, which is only
        of use for quantities that do not depend on the basis (see `delta_method`).
        """
        return self._factor @ self._factor.T

    @property
    def pole_cov(self) -> FloatArray:
        """The same as ``pole_covariance``, by the name that `read_dynamics` uses."""
        return self.pole_covariance

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 loglik + 2 (identifiable parameters)."""
        return -2 * self.loglik + 2 * self._count()

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 loglik + log(nobs) (identifiable parameters)."""
        return -2 * self.loglik + float(np.log(self.nobs)) * self._count()

    def _count(self) -> int:
        m = len(self.Sigma)
        return self.rank + m * (m + 1) // 2

    def delta_method(self, function: Callable[[Any], FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Value and covariance of any smooth function of the model that does not depend on the basis.

        Parameters
        ----------
        function : callable
            Takes an object with the attributes A, B, b, H, D, c, K, F and returns an array.

        Returns
        -------
        value : ndarray
            ``function`` of the fitted model.
        covariance : ndarray, shape (size, size)
            Covariance of ``value.ravel()``.
        """
        return delta(self._predictor, self._factor, function)

    def impulse(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Response to the inputs, D, H B, H A B, ..., with standard deviations.

        Parameters
        ----------
        steps : int
            Last lag.

        Returns
        -------
        value, std : ndarray, shape (steps + 1, m, p)
            The response and its standard deviation, entry by entry.
        """
        value, cov = self.delta_method(lambda s: markov(s.A, s.B, s.H, steps, s.D))
        return value, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(value.shape)

    def noise_impulse(self, steps: int) -> tuple[FloatArray, FloatArray]:
        """Response to the innovations, I, H K, H A K, ..., with standard deviations.

        Parameters
        ----------
        steps : int
            Last lag.

        Returns
        -------
        value, std : ndarray, shape (steps + 1, m, m)
            The response and its standard deviation, entry by entry.
        """
        one = np.eye(len(self.Sigma))
        value, cov = self.delta_method(lambda s: markov(s.A, s.K, s.H, steps, one))
        return value, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(value.shape)

    def summary(self) -> str:
        """Return a table of what was fitted, as text."""
        m, p = len(self.Sigma), self.model.dims.p
        head = [
            f"Fit by {self.method} (weighting {self.weighting}, {self.block_rows} block rows)",
            f"  states {self.order}, measured {m}, inputs {p}, steps {self.nobs}",
            f"  log-likelihood {self.loglik:.3f}   AIC {self.aic:.3f}   BIC {self.bic:.3f}   parameters {self._count()}",
            f"  one-step standard deviation {np.array2string(np.sqrt(np.diag(self.Sigma)), precision=6)}",
        ]
        if self.unused:
            head.append(f"  {self.unused} more steps are in gaps or in stretches too short for a window, and not used")
        head.extend(stage_lines(self.stages))
        if self.history:
            head.append(f"  {len(self.history)} iterations: {self.message}")
        radius = spectral_radius(self.model.A - self.K @ self.model.H)
        head.append(f"  spectral radius of the predictor {radius:.5f}")
        head.extend(self.pole_lines())
        return "\n".join(head)

    def diagnose(self, z: Any = None, u: Any = None, **options: Any) -> Diagnosis:
        """Check whether the model describes the data that it was fitted to, from the first states ``x1``, or others.

        Parameters
        ----------
        z, u : array_like, optional
            Other data, which begin as ``model`` does.
        **options
            Those of `kelman.diagnose`.

        Returns
        -------
        Diagnosis
            With ``summary()`` and ``plot()``; see `kelman.diagnose`.
        """
        from kelman.identify._diagnose import diagnose

        model = self.model
        if z is None and self._data is not None:
            parts = list(self._data.series())
            z = [one for one, _ in parts] if len(parts) > 1 else parts[0][0]
            inputs = [one for _, one in parts] if len(parts) > 1 else parts[0][1]
            u = inputs if self._data.p else None
            model = model.replace(m1=self.x1, P1=np.zeros(self.x1.shape + self.x1.shape[-1:]))
        return diagnose(model, z, u, **options)

    def plot(self, **options: Any) -> Any:
        """Draw the fit (needs matplotlib); options go to ``kelman.plotting``."""
        return _registry.plot(self, **options)


def fitted_poles(A: FloatArray) -> ComplexArray:
    """Poles in the package's order."""
    return poles(A)
