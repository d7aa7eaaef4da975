# SPDX-License-Identifier: BSD-3-Clause
"""The parameters of a template: names, starts, priors, and the way between natural and unconstrained values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import FLOAT64, as_floats
from ..errors import KelmanError
from ._transforms import Bounded, log_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import Array
    from ._template_parse import Block, Parameter


class Parametrised:
    """Base of `Template`: its parameters and their transforms."""

    _parameters: tuple[Parameter, ...]
    _blocks: tuple[Block, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self._parameters)

    @property
    def size(self) -> int:
        """Number of parameters K."""
        return len(self._parameters)

    @property
    def start(self) -> Array:
        """Where a fit begins (K,); NaN where it is chosen from the data."""
        return np.array([parameter.start for parameter in self._parameters])

    def constrain(self, eta: Any) -> Array:
        """Return natural parameters of unconstrained ones.

        Parameters
        ----------
        eta : array_like, shape (..., K)
            Any real numbers.

        Returns
        -------
        ndarray, shape (..., K)
        """
        eta = self._read(eta, "eta")
        theta: Array = np.empty_like(eta)
        for block in self._blocks:
            theta[..., block.columns] = block.transform.forward(eta[..., block.columns])
        return theta

    def unconstrain(self, theta: Any) -> Array:
        """Return unconstrained parameters of natural ones.

        Parameters
        ----------
        theta : array_like, shape (..., K)
            Natural parameters, within their bounds.

        Returns
        -------
        ndarray, shape (..., K)

        Raises
        ------
        KelmanError
            If one is out of its bounds; the message names it.
        """
        theta = self._read(theta)
        eta: Array = np.empty_like(theta)
        for block in self._blocks:
            try:
                eta[..., block.columns] = block.transform.inverse(theta[..., block.columns])
            except KelmanError as error:
                names = ", ".join(self.names[int(col)] for col in block.columns)
                raise KelmanError(f"{names}: {error}") from None
        return eta

    def constrain_jacobian(self, eta: Any) -> Array:
        """Return the derivative of natural by unconstrained parameters.

        Parameters
        ----------
        eta : array_like, shape (..., K)
            Unconstrained parameters.

        Returns
        -------
        ndarray, shape (..., K, K)
        """
        eta = self._read(eta, "eta")
        jacobian: Array = np.zeros((*eta.shape, self.size))
        for block in self._blocks:
            columns = block.columns
            jacobian[..., columns[:, None], columns] = block.transform.jacobian(eta[..., columns])
        return jacobian

    def log_volume(self, eta: Any) -> tuple[float, Array]:
        """Return ``log |det d theta / d eta|`` and its derivative, which a density of theta has more as one of eta.

        Parameters
        ----------
        eta : array_like, shape (K,)
            Unconstrained parameters.

        Returns
        -------
        value : float
        gradient : ndarray, shape (K,)
        """
        eta = self._read(eta, "eta")
        total, gradient = 0.0, np.zeros(self.size)
        for block in self._blocks:
            value, gradient[block.columns] = log_volume(block.transform, eta[block.columns])
            total += value
        return total, gradient

    def log_prior(self, theta: Any) -> tuple[float, Array]:
        """Return the log-density of the priors and its derivative by natural parameters (zero without priors).

        Parameters
        ----------
        theta : array_like, shape (K,)
            Natural parameters.

        Returns
        -------
        value : float
        gradient : ndarray, shape (K,)
        """
        theta = self._read(theta)
        total, gradient = 0.0, np.zeros(self.size)
        for k, parameter in enumerate(self._parameters):
            if parameter.prior is not None:
                value, gradient[k] = log_density(parameter.prior, float(theta[k]))
                total += value
        return total, gradient

    def _read(self, theta: Any, name: str = "theta") -> Array:
        if isinstance(theta, np.ndarray) and theta.dtype == FLOAT64 and theta.ndim and theta.shape[-1] == self.size:
            return theta
        array = as_floats(theta, name).astype(np.float64, copy=False)
        if array.ndim not in (1, 2) or array.shape[-1] != self.size:
            raise KelmanError(f"{name}: expected shape ({self.size},) or (N, {self.size}), got {array.shape}")
        return array


def log_density(prior: Any, value: float) -> tuple[float, float]:
    """Log-density of a prior and its derivative; that of a distribution by five-point differences."""
    if hasattr(prior, "logpdf"):
        step = 1e-4 * max(abs(value), 1e-4)
        points = [float(prior.logpdf(value + shift * step)) for shift in (-2, -1, 1, 2)]
        slope = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * step)
        return float(prior.logpdf(value)), slope if np.isfinite(slope) else 0.0
    density, slope = prior(value)
    return float(density), float(slope)


def _guess(parameter: Parameter) -> float:
    """A value that serves to check the arrays."""
    if not np.isnan(parameter.start):
        return parameter.start
    low, high = parameter.lower, parameter.upper
    if np.isfinite(low) and np.isfinite(high):
        return (low + high) / 2
    if np.isfinite(low) or np.isfinite(high):
        return low + 1 if np.isfinite(low) else high - 1
    return 0.0 if parameter.field not in ("A", "H") else 0.5


def guesses(parameters: Sequence[Parameter], blocks: Sequence[Block]) -> Array:
    """Return admissible values (K,): the starts; where there is none, unit covariances, contractions, 0.5 in A and H."""
    values = np.array([_guess(parameter) for parameter in parameters])
    for block in blocks:
        columns = block.columns
        joint = not isinstance(block.transform, Bounded)
        if joint and np.isnan([parameters[int(k)].start for k in columns]).any():
            values[columns] = block.transform.forward(np.zeros(len(columns)))
    return values
