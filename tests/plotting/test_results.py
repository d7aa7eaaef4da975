"""Figures of results: what is drawn are the numbers of the result; the user's settings are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import kelman
from kelman import plotting
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def batch() -> dict[str, Any]:
    """Three simulated series of a model with two states."""
    model = kelman.systems.rotation()
    sim = kelman.simulate(model, 40, N=3, rng=np.random.default_rng(0))
    return {"model": model, "sim": sim, "z": sim.z}


def lines(ax: Any) -> list[np.ndarray]:
    """Heights of the lines of some axes."""
    return [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]


@pytest.mark.parametrize("verb", ["filter", "smooth"])
def test_states_are_drawn_with_their_bands(batch: dict[str, Any], verb: str) -> None:
    """The line of each panel is the mean of the chosen series, and the band is 1.96 standard deviations wide."""
    result = getattr(kelman, verb)(batch["model"], batch["z"])
    fig = result.plot(series=1)
    assert len(fig.axes) == 2
    for j, ax in enumerate(fig.axes):
        np.testing.assert_array_equal(lines(ax)[0], result.mean[1, :, j])
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        sd = np.sqrt(result.cov[1, :, j, j])
        assert band.max() == pytest.approx((result.mean[1, :, j] + 1.959964 * sd).max(), rel=1e-6)


def test_forecast_follows_the_past(batch: dict[str, Any]) -> None:
    """The forecast begins one step after the past that is drawn before it."""
    f = kelman.forecast(batch["model"], batch["z"][0], 7)
    fig = f.plot(z=batch["z"][0])
    past, ahead = fig.axes[0].lines
    assert past.get_xdata()[-1] + 1 == ahead.get_xdata()[0]
    np.testing.assert_array_equal(ahead.get_ydata(), f.mean[:, 0])


def test_simulation_is_drawn(batch: dict[str, Any]) -> None:
    """Measurements and states of the chosen series are drawn."""
    fig = batch["sim"].plot(series=2)
    np.testing.assert_array_equal(lines(fig.axes[0])[0], batch["sim"].z[2, :, 0])
    np.testing.assert_array_equal(lines(fig.axes[1])[1], batch["sim"].x[2, :, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"series": 3}, "series"), ({"states": [2]}, "states"), ({"states": []}, "states"), ({"level": 1.0}, "level")],
)
def test_wrong_options_are_refused_by_name(batch: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """A series, state or level that is not there raises and says so."""
    with pytest.raises(KelmanError, match=message):
        kelman.filter(batch["model"], batch["z"]).plot(**options)


def test_a_result_without_covariances_says_which_store_keeps_them(batch: dict[str, Any]) -> None:
    """Drawing a filter result that kept no covariance raises and names the store that does."""
    with pytest.raises(KelmanError, match="store="):
        kelman.filter(batch["model"], batch["z"], store="means").plot()


def test_an_ellipse_covers_95_percent(batch: dict[str, Any]) -> None:
    """Of 20,000 draws from the covariance of a pole, 95 % lie inside the ellipse that is drawn."""
    from matplotlib.path import Path

    cov = np.array([[2e-4, 1.5e-4], [1.5e-4, 3e-4]])
    ax = plotting.plot_poles([0.5 + 0.5j], [cov])
    curve = next(line for line in ax.lines if len(line.get_xdata()) == 121)
    inside = Path(np.asarray(curve.get_xydata())).contains_points(
        np.random.default_rng(0).multivariate_normal([0.5, 0.5], cov, 20_000)
    )
    assert np.mean(inside) == pytest.approx(0.95, abs=0.006)


def test_drawing_leaves_the_users_settings_alone(batch: dict[str, Any]) -> None:
    """After a figure matplotlib's settings are what they were."""
    before = dict(matplotlib.rcParams)
    kelman.filter(batch["model"], batch["z"]).plot()
    assert dict(matplotlib.rcParams) == before


def test_what_cannot_be_drawn_is_said() -> None:
    """A record that has no figure is refused with the list of those that have."""
    from kelman import _registry

    with pytest.raises(KelmanError, match="FilterResult"):
        _registry.plot(3.0)
    with pytest.raises(KelmanError, match="poles"):
        _registry.figure("teapot", None)
