"""Reading exact networks: the model that went in comes out, and spare units are recognised as such."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bridge.systems import BED_A, bed, closeness, draw, markov_of, padded, random_model, zeros_for

import kelman

RADII = (0.5, 0.9, 0.99, 1.0, 1.02, 1.05)
SEEDS = range(24)


@pytest.mark.parametrize("form", ["predicted", "aligned"])
@pytest.mark.parametrize("lag", [0, 1])
def test_poles_and_impulse_responses_come_back(lag: int, form: str) -> None:
    """Model -> network -> read-out gives poles and 20 Markov parameters to 1e-9."""
    for seed in SEEDS:
        model = random_model(np.random.default_rng(seed), RADII[seed % len(RADII)], lag=lag, inputs=form == "aligned")
        d = kelman.read_dynamics(kelman.to_elman(model, form))
        _, distance = kelman.lti.match_poles(kelman.lti.poles(model.A), d.poles)
        assert distance.max() <= 1e-9, seed
        assert closeness(d.markov(20), markov_of(model)) <= 1e-9, seed
        if form == "aligned" and model.dims.p:
            assert d.model.input_lag == lag, seed


@pytest.mark.parametrize("form", ["predicted", "aligned"])
def test_spare_units_are_left_out(form: str) -> None:
    """Two units that no input reaches and two that no output sees are cut off; poles and responses stay to 1e-9."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        model = random_model(rng, RADII[seed % len(RADII)], inputs=form == "aligned")
        d = kelman.read_dynamics(padded(kelman.to_elman(model, form), rng))
        assert d.order == model.dims.n, seed
        _, distance = kelman.lti.match_poles(kelman.lti.poles(model.A), d.poles)
        assert distance.max() <= 1e-9, (seed, distance.max())
        assert closeness(d.markov(20), markov_of(model)) <= 1e-9, seed


def test_the_wrong_reading_is_kept_beside_the_right_one() -> None:
    """The poles of the recurrent weights alone have modulus .80 where the truth is .95."""
    d = kelman.read_dynamics(kelman.to_elman(bed()))
    np.testing.assert_allclose(np.abs(d.poles), 0.95, atol=1e-12)
    np.testing.assert_allclose(np.abs(np.angle(d.poles)), 0.3, atol=1e-12)
    np.testing.assert_allclose(np.abs(d.poles_recurrent), 0.7998, atol=1e-4)


def test_alignment_to_a_reference() -> None:
    """In the basis of the reference the matrices themselves come back, from a network in any basis."""
    rng = np.random.default_rng(0)
    model = bed().replace(B=[[1.0], [0.5]])
    net = kelman.to_elman(model)
    T = rng.normal(size=(2, 2))
    turned = net.replace(U=T @ net.U @ np.linalg.inv(T), W=T @ net.W, V=net.V @ np.linalg.inv(T), h0=None)
    d = kelman.read_dynamics(turned, reference=model)
    np.testing.assert_allclose(d.aligned.A, BED_A, atol=1e-12)
    np.testing.assert_allclose(d.aligned.H, model.H, atol=1e-12)
    np.testing.assert_allclose(d.aligned.B, model.B, atol=1e-12)


def test_input_matrix_can_be_read_off_the_aligned_form() -> None:
    """For the aligned form B and D of the read-out are those of the model."""
    for seed in SEEDS:
        model = random_model(np.random.default_rng(seed), 0.9)
        if not model.dims.p:
            continue
        d = kelman.read_dynamics(kelman.to_elman(model, "aligned"))
        if d.model.input_lag == 0:
            np.testing.assert_allclose(d.B, model.B, atol=1e-7 * np.abs(model.B).max())
            np.testing.assert_allclose(d.D, zeros_for(model, "D", *d.D.shape), atol=1e-7)


def test_data_in_the_form_of_the_network_input() -> None:
    """Giving the network's input x is the same as giving z and u."""
    model = bed().replace(B=[[1.0], [0.5]])
    z, u = draw(model, 3000, np.random.default_rng(0))
    for form in ("predicted", "aligned"):
        net = kelman.to_elman(model, form)
        x = kelman.bridge.network_inputs(net, z, u)
        one, two = kelman.read_dynamics(net, x), kelman.read_dynamics(net, z=z, u=u)
        np.testing.assert_allclose(one.pole_cov, two.pole_cov, rtol=0.02)
        assert one.order == two.order == 2


def test_error_bars_are_those_of_cramer_and_rao() -> None:
    """On the test bed sd(modulus) = .350 / sqrt N and sd(angle) = .429 / sqrt N."""
    z, _ = draw(bed(), 40_000, np.random.default_rng(0))
    d = kelman.read_dynamics(kelman.to_elman(bed()), z=z)
    np.testing.assert_allclose(d.pole_std[0] * np.sqrt(d.n_samples), [0.350, 0.429], rtol=0.06)


def test_ellipses_contain_what_covers_says() -> None:
    """The ellipse at 95 % passes through the points at which `covers` turns."""
    z, _ = draw(bed(), 5000, np.random.default_rng(0))
    d = kelman.read_dynamics(kelman.to_elman(bed()), z=z)
    curve = d.ellipse(0.95, 40)
    for scale, inside in ((0.99, True), (1.01, False)):
        for point in d.poles[0] + scale * (curve[0] - d.poles[0]):
            assert d.covers([point, np.conj(point)], 0.95).all() == inside


def test_sets_of_series_are_read_together() -> None:
    """A stack and a ragged list of series weigh like one record of their total length."""
    rng = np.random.default_rng(0)
    parts = [draw(bed(), T, rng)[0] for T in (2000, 2000, 2000)]
    net = kelman.to_elman(bed())
    stacked = kelman.read_dynamics(net, z=np.stack(parts))
    ragged = kelman.read_dynamics(net, z=[parts[0], parts[1], np.concatenate([parts[2], parts[0]])])
    assert 5500 < stacked.n_samples < 6000
    assert 7500 < ragged.n_samples < 8000
    np.testing.assert_allclose(stacked.poles, ragged.poles, atol=1e-12)


def test_single_precision_is_judged_by_its_own_rounding() -> None:
    """Spare units of a float32 network are left out too, and its poles come back to its precision."""
    rng = np.random.default_rng(7)
    net = padded(kelman.to_elman(bed()), rng).astype(np.float32)
    d = kelman.read_dynamics(net)
    assert d.order == 2
    np.testing.assert_allclose(np.abs(d.poles), 0.95, atol=1e-5)
