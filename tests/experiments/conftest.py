"""One quick run of the whole experiment, shared by the tests that look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kelman.experiments import builtin_data, run

if TYPE_CHECKING:
    from kelman.experiments import Experiment


@pytest.fixture(scope="session")
def quick() -> Experiment:
    """Every study at its quick size."""
    return run(builtin_data(), quick=True, seed=0)
