# SPDX-License-Identifier: BSD-3-Clause
"""Small data sets that come with the package, each with its source and its terms."""

from kelman.datasets._economic import airline as airline, uk_drivers as uk_drivers, us_macro as us_macro
from kelman.datasets._load import Dataset as Dataset, hairdryer as hairdryer, nile as nile

__all__ = ["Dataset", "airline", "hairdryer", "nile", "uk_drivers", "us_macro"]
