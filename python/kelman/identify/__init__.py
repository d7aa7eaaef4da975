# SPDX-License-Identifier: BSD-3-Clause
"""Learning from data: subspace and prediction-error fits of linear systems, training of networks."""

from kelman.identify._auxiliary import Flag as Flag
from kelman.identify._diagnose import Diagnosis as Diagnosis, diagnose as diagnose
from kelman.identify._fit import fit as fit
from kelman.identify._innovations import NormalisedSquares as NormalisedSquares
from kelman.identify._pem import Iteration as Iteration
from kelman.identify._residual_tests import ResidualTest as ResidualTest
from kelman.identify._result import Fit as Fit, PoleEllipses as PoleEllipses
from kelman.identify._structure import Reach as Reach
from kelman.identify._train import train as train
from kelman.identify._train_objective import Step as Step
from kelman.identify._train_result import Failure as Failure, TrainResult as TrainResult
from kelman.identify._tune import Tuned as Tuned, tune as tune

__all__ = [
    "Diagnosis",
    "Failure",
    "Fit",
    "Flag",
    "Iteration",
    "NormalisedSquares",
    "PoleEllipses",
    "Reach",
    "ResidualTest",
    "Step",
    "TrainResult",
    "Tuned",
    "diagnose",
    "fit",
    "train",
    "tune",
]
