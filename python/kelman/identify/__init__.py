# SPDX-License-Identifier: BSD-3-Clause
"""Learning from data: subspace, prediction-error and maximum-likelihood fits of linear systems, training of networks."""

from kelman.identify._auxiliary import Flag as Flag
from kelman.identify._bases import align as align, canonical as canonical, change_basis as change_basis
from kelman.identify._concentrate import Concentrated as Concentrated, concentrate as concentrate
from kelman.identify._diagnose import Diagnosis as Diagnosis, diagnose as diagnose
from kelman.identify._em import EmResult as EmResult, em as em
from kelman.identify._identifiability import Identifiability as Identifiability, identifiability as identifiability
from kelman.identify._innovations import NormalisedSquares as NormalisedSquares
from kelman.identify._maximise import FitStep as FitStep
from kelman.identify._order import OrderSelection as OrderSelection, select_order as select_order
from kelman.identify._panel_fit import PanelFit as PanelFit
from kelman.identify._parameter_fit import ParameterFit as ParameterFit
from kelman.identify._pem import Iteration as Iteration
from kelman.identify._pole_report import PoleEllipses as PoleEllipses
from kelman.identify._posterior import Posterior as Posterior
from kelman.identify._profile import Profile as Profile
from kelman.identify._residual_tests import ResidualTest as ResidualTest
from kelman.identify._result import Fit as Fit
from kelman.identify._stages import Stage as Stage
from kelman.identify._structure import Reach as Reach
from kelman.identify._train import train as train
from kelman.identify._train_journal import Step as Step
from kelman.identify._train_result import Failure as Failure, Start as Start, TrainResult as TrainResult
from kelman.identify._tune import Tuned as Tuned, tune as tune
from kelman.identify._verb import fit as fit

__all__ = [
    "Concentrated",
    "Diagnosis",
    "EmResult",
    "Failure",
    "Fit",
    "FitStep",
    "Flag",
    "Identifiability",
    "Iteration",
    "NormalisedSquares",
    "OrderSelection",
    "PanelFit",
    "ParameterFit",
    "PoleEllipses",
    "Posterior",
    "Profile",
    "Reach",
    "ResidualTest",
    "Stage",
    "Start",
    "Step",
    "TrainResult",
    "Tuned",
    "align",
    "canonical",
    "change_basis",
    "concentrate",
    "diagnose",
    "em",
    "fit",
    "identifiability",
    "select_order",
    "train",
    "tune",
]
