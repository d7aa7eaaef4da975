"""Reading predictors by what they do, and by their Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bridge.systems import bed, draw

import kelman


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    """A record of the test bed."""
    return draw(bed(), 30_000, np.random.default_rng(0))[0]


def test_any_function_can_be_read(z: np.ndarray) -> None:
    """The exact filter, given as a function, is read to order 2 and to its poles, far inside the error bars of the data."""
    net = kelman.to_elman(bed())
    d = kelman.read_dynamics(lambda x: kelman.forward(net, x).y, z=z)
    assert (d.method, d.order) == ("behaviour", 2)
    assert d.linear_r2 == pytest.approx(1.0, abs=1e-9)
    assert np.abs(d.poles - 0.95 * np.exp([0.3j, -0.3j])).max() < 1e-4
    assert d.covers(0.95 * np.exp([0.3j, -0.3j])).all()
    assert d.n_samples * kelman.excess_risk(d, bed()) < 0.1


def test_behaviour_and_weights_agree_on_a_linear_network(z: np.ndarray) -> None:
    """Read by behaviour, a linear network gives the impulse response that its weights give."""
    net = kelman.to_elman(bed())
    one, two = (kelman.read_dynamics(net, z=z, method=m, order=2) for m in ("weights", "behaviour"))
    np.testing.assert_allclose(two.markov(20), one.markov(20), atol=1e-3)
    np.testing.assert_allclose(two.pole_std, one.pole_std, rtol=0.02)


@pytest.mark.parametrize("form", ["predicted", "aligned"])
def test_inputs_are_read_by_behaviour(form: str) -> None:
    """With inputs, the responses to u come back as well as those to the innovation."""
    model = bed().replace(B=[[1.0], [0.5]])
    if form == "predicted":
        model = kelman.StateSpace.from_shifted(model.A, model.H, model.Q, model.R, B=model.B)
    z, u = draw(model, 20_000, np.random.default_rng(1))
    net = kelman.to_elman(model, form)
    d = kelman.read_dynamics(net, z=z, u=u, method="behaviour")
    A, B, H, D = kelman.lti.standard_form(model)
    K = kelman.lti.dare(A, H, model.Q, model.R).K
    want = kelman.lti.markov(A, np.hstack([B, K]), H, 20, np.hstack([D, np.eye(1)]))
    assert d.order == 2
    np.testing.assert_allclose(d.markov(20), want, atol=2e-3)


def test_offsets_are_kept() -> None:
    """A network with offsets, read by weights and by behaviour, gives a model that predicts the same level."""
    model = bed().replace(b=[0.3, -0.1], c=[5.0])
    z, _ = draw(model.replace(m0=[0.0, 0.0], P0=np.eye(2)), 20_000, np.random.default_rng(2))
    level = model.H @ np.linalg.solve(np.eye(2) - model.A, model.b) + model.c
    for method in ("weights", "behaviour"):
        d = kelman.read_dynamics(kelman.to_elman(model), z=z, method=method, order=2)
        b = np.zeros(2) if d.model.b is None else d.model.b
        read = d.H @ np.linalg.solve(np.eye(2) - d.A, b) + d.model.c
        np.testing.assert_allclose(read, level, rtol=1e-3)
        assert kelman.excess_risk(d, model) < 1e-5


def test_saturation_is_measured(z: np.ndarray) -> None:
    """A tanh network of gain .3 has a linear R^2 near .995, is flagged gain-limited, and its poles move inwards with amplitude."""
    net = kelman.to_elman(bed(), hidden="tanh", gain=0.3)
    d = kelman.read_dynamics(net, z=z, order=2, amplitudes=(0.5, 1.0, 2.0))
    assert d.linear_r2 == pytest.approx(0.995, abs=2e-3)
    assert any(flag.startswith("gain-limited") for flag in d.flags)
    sizes = [np.abs(d.amplitude_poles[a]).max() for a in (0.5, 1.0, 2.0)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[1] == pytest.approx(np.abs(d.poles).max(), abs=1e-6)


def test_jacobian_at_the_fixed_point_is_the_small_signal_model(z: np.ndarray) -> None:
    """At rest the free-running Jacobian of a tanh copy of the filter has the true poles; the average one lies inside."""
    net = kelman.to_elman(bed().replace(c=[1.0]), hidden="tanh", gain=0.3)
    at_rest = kelman.read_dynamics(net, z=z + 1.0, method="jacobian", order=2)
    average = kelman.read_dynamics(net, z=z + 1.0, method="average_jacobian", order=2)
    np.testing.assert_allclose(np.abs(at_rest.poles), 0.95, atol=1e-9)
    assert 0.88 < np.abs(average.poles).max() < 0.94


def test_probe_can_be_supplied(z: np.ndarray) -> None:
    """A model, or fresh data, serve as a probe instead of the autoregression; without data there are no error bars."""
    net = kelman.to_elman(bed(), hidden="tanh", gain=0.03)
    for probe in (bed(), z):
        d = kelman.read_dynamics(net, probe=probe, method="behaviour", order=2)
        assert np.abs(np.abs(d.poles) - 0.95).max() < 2e-3
        assert np.isnan(d.pole_cov).all()
        assert d.n_samples == 0


def test_read_out_is_reproducible(z: np.ndarray) -> None:
    """The same seed gives the same numbers, and another seed others."""
    net = kelman.to_elman(bed(), hidden="tanh", gain=0.3)
    one, two, other = (kelman.read_dynamics(net, z=z, order=2, rng=seed).poles for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_marginal_modes_are_found_and_left_out(z: np.ndarray) -> None:
    """Spare modes at the unit circle with small weights do not reach the model, and are named."""
    rng = np.random.default_rng(0)
    net = kelman.to_elman(bed())
    U = np.zeros((8, 8))
    U[:2, :2] = net.U
    U[2:, 2:] = np.diag([0.999999, -0.99999, 0.9999, 0.5, -0.3, 0.1])
    wide = net.replace(
        U=U,
        W=np.vstack([net.W, 1e-3 * rng.normal(size=(6, 1))]),
        V=np.hstack([net.V, 1e-3 * rng.normal(size=(1, 6))]),
        b=None,
        h0=None,
    )
    d = kelman.read_dynamics(wide, z=z)
    assert d.order == 2
    assert any(flag.startswith("marginal") for flag in d.flags)
    assert d.n_samples * kelman.excess_risk(d, bed()) < 0.5


def test_refit_polishes_on_the_data(z: np.ndarray) -> None:
    """A network that was trained badly is brought to the prediction-error estimate by `refit`, and to the same from elsewhere."""
    good = kelman.to_elman(bed())
    bad = good.replace(U=0.9 * good.U, W=1.2 * good.W)
    polished = [kelman.read_dynamics(net, z=z, order=2, refit=True) for net in (good, bad)]
    np.testing.assert_allclose(np.abs(polished[0].poles), np.abs(polished[1].poles), atol=5e-4)
    assert polished[1].n_samples * kelman.excess_risk(polished[1], bed()) < 15
    fit = kelman.fit(z, n_states=2, method="pem")
    np.testing.assert_allclose(np.abs(polished[0].poles), np.abs(np.linalg.eigvals(fit.model.A)).max(), atol=5e-4)


def test_summary_says_it_in_a_dozen_lines(z: np.ndarray) -> None:
    """The text has poles with error bars, the wrong reading and the flags; the repr is one line."""
    d = kelman.read_dynamics(kelman.to_elman(bed()), z=z)
    text = d.summary()
    assert "modulus" in text
    assert "eig(U)" in text
    assert 6 <= len(text.splitlines()) <= 16
    assert "\n" not in repr(d)
