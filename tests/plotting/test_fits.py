"""Figures of fits, trainings, read-outs and comparisons: drawn from real results, with their numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import kelman

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def series() -> np.ndarray:
    """A thousand measurements of the rotation."""
    return kelman.simulate(kelman.systems.rotation(), 1000, rng=np.random.default_rng(0)).z


def points(ax: Any) -> np.ndarray:
    """Every point of every line of some axes as complex numbers."""
    return np.concatenate([line.get_xdata() + 1j * np.asarray(line.get_ydata()) for line in ax.lines])


@pytest.mark.parametrize("method", ["subspace", "pem"])
def test_a_fit_shows_its_poles(series: np.ndarray, method: str) -> None:
    """The poles of a fit are among the points drawn."""
    fit = kelman.fit(series, n_states=2, method=method)
    drawn = points(fit.plot().axes[0])
    for pole in fit.poles:
        assert np.abs(drawn - pole).min() < 1e-12


def test_training_and_reading_are_drawn(series: np.ndarray) -> None:
    """The losses of the training and, of the reading, right and wrong poles are drawn."""
    net = kelman.train(2, series[:-1], series[1:], hidden="identity", inputs=("z",), target="z_next")
    ax = net.plot()
    heights = np.concatenate([line.get_ydata() for line in ax.lines])
    assert {step.loss for step in net.history} <= set(heights)
    reading = kelman.read_dynamics(net.rnn, z=series)
    drawn = points(reading.plot().axes[0])
    for pole in (*reading.poles, *reading.poles_recurrent):
        assert np.abs(drawn - pole).min() < 1e-12


def test_a_comparison_joins_partners(series: np.ndarray) -> None:
    """Both sets of poles of a comparison are drawn, and a line joins each pair."""
    found = kelman.fit(series, n_states=2, method="subspace").model
    comparison = kelman.compare(kelman.systems.rotation(), found)
    ax = comparison.plot()
    drawn = points(ax)
    for pole in (*comparison.poles_a, *comparison.poles_b):
        assert np.abs(drawn - pole).min() < 1e-12


def test_a_fitted_template_its_profile_and_a_panel_are_drawn() -> None:
    """The estimates are in the pictures: predictions of the measured values, ends of the interval, every series once."""
    level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    z = kelman.datasets.nile().z
    fit = kelman.fit(z, template=level)
    figure = fit.plot()
    drawn = {float(y) for ax in figure.axes for line in ax.lines for y in np.atleast_1d(line.get_ydata())}
    assert set(np.ravel(z).tolist()) <= drawn
    profile = fit.profile("Q[0,0]")
    ends = {float(line.get_xdata()[0]) for line in profile.plot().lines if len(set(line.get_xdata())) == 1}
    assert ends == set(profile.interval.tolist())
    many = kelman.fit(
        np.stack([z, z[::-1], z + 5])[..., None] if z.ndim == 1 else np.stack([z, z[::-1], z + 5]),
        template=level,
        per_series=True,
    )
    counts = [sum(bar.get_height() for bar in ax.patches) for ax in many.plot().axes]
    assert counts == [3, 3]


def test_order_selection_has_three_panels(series: np.ndarray) -> None:
    """Correlations with their threshold, BIC and held-out likelihood are drawn, the chosen orders too; or that nothing is held out."""
    found = kelman.identify.select_order(series)
    one, two, three = found.plot().axes
    assert found.threshold in one.lines[-1].get_ydata()
    np.testing.assert_allclose(two.lines[0].get_ydata(), found.bic - found.bic.min())
    assert two.lines[1].get_xdata()[0] == found.by_bic
    held = next(
        line
        for line in three.lines
        if len(line.get_xdata()) == len(found.orders) and line.get_color() == two.lines[0].get_color()
    )
    np.testing.assert_allclose(held.get_ydata(), found.heldout - found.heldout.max())
    assert "nothing held out" in kelman.identify.select_order(series, holdout=0).plot().axes[2].texts[0].get_text()
