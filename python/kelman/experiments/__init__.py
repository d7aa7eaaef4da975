# SPDX-License-Identifier: BSD-3-Clause
"""The studies that answer the question, each a function that returns data; ``report`` writes them down."""

from kelman.experiments._activation import Activation as Activation, activation as activation
from kelman.experiments._data import DataStudy as DataStudy, data_study as data_study
from kelman.experiments._exact_map import ExactMap as ExactMap, exact_map as exact_map
from kelman.experiments._learning import LearningCurve as LearningCurve, learning_curve as learning_curve
from kelman.experiments._pairing import LiteralPairing as LiteralPairing, literal_pairing as literal_pairing
from kelman.experiments._record import to_json as to_json, without_seconds as without_seconds
from kelman.experiments._run import (
    DataSource as DataSource,
    Experiment as Experiment,
    builtin_data as builtin_data,
    run as run,
)
from kelman.experiments._weights import Weights as Weights, weights as weights
from kelman.experiments._whiteness import Whiteness as Whiteness, whiteness as whiteness

__all__ = [
    "Activation",
    "DataSource",
    "DataStudy",
    "ExactMap",
    "Experiment",
    "LearningCurve",
    "LiteralPairing",
    "Weights",
    "Whiteness",
    "activation",
    "builtin_data",
    "data_study",
    "exact_map",
    "learning_curve",
    "literal_pairing",
    "run",
    "to_json",
    "weights",
    "whiteness",
    "without_seconds",
]
