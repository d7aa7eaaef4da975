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
