"""The studies at small sizes: each number that the report prints can come out wrong, and then a test fails."""

from __future__ import annotations

import numpy as np
import pytest

from kelman import systems
from kelman.experiments import activation, exact_map, literal_pairing, to_json, without_seconds
from kelman.experiments._activation import tanh_filter
from kelman.rnn import forward


def test_every_form_of_the_map_is_exact() -> None:
    """In every form, with inputs, with the ReLU split and for an unstable system, network and filter agree to 1e-12."""
    record = exact_map(steps=1000)
    assert {(c.form, c.hidden) for c in record.cases} == {
        ("predicted", "identity"), ("filtered", "identity"), ("predicted", "relu"), ("aligned", "identity"), ("aligned", "relu"),
    }  # fmt: skip
    assert record.largest_relative <= 1e-12
    for case in record.cases:
        assert case.scale > 1.0
    np.testing.assert_allclose(record.network_prediction, record.filter_prediction, atol=1e-12)
    assert np.std(record.filter_prediction) > 0.1


def test_the_table_of_letters_adds_up() -> None:
    """U is the closed loop and not A, W the gain, V the measurement matrix, and U + W V gives A back."""
    symbols = {s.network: s.value for s in exact_map(steps=50).symbols}
    model = systems.rotation()
    np.testing.assert_allclose(symbols["U + W V"], model.A, atol=1e-14)
    np.testing.assert_allclose(symbols["U"] + symbols["W"] @ symbols["V"], model.A, atol=1e-14)
    assert np.abs(symbols["U"] - model.A).max() > 0.2


def test_the_literal_pairing_is_an_open_loop_simulator() -> None:
    """Its mean squared error is that of a simulator in theory, between the filter's and the trivial predictor's."""
    record = literal_pairing(steps=20_000)
    for row in record.rows:
        assert row.mse == pytest.approx(row.exact_mse, rel=0.06)
    kf, literal, mean = (record.row(name).mse for name in ("Kalman filter", "literal pairing", "mean"))
    assert 1.3 * kf < literal < 0.5 * mean


def test_excess_of_tanh_falls_with_the_fourth_power_of_its_gain() -> None:
    """The slope of the excess against the hidden gain is 4 to .1 where the gain is small, and flatter beyond."""
    record = activation(steps=20_000)
    assert record.slope == pytest.approx(4.0, abs=0.1)
    excess = [p.excess for p in record.gains]
    assert excess == sorted(excess)
    last = np.log(excess[-1] / excess[-2]) / np.log(record.gains[-1].gain / record.gains[-2].gain)
    assert last < 3.0


def test_tanh_does_not_extrapolate_and_the_relu_split_does() -> None:
    """Ten times larger data raise the excess of tanh more than a hundredfold and leave the ReLU split at rounding."""
    record = activation(steps=20_000)
    assert record.at(10.0).tanh > 100 * record.at(1.0).tanh
    assert max(p.relu for p in record.amplitudes) < 1e-25
    same = next(p for p in record.gains if p.gain == record.amplitude_gain)
    assert record.at(1.0).tanh == pytest.approx(same.excess, rel=1e-12)


def test_amplitude_acts_as_hidden_gain() -> None:
    """A tanh network on data times a is the network of gain a times as large, divided by a: to rounding."""
    model = systems.rotation()
    z = np.random.default_rng(0).standard_normal((500, 1))
    small, large = tanh_filter(model, 0.1), tanh_filter(model, 0.3)
    np.testing.assert_allclose(forward(small, 3 * z).y / 3, forward(large, z).y, rtol=1e-12, atol=1e-13)


def test_saturation_lowers_the_feedback() -> None:
    """The mean slope of tanh and the pole of the mean Jacobian shrink as the gain grows, from the truth at gain zero."""
    points = activation(steps=5_000).gains
    slopes, moduli = [p.effective_gain for p in points], [p.pole_modulus for p in points]
    assert slopes == sorted(slopes, reverse=True)
    assert moduli == sorted(moduli, reverse=True)
    assert moduli[0] == pytest.approx(0.95, abs=1e-3)
    assert moduli[-1] < 0.85


@pytest.mark.parametrize("study", [exact_map, literal_pairing, activation])
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(study: object) -> None:
    """Two runs of a study agree to the bit; another seed does not."""
    first, again, other = (study(steps=400, seed=s) for s in (7, 7, 8))  # type: ignore[operator]
    assert to_json(first) == to_json(again)
    assert to_json(first) != to_json(other)


def test_records_become_strict_json() -> None:
    """Arrays, complex numbers, infinities and NaN have their forms, and anything else is refused."""
    values = to_json(
        {"a": np.arange(3.0), "z": 1 + 2j, "bad": [np.inf, -np.inf, np.nan], "n": np.int64(3), "seconds": 2.0}
    )
    assert values == {
        "a": [0.0, 1.0, 2.0], "z": {"re": 1.0, "im": 2.0}, "bad": ["inf", "-inf", None], "n": 3, "seconds": 2.0,
    }  # fmt: skip
    assert "seconds" not in without_seconds(values)
    with pytest.raises(TypeError, match="object"):
        to_json(object())
