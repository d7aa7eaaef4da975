"""Start values: admissible for any data, in their unit, and near the truth where the data say what it is."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman import structural as st
from tests.structural.models import MODELS, series


@pytest.mark.parametrize("name", MODELS)
def test_starts_are_inside_and_follow_the_unit_of_the_data(name: str) -> None:
    """A thousandfold unit multiplies variances by a million, leaves dampings, frequencies and coefficients alone."""
    model = MODELS[name]
    z = series(model, 0)
    theta = model.start_from(z)
    assert np.isfinite(model.unconstrain(theta)).all()
    assert np.isfinite(kelman.loglik(model.model(theta), z))
    given = any(part.base[name].any() for part in model.components for name in ("Q", "R") if name in part.base)
    if given:
        return
    scaled = model.start_from(1000 * z)
    units = [variance for part in model.components for variance in part.variances]
    for one, other, variance, label in zip(theta, scaled, units, model.names, strict=True):
        covariance = variance or ".cov[" in label
        factor = 1e6 if covariance else 1e3 if ".mean" in label or ".loading" in label else 1.0
        np.testing.assert_allclose(other, factor * one, rtol=1e-6, err_msg=label)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_starts_of_badly_scaled_data(scale: float, offset: float) -> None:
    """Offset 1e4 and scales 1e-6 to 1e6: the start of a basic structural model is more likely than a tenth or ten times it."""
    model = st.trend() + st.seasonal(4)
    truth = model.model([0.1, 0.01, 0.01, 1.0])
    z = offset + scale * kelman.simulate(truth.replace(P1_inf=None, P1=np.eye(5), m1=np.zeros(5)), 120, rng=0).z
    theta = model.start_from(z)
    values = [float(kelman.loglik(model.model(theta * factor), z)) for factor in (0.1, 1.0, 10.0)]
    assert np.argmax(values) == 1


def test_a_constant_series_and_one_of_gaps_have_starts() -> None:
    """Nothing to learn from is no reason to fail."""
    for z in (np.full(30, 7.0), np.r_[1.0, np.full(20, np.nan), 2.0]):
        for model in (st.level(), st.arma(1, 1), st.level() + st.cycle()):
            theta = model.start_from(z)
            assert np.isfinite(model.unconstrain(theta)).all()


def test_regressions_find_autoregressions() -> None:
    """Coefficients of an ARMA, a VAR and a factor model from long series are within a few standard errors of the truth."""
    truth = st.arma(2, 1, mean=True).model([1.2, -0.5, 0.4, 2.0, 10.0])
    z = kelman.simulate(truth, 5000, rng=1).z
    theta = st.arma(2, 1, mean=True).start_from(z)
    np.testing.assert_allclose(theta, [1.2, -0.5, 0.4, 2.0, 10.0], atol=0.15)
    coefficients = [0.6, 0.2, -0.3, 0.5, 2.0, 0.5, 1.0]
    z = kelman.simulate(st.var(1, 2).model(coefficients), 5000, rng=2).z
    np.testing.assert_allclose(st.var(1, 2).start_from(z), coefficients, atol=0.15)
    factor = st.dynamic_factor(3)
    z = kelman.simulate(factor.model([2.0, 1.0, -1.0, 0.8, 0.5, 0.5, 0.5]), 5000, rng=3).z
    theta = factor.start_from(z)
    np.testing.assert_allclose(np.abs(theta[:3]) / abs(theta[0]), [1.0, 0.5, 0.5], atol=0.1)
    np.testing.assert_allclose(theta[3], 0.8, atol=0.15)


def test_a_cycle_begins_at_its_frequency_and_two_apart() -> None:
    """A sine of period 20 gives the frequency within a tenth; a second cycle begins somewhere else."""
    rng = np.random.default_rng(4)
    z = 3 * np.sin(2 * np.pi * np.arange(200) / 20) + rng.normal(size=200)
    one = (st.level() + st.cycle((4, 60))).start_from(z)
    np.testing.assert_allclose(one[2], 2 * np.pi / 20, rtol=0.1)
    two = st.level() + st.cycle((4, 60)) + st.cycle((4, 60))
    theta = dict(zip(two.names, two.start_from(z), strict=True))
    assert abs(np.log(theta["cycle.frequency"] / theta["cycle 2.frequency"])) > 0.3
