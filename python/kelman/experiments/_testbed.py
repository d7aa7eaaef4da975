# SPDX-License-Identifier: BSD-3-Clause
"""The system with a known truth on which the networks are tried, and the yardsticks that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.linear import steady_state
from kelman.lti import lyapunov, pole_crb, poles

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of the system exactly: its filter, its poles and how well any method can find them."""

    model: StateSpace
    K: Array
    Sigma: Array
    F: Array
    poles: Array
    wrong_poles: Array
    pole_cov: Array  # Cramer-Rao bound of (real, imaginary) part of the leading pole, times T
    modulus_sd: float  # Cramer-Rao standard deviation of the modulus of the leading pole, times sqrt(T)
    angle_sd: float
    n_parameters: int  # d: the identifiable parameters of the predictor
    trivial_excess: float  # tr(Sigma^-1 Delta) of the predictor that says zero

    @property
    def modulus(self) -> float:
        """Modulus of the leading pole."""
        return float(np.abs(leading(self.poles)))

    @property
    def angle(self) -> float:
        """Angle of the leading pole, radians per step."""
        return float(np.angle(leading(self.poles)))


def leading(values: Array) -> complex:
    """Return the pole of largest modulus, the one with non-negative angle of a pair.

    Parameters
    ----------
    values : array_like, shape (n,)
        Poles.

    Returns
    -------
    complex
    """
    z = np.asarray(values, dtype=complex)
    upper = z[z.imag >= 0.0]
    return complex(upper[np.argmax(np.abs(upper))])


def covariance_of(pole: complex, all_poles: Array, cov: Array | None) -> Array | None:
    """Return the covariance that belongs to one of several poles, or None where it is not known.

    Parameters
    ----------
    pole : complex
        One of the poles.
    all_poles : array_like, shape (n,)
        All of them.
    cov : array_like, shape (n, 2, 2), or None
        Covariance of (real, imaginary) part of each.

    Returns
    -------
    ndarray, shape (2, 2), or None
    """
    if cov is None:
        return None
    own = np.asarray(cov)[int(np.argmin(np.abs(np.asarray(all_poles) - pole)))]
    return own if np.isfinite(own).all() else None


def nearest(values: Array, target: complex) -> complex:
    """Return the pole that lies nearest to a target.

    Parameters
    ----------
    values : array_like, shape (n,)
        Poles found.
    target : complex
        Pole of the truth, with non-negative imaginary part.

    Returns
    -------
    complex
    """
    z = np.asarray(values, dtype=complex)
    return complex(z[np.argmin(np.abs(z - target))])


def truth(model: StateSpace) -> Truth:
    """Work out the yardsticks of a model without inputs: its filter, its poles, the Cramer-Rao bound of the poles.

    Parameters
    ----------
    model : StateSpace
        Stable, time-invariant, observed through m values without inputs, with a complex or real leading pole.

    Returns
    -------
    Truth
    """
    ss = steady_state(model)
    Sigma = np.asarray(ss.innovation_cov)
    F = model.A - ss.K @ model.H
    bound = pole_crb(model)
    j = int(np.argmin(np.abs(bound.poles - leading(bound.poles))))
    signal = model.H @ lyapunov(model.A, model.Q) @ model.H.T + model.R - Sigma
    return Truth(
        model=model,
        K=np.asarray(ss.K),
        Sigma=Sigma,
        F=F,
        poles=bound.poles,
        pole_cov=bound.covariance[j],
        wrong_poles=poles(F),
        modulus_sd=float(bound.modulus_std[j]),
        angle_sd=float(bound.angle_std[j]),
        n_parameters=bound.dimension,
        trivial_excess=float(np.trace(np.linalg.solve(Sigma, signal))),
    )
