# SPDX-License-Identifier: BSD-3-Clause
"""The studies that answer the question, each a function that returns data; ``report`` writes them down."""

from kelman.experiments._activation import Activation as Activation, activation as activation
from kelman.experiments._exact_map import ExactMap as ExactMap, exact_map as exact_map
from kelman.experiments._pairing import LiteralPairing as LiteralPairing, literal_pairing as literal_pairing
from kelman.experiments._record import to_json as to_json, without_seconds as without_seconds
from kelman.experiments._whiteness import Whiteness as Whiteness, whiteness as whiteness

__all__ = [
    "Activation",
    "ExactMap",
    "LiteralPairing",
    "Whiteness",
    "activation",
    "exact_map",
    "literal_pairing",
    "to_json",
    "whiteness",
    "without_seconds",
]
