"""Extraction: components against the dense oracle, and that they add up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import kelman
from kelman import structural as st
from kelman.errors import KelmanError
from tests.oracles import Dense
from tests.structural.models import MODELS, T, X, parameters, series


@pytest.mark.parametrize("name", MODELS)
def test_components_add_up_to_the_measurements(name: str) -> None:
    """What is additive, the irregular among it, adds up to z wherever z was seen."""
    model = MODELS[name]
    _, theta = parameters(model, 1)
    z = series(model, 2)
    c = st.components(model, z, theta=theta)
    total = sum(c[each].mean for each in c if c[each].additive)
    seen = ~np.isnan(z)
    np.testing.assert_allclose(total[seen], z[seen], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", ["local linear", "two seasons", "cycle", "random walk coefficients", "factors", "var"])
def test_means_and_variances_are_those_of_the_joint_distribution(name: str) -> None:
    """Each component's mean is h'x and its variance h'Ph with the dense oracle's smoothed moments."""
    model = MODELS[name]
    _, theta = parameters(model, 3)
    z = series(model, 4)
    made = model.model(theta)
    mean, cov, _ = Dense(made, z).smoothed()
    c = st.components(model, z, theta=theta)
    offset = 0.0 if made.c is None else made.c
    for part in model.components:
        if not part.n or part.kind == "regression":
            continue
        here = model.states[part.name]
        h = made.H[..., here]
        h = np.broadcast_to(h, (T, *h.shape[-2:]))
        signal = c[part.name]
        np.testing.assert_allclose(signal.mean, np.einsum("tkn,tn->tk", h, mean[:, here]) + offset, atol=1e-7)
        variance = np.einsum("tkn,tnj,tkj->tk", h, cov[:, here, here], h)
        np.testing.assert_allclose(signal.std**2, variance, rtol=1e-6, atol=1e-7)
    if name == "random walk coefficients":
        beta = model.states["regression"].start + 1
        np.testing.assert_allclose(c["regression b coefficient"].mean[:, 0], mean[:, beta], atol=1e-8)
        np.testing.assert_allclose(c["regression b"].mean[:, 0], X[:, 1] * mean[:, beta], atol=1e-8)
        np.testing.assert_allclose(c["regression b"].std[:, 0] ** 2, X[:, 1] ** 2 * cov[:, beta, beta], atol=1e-7)


def test_the_irregular_of_a_gap_is_the_noise_itself() -> None:
    """Where nothing was measured the irregular has mean zero and its own variance; elsewhere that of what is known."""
    z = kelman.datasets.nile().z.copy()
    z[20:40] = np.nan
    c = st.components(st.level(), z, theta=[1469.1, 15099.0])
    noise = c["irregular"]
    np.testing.assert_array_equal(noise.mean[20:40], 0.0)
    np.testing.assert_allclose(noise.std[20:40] ** 2, 15099.0)
    np.testing.assert_allclose(noise.std[:20], c["level"].std[:20])
    low, high = c["level"].interval(0.9)
    np.testing.assert_allclose(high - low, 2 * 1.6448536269514722 * c["level"].std)


def test_several_series_at_once() -> None:
    """A batch and a ragged list give what each series gives alone."""
    model = st.trend() + st.seasonal(4)
    theta = [0.2, 0.1, 0.05, 0.5]
    z = [series(model, seed)[: 20 + 5 * seed] for seed in range(3)]
    many = st.components(model, z, theta=theta)
    for i, one in enumerate(z):
        alone = st.components(model, one, theta=theta)
        for name in alone:
            np.testing.assert_allclose(many[name].mean[i, : len(one)], alone[name].mean, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(many[name].std[i, : len(one)], alone[name].std, rtol=1e-8)
            assert np.isnan(many[name].mean[i, len(one) :]).all()
    assert many.z.shape[0] == 3


def test_series_with_parameters_of_their_own() -> None:
    """A fit for each series is taken apart series by series."""
    model = st.level()
    z = [series(model, seed)[: 20 + seed] for seed in range(3)]
    theta = np.array([[0.1, 1.0], [0.5, 0.5], [2.0, 0.1]])
    many = st.components(SimpleNamespace(template=model, theta=theta), z)
    for i, one in enumerate(z):
        alone = st.components(model, one, theta=theta[i])
        np.testing.assert_array_equal(many["level"].mean[i, : len(one)], alone["level"].mean)
        assert many.loglik[i] == alone.loglik
    with pytest.raises(KelmanError, match="is for 2 series"):
        st.components(model, z, theta=theta[:2])


def test_a_fit_brings_its_parameters() -> None:
    """Anything with a structural template and parameters serves; the words of the result name every component."""
    model = st.trend() + st.seasonal(4)
    z = series(model, 0)
    theta = [0.2, 0.1, 0.05, 0.5]
    c = st.components(SimpleNamespace(template=model, theta=theta), z)
    assert c.names == ("trend", "trend slope", "seasonal(4)", "irregular")
    assert len(c) == 4
    assert "irregular" in c
    assert all(name in c.summary() and name in repr(c) for name in c)
    np.testing.assert_allclose(c.loglik, kelman.loglik(model.model(theta), z))
    with pytest.raises(KelmanError, match="no 'cycle' in it"):
        c["cycle"]
    with pytest.raises(KelmanError, match="level: expected a probability"):
        c["trend"].interval(95)


def test_wrong_sources_are_refused() -> None:
    """A plain model has no components, and a template alone no parameters."""
    with pytest.raises(KelmanError, match="source: expected a Structural"):
        st.components(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]), [1.0])
    with pytest.raises(KelmanError, match="theta: needed"):
        st.components(st.level(), [1.0, 2.0])


@pytest.mark.parametrize(
    ("model", "panels"),
    [
        (
            st.trend() + st.seasonal(4) + st.regression(X),
            ["trend", "seasonal(4)", "regression x1", "regression x2", "irregular"],
        ),
        (st.var(1, 2), ["var"]),
    ],
    ids=["trend", "var"],
)
def test_the_figure_shows_each_additive_component(model: st.Structural, panels: list[str]) -> None:
    """One panel for each summand; its line is the mean."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, theta = parameters(model, 0)
    c = st.components(model, series(model, 0), theta=theta)
    fig = c.plot(time=np.arange(1900, 1900 + T))
    assert [ax.get_title("left") for ax in fig.axes] == panels
    for ax, name in zip(fig.axes, panels, strict=True):
        drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines if len(line.get_ydata()) == T]
        assert any(np.array_equal(line, c[name].mean[:, 0]) for line in drawn)
    with pytest.raises(KelmanError, match="time: expected shape"):
        c.plot(time=[1, 2])
    plt.close("all")
