# SPDX-License-Identifier: BSD-3-Clause
"""Learning models from data: subspace and prediction-error fits of linear systems."""

from kelman.identify._fit import fit as fit
from kelman.identify._pem import Iteration as Iteration
from kelman.identify._result import Fit as Fit, PoleEllipses as PoleEllipses

__all__ = ["Fit", "Iteration", "PoleEllipses", "fit"]
