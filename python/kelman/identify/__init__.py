# SPDX-License-Identifier: BSD-3-Clause
"""Learning from data: subspace and prediction-error fits of linear systems, training of networks."""

from kelman.identify._fit import fit as fit
from kelman.identify._pem import Iteration as Iteration
from kelman.identify._result import Fit as Fit, PoleEllipses as PoleEllipses
from kelman.identify._train import train as train
from kelman.identify._train_objective import Step as Step
from kelman.identify._train_result import Failure as Failure, TrainResult as TrainResult

__all__ = ["Failure", "Fit", "Iteration", "PoleEllipses", "Step", "TrainResult", "fit", "train"]
