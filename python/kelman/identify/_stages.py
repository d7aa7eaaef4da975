# SPDX-License-Identifier: BSD-3-Clause
"""The stages of a fit, and how they went."""

from __future__ import annotations

from typing import NamedTuple


class Stage(NamedTuple):
    """One stage of a fit: subspace, pem, EM, L-BFGS or Newton.

    Attributes
    ----------
    name : str
    iterations : int
        0 for a stage that does not iterate.
    loglik : float
        Log-likelihood where it ended, plus the log-prior where there is one.
    seconds : float
        Time that it took.
    """

    name: str
    iterations: int
    loglik: float
    seconds: float


def stage_lines(stages: tuple[Stage, ...]) -> list[str]:
    """One line of text for each stage."""
    width = max((len(stage.name) for stage in stages), default=0)
    return [
        f"  stage {stage.name:<{width}} {stage.iterations:5d} iterations, log-likelihood {stage.loglik:.4f}, {stage.seconds:.3g} s"
        for stage in stages
    ]
