# SPDX-License-Identifier: BSD-3-Clause
"""Small data sets that come with the package, each with its source and its terms."""

from kelman.datasets._load import Dataset as Dataset, hairdryer as hairdryer, nile as nile

__all__ = ["Dataset", "hairdryer", "nile"]
