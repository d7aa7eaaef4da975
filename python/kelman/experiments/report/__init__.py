# SPDX-License-Identifier: BSD-3-Clause
"""The report of the experiment: a page that needs nothing but itself."""

from kelman.experiments.report._render import write_report as write_report

__all__ = ["write_report"]
