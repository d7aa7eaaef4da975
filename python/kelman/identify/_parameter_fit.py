# SPDX-License-Identifier: BSD-3-Clause
"""The result of fitting a template: parameters with error bars, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman._arrays import one_of
from kelman.errors import KelmanError
from kelman.identify._pole_report import PoleReport, probability
from kelman.lti import markov, poles
from kelman.lti._derivatives import pole_covariance
from kelman.models._meaning import START, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from kelman._types import Array
    from kelman.identify._diagnose import Diagnosis
    from kelman.identify._information import Information
    from kelman.identify._maximise import FitStep
    from kelman.identify._objective import Objective
    from kelman.identify._profile import Profile
    from kelman.identify._stages import Stage
    from kelman.lti._poles import ComplexArray
    from kelman.models import StateSpace, Template


@dataclass(frozen=True, eq=False, repr=False)
class ParameterFit(PoleReport):
    """A template with its parameters estimated.

    Attributes
    ----------
    model : StateSpace
        The model at the estimate.
    template : Template
        What was fitted.
    theta : ndarray, shape (K,)
        Natural parameters, in the order of ``names``.
    loglik : float
        Log-likelihood of all series (without a prior).
    nobs : int
        Number of measured values.
    method : str
        "mle", "em", ...; with priors the posterior mode.
    history : tuple of FitStep
        Stage, log-likelihood (plus log-prior) and scaled gradient of each step.
    converged : bool
        Whether less than about the tolerance was left to gain; if not, this is the best point found.
    message : str
        How it ended.
    stages : tuple of Stage
        Name, iterations, log-likelihood at its end, and seconds of each stage.

    Examples
    --------
    The level of the Nile (Durbin and Koopman (2012), section 2.10):

    >>> import kelman
    >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    >>> found = kelman.fit(kelman.datasets.nile().z, template=level)
    >>> print(found.theta.round(1), round(found.loglik, 4))
    [ 1469.2 15098.5] -632.5456
    """

    model: StateSpace
    template: Template
    theta: Array
    loglik: float
    nobs: int
    method: str
    history: tuple[FitStep, ...]
    converged: bool
    message: str
    _eta: Array = field(repr=False)
    _scale: Array = field(repr=False)
    _lowest: Array = field(repr=False)
    _information: Information = field(repr=False)
    _objective: Objective = field(repr=False)
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        """Make every array read-only."""
        for value in (*vars(self).values(), *vars(self._information).values()):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.template.names

    @property
    def covariance(self) -> Array:
        """Covariance of the natural parameters, (K, K); of those that the data do not determine, its pseudo-inverse part.

        Rows of parameters at a bound are NaN.
        """
        covariance: Array = self._information.factor @ self._information.factor.T
        covariance[self._information.held] = np.nan
        covariance[:, self._information.held] = np.nan
        return covariance

    @property
    def std_errors(self) -> Array:
        """Standard errors of the natural parameters, (K,); NaN for those at a bound."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance)))

    @property
    def at_bound(self) -> tuple[str, ...]:
        """Names of the parameters that the likelihood drives to a bound (a variance to zero)."""
        return tuple(name for name, held in zip(self.names, self._information.held, strict=True) if held)

    @property
    def rank(self) -> int:
        """Number of directions of the parameters that the data determine."""
        return int(self._information.factor.shape[1])

    @property
    def undetermined(self) -> tuple[tuple[str, ...], ...]:
        """For each direction in which the likelihood is flat, the parameters that move along it, the largest first."""
        found = []
        for column in self._information.null.T:
            share = np.abs(column) / max(float(np.abs(column).max()), 1e-300)
            order = np.argsort(-share, kind="stable")
            found.append(tuple(self.names[int(k)] for k in order if share[k] > 0.05))
        return tuple(found)

    @property
    def log_prior(self) -> float:
        """Log-density of the priors at the estimate (0 without priors)."""
        return self.template.log_prior(self.theta)[0]

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 loglik + 2 (determined parameters)."""
        return -2 * self.loglik + 2 * self.rank

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 loglik + log(nobs) (determined parameters)."""
        return -2 * self.loglik + float(np.log(self.nobs)) * self.rank

    def delta_method(self, function: Callable[[StateSpace], Any]) -> tuple[Array, Array]:
        """Value and covariance of any smooth function of the model.

        Parameters
        ----------
        function : callable
            Takes a `StateSpace` and returns an array.

        Returns
        -------
        value : ndarray
            ``function(fit.model)``.
        covariance : ndarray, shape (size, size)
            Covariance of ``value.ravel()``, by central differences of a thousandth of a standard error.

        Examples
        --------
        The signal-to-noise ratio of the Nile, with its standard error:

        >>> import kelman
        >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
        >>> found = kelman.fit(kelman.datasets.nile().z, template=level)
        >>> ratio, variance = found.delta_method(lambda model: model.Q[0, 0] / model.R[0, 0])
        >>> print(round(float(ratio), 4), round(float(variance[0, 0]) ** 0.5, 3))
        0.0973 0.098
        """
        value = np.asarray(function(self.model), dtype=np.float64)
        step, rows = 1e-3, []
        for column in self._information.factor.T:
            up = function(self.template._model(self.theta + step * column))
            down = function(self.template._model(self.theta - step * column))
            rows.append((np.asarray(up, dtype=np.float64) - np.asarray(down, dtype=np.float64)).ravel() / (2 * step))
        half = np.array(rows).reshape(len(rows), value.size)
        return value, half.T @ half

    def entries(self, name: str) -> tuple[Array, Array]:
        """Values and standard errors of one array of the model, entry by entry.

        Parameters
        ----------
        name : str
            "A", "H", "Q", ...

        Returns
        -------
        value, std : ndarray
            Both of the array's shape; the errors of entries that are given are zero.

        Raises
        ------
        KelmanError
            If there is no such array, or the data do not determine its entries; the message says why and what to ask for.
        """
        array = getattr(self.model, name, None) if name in SYSTEM or name in START else None
        if array is None:
            raise KelmanError(f"name: the model has no array {name!r:.30}")
        flat = self.template.constrain_jacobian(self._eta) @ (self._scale[:, None] * self._information.null)
        for column in flat.T:
            moved = [getattr(self.template._model(self.theta + sign * 1e-4 * column), name) for sign in (1, -1)]
            if np.abs(moved[0] - moved[1]).max() > 1e-7 * np.abs(array).max():
                raise KelmanError(
                    f"name: the entries of {name} are not determined by the data one by one: the likelihood is flat in "
                    f"{flat.shape[1]} directions, in which they move (with x' = T x any T A T^-1, H T^-1, T Q T' predicts the same). Ask for "
                    "what does not depend on the basis (poles, impulse, delta_method), fix the basis in the template, or see "
                    "kelman.identifiability(fit)"
                )
        value, cov = self.delta_method(lambda model: getattr(model, name))
        return value, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(value.shape)

    def confidence_intervals(self, level: float = 0.95, *, method: str = "wald") -> Array:
        """Intervals of the natural parameters.

        Parameters
        ----------
        level : float, default 0.95
            Probability of covering, in (0, 1).
        method : {"wald", "transformed", "profile"}
            Estimate and standard errors; the same in the unconstrained parameters, mapped back, so that bounds are kept; or
            where the profile likelihood falls by half the chi-square quantile.

        Returns
        -------
        ndarray, shape (K, 2)
            NaN for parameters at a bound (with "profile", only that end).

        Raises
        ------
        KelmanError
            If level is not in (0, 1), or a profile is asked for a parameter without a transform of its own.
        """
        level = probability(level)
        one_of(method, "method", ("wald", "transformed", "profile"))
        if method == "profile":
            return np.array([self.profile(name, level=level).interval for name in self.names])
        from scipy.special import ndtri

        quantile = float(ndtri(0.5 + level / 2))
        if method == "wald":
            reach = quantile * self.std_errors
            return np.stack([self.theta - reach, self.theta + reach], axis=1)
        jacobian = self.template.constrain_jacobian(self._eta)
        half = np.linalg.solve(jacobian, self._information.factor)
        reach = quantile * np.sqrt((half**2).sum(1))
        ends = np.empty((len(self.theta), 2))
        for k in range(len(self.theta)):
            for side, sign in enumerate((-1, 1)):
                moved = self._eta.copy()
                moved[k] += sign * reach[k]
                ends[k, side] = self.template.constrain(moved)[k]
        ends[self._information.held] = np.nan
        return np.sort(ends, axis=1)

    def profile(self, name: str, values: Any = None, *, level: float = 0.95) -> Profile:
        """Profile likelihood of one parameter: the highest likelihood at each of its values.

        Parameters
        ----------
        name : str
            One of ``names``, which has a transform of its own (not an entry of a covariance with free off-diagonals).
        values : array_like, optional
            Where to evaluate; left out, 15 points that reach a little beyond the interval.
        level : float, default 0.95
            Of the likelihood-ratio interval.

        Returns
        -------
        Profile
            ``values``, ``loglik``, ``interval``, ``plot()``.

        Raises
        ------
        KelmanError
            If there is no such parameter, or it has no transform of its own.
        """
        from kelman.identify._profile import profile

        return profile(self, name, values, probability(level))

    @property
    def poles(self) -> ComplexArray:
        """Eigenvalues of A, slowest first."""
        return poles(self._constant_A())

    @property
    def pole_covariance(self) -> Array:
        """Covariance of (real, imaginary) part of each pole, (n, 2, 2), by the delta method."""
        A = self._constant_A()
        _, cov = self.delta_method(lambda model: model.A.reshape(A.shape))
        return pole_covariance(A, cov)

    @property
    def pole_cov(self) -> Array:
        """The same as ``pole_covariance``, by the name that `read_dynamics` uses."""
        return self.pole_covariance

    @property
    def _poles_known(self) -> tuple[ComplexArray, Array]:
        return self.poles, self.pole_covariance

    def _constant_A(self) -> Array:
        A = self.model.A
        if A.ndim > 2 and A.size != A.shape[-1] * A.shape[-2]:
            raise KelmanError("poles: A varies in time or by series, so there are no poles of the model")
        return A.reshape(A.shape[-2:])

    def impulse(self, steps: int) -> tuple[Array, Array]:
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
        if self.model.B is None and self.model.D is None:
            raise KelmanError("impulse: the model has no inputs; noise_impulse is the response to the innovations")
        value, cov = self.delta_method(lambda model: _response(model, steps))
        return value, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(value.shape)

    def noise_impulse(self, steps: int) -> tuple[Array, Array]:
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
        from kelman.linear import steady_state

        one = np.eye(self.model.dims.m)
        value, cov = self.delta_method(lambda s: markov(s.A, steady_state(s).K, s.H, steps, one))
        return value, np.sqrt(np.maximum(np.diag(cov), 0.0)).reshape(value.shape)

    def summary(self) -> str:
        """Return a table of what was fitted, as text."""
        from kelman.identify._tables import parameter_table

        return parameter_table(self)

    def diagnose(self, **options: Any) -> Diagnosis:
        """Check whether the model describes the data that it was fitted to; see `kelman.diagnose`.

        Parameters
        ----------
        **options
            Those of `kelman.diagnose`.

        Returns
        -------
        Diagnosis
            With ``summary()`` and ``plot()``.
        """
        from kelman.identify._diagnose import diagnose

        z, u = self._objective.z, self._objective.u
        if not self._objective.batched:
            z, u = z[0], None if u is None else u[0]
        return diagnose(self.model, z, u, **options)

    def plot(self, **options: Any) -> Any:
        """Draw the fit (needs matplotlib); options go to ``kelman.plotting``."""
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        state = "" if self.converged else ", not converged"
        return f"ParameterFit({self.method}: {len(self.theta)} parameters, loglik {self.loglik:.4f}{state})"


def _response(model: StateSpace, steps: int) -> Array:
    dims = model.dims
    B = np.zeros((dims.n, dims.p)) if model.B is None else model.B
    D = np.zeros((dims.m, dims.p)) if model.D is None else model.D
    if model.input_lag == 0:  # u_k acts on x_k at once: D + H B, H A B, ...
        first = D + model.H @ B
        return np.asarray(markov(model.A, model.A @ B, model.H, steps, first))
    return np.asarray(markov(model.A, B, model.H, steps, D))
