# SPDX-License-Identifier: BSD-3-Clause
"""Algebra of linear time-invariant systems: Riccati and Lyapunov equations, poles, balancing, realisation, norms, distances."""

from kelman.lti._balance import Balanced as Balanced
from kelman.lti._balance import balance as balance
from kelman.lti._balance import balanced_truncation as balanced_truncation
from kelman.lti._balance import hankel_singular_values as hankel_singular_values
from kelman.lti._lyapunov import gramians as gramians
from kelman.lti._lyapunov import lyapunov as lyapunov
from kelman.lti._markov import Realization as Realization
from kelman.lti._markov import hankel as hankel
from kelman.lti._markov import ho_kalman as ho_kalman
from kelman.lti._markov import impulse as impulse
from kelman.lti._markov import markov as markov
from kelman.lti._poles import PoleStats as PoleStats
from kelman.lti._poles import match_poles as match_poles
from kelman.lti._poles import pole_stats as pole_stats
from kelman.lti._poles import poles as poles
from kelman.lti._poles import spectral_radius as spectral_radius
from kelman.lti._riccati import Riccati as Riccati
from kelman.lti._riccati import dare as dare
from kelman.lti._split import StationarySplit as StationarySplit
from kelman.lti._split import stationary_split as stationary_split
from kelman.lti._standard import standard_form as standard_form

__all__ = [
    "Balanced",
    "PoleStats",
    "Realization",
    "Riccati",
    "StationarySplit",
    "balance",
    "balanced_truncation",
    "dare",
    "gramians",
    "hankel",
    "hankel_singular_values",
    "ho_kalman",
    "impulse",
    "lyapunov",
    "markov",
    "match_poles",
    "pole_stats",
    "poles",
    "spectral_radius",
    "standard_form",
    "stationary_split",
]
