# SPDX-License-Identifier: BSD-3-Clause
"""Algebra of linear time-invariant systems: Riccati and Lyapunov equations, poles, balancing, realisation, norms, distances."""

from kelman.lti._balance import (
    Balanced as Balanced,
    balance as balance,
    balanced_truncation as balanced_truncation,
    hankel_singular_values as hankel_singular_values,
)
from kelman.lti._bound import PoleBound as PoleBound, pole_crb as pole_crb
from kelman.lti._derivatives import pole_covariance as pole_covariance, pole_derivatives as pole_derivatives
from kelman.lti._discretize import Discrete as Discrete, discretize as discretize
from kelman.lti._gap import excess_covariance as excess_covariance, kullback_rate as kullback_rate, nu_gap as nu_gap
from kelman.lti._lyapunov import gramians as gramians, lyapunov as lyapunov
from kelman.lti._markov import (
    Realization as Realization,
    hankel as hankel,
    ho_kalman as ho_kalman,
    impulse as impulse,
    markov as markov,
)
from kelman.lti._norms import frequency_response as frequency_response, h2_norm as h2_norm, hinf_norm as hinf_norm
from kelman.lti._poles import (
    PoleStats as PoleStats,
    match_poles as match_poles,
    pole_stats as pole_stats,
    poles as poles,
    spectral_radius as spectral_radius,
)
from kelman.lti._riccati import Riccati as Riccati, dare as dare
from kelman.lti._split import StationarySplit as StationarySplit, stationary_split as stationary_split
from kelman.lti._standard import standard_form as standard_form

__all__ = [
    "Balanced",
    "Discrete",
    "PoleBound",
    "PoleStats",
    "Realization",
    "Riccati",
    "StationarySplit",
    "balance",
    "balanced_truncation",
    "dare",
    "discretize",
    "excess_covariance",
    "frequency_response",
    "gramians",
    "h2_norm",
    "hankel",
    "hankel_singular_values",
    "hinf_norm",
    "ho_kalman",
    "impulse",
    "kullback_rate",
    "lyapunov",
    "markov",
    "match_poles",
    "nu_gap",
    "pole_covariance",
    "pole_crb",
    "pole_derivatives",
    "pole_stats",
    "poles",
    "spectral_radius",
    "standard_form",
    "stationary_split",
]
