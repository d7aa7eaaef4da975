"""Several climbs of one likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import Free, Template, structural
from kelman.errors import KelmanError
from kelman.identify._climbs import climb
from kelman.identify._objective import Objective
from kelman.identify._starts import floors
from tests.reference.test_published import table


def prices() -> np.ndarray:
    """A series on which moving averages of order three have several likelihood maxima."""
    return table("wpi1.csv")["wpi"]


def test_an_edge_is_left() -> None:
    """A first climb that ends at the edge of the invertible region (-393.2) is followed by one from its middle (-379.9)."""
    model = structural.arma(0, 3, mean=True)
    fit = kelman.fit(prices(), template=model)
    assert fit.loglik > -379.87
    assert "the best of 2 climbs" in fit.message
    assert [stage.name for stage in fit.stages].count("off the edge") == 1
    first = next(stage for stage in fit.stages if stage.name == "Newton")
    assert first.loglik < -393


def test_more_starts_find_no_less_and_are_repeatable() -> None:
    """Ten starts end higher than one here (Stata: -142.1485); the same seed gives the same bits, the history all steps."""
    model = structural.arma(3, 3)
    one, ten, two, again = (kelman.fit(prices(), template=model, starts=n) for n in (1, 10, 2, 2))
    assert ten.loglik > -142.1486 > one.loglik
    assert np.array_equal(two.theta, again.theta)
    assert two.history == again.history
    assert len(ten.history) > len(one.history)
    assert max(step.loglik for step in ten.history) == pytest.approx(ten.loglik, abs=1e-7)
    assert {f"start {k}" for k in range(2, 11)} >= {stage.name for stage in ten.stages} - {
        "L-BFGS",
        "Newton",
        "off the edge",
    }


def test_unbounded_parameters_are_spread_in_their_own_units() -> None:
    """A level far from zero, with a mean as a free offset: the other starts are near it, and end at the same top."""
    z = 1e6 + np.random.default_rng(0).standard_normal(200)
    model = Template([[Free(0.5, -1, 1)]], [[1.0]], [[Free()]], [[0.1]], c=[Free()])
    one, more = (kelman.fit(z, template=model, starts=n) for n in (1, 4))
    assert more.loglik == pytest.approx(one.loglik, abs=1e-5)
    assert len([stage for stage in more.stages if stage.name.startswith("start")]) == 3


def test_ctrl_c_in_a_later_climb_keeps_the_best() -> None:
    """The first climb's top survives an interruption of the second."""
    model = structural.arma(3, 3)
    objective = Objective(model, prices())
    eta = model.unconstrain(model.start_from(prices()[:, None]))
    lowest = floors(objective)[0]
    alone = climb(objective, eta, lowest, starts=1, seed=0, max_iter=100, tol=1e-8, report=None)
    count = len(alone.history)

    def stop(iteration: int, value: float) -> None:
        del value
        if iteration > count + 2:
            raise KeyboardInterrupt

    top = climb(objective, eta, lowest, starts=5, seed=0, max_iter=100, tol=1e-8, report=stop)
    assert top.value >= alone.value
    assert not top.converged
    assert "interrupted" in top.message


@pytest.mark.parametrize(
    "options",
    [
        {"n_states": 1},
        {"template": structural.level(), "method": "em"},
        {"template": structural.level(), "per_series": True},
    ],
)
def test_refused_where_there_is_one_start(options: dict[str, Any]) -> None:
    """Only a template's likelihood is climbed several times."""
    with pytest.raises(KelmanError, match="starts: several climbs"):
        kelman.fit(np.zeros((2, 20, 1)), starts=3, **options)


def test_refused_numbers() -> None:
    """Zero climbs is nothing."""
    with pytest.raises(KelmanError, match="starts: expected a whole number of at least 1"):
        kelman.fit(prices(), template=structural.level(), starts=0)
