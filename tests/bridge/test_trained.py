"""Trained networks: a few seeds of what the acceptance tier runs in full."""

from __future__ import annotations

import numpy as np
import pytest
from acceptance import _bed, classical, ellipses, hair_dryer, linear_elman
from acceptance._check import Check

import kelman


@pytest.mark.acceptance
@pytest.mark.parametrize("check", [m.CHECK for m in (linear_elman, classical, hair_dryer)], ids=lambda c: c.name)
def test_first_seeds_of_the_long_checks(check: Check) -> None:
    """The first three seeds pass by the limits for few seeds."""
    verdicts = check.judge([check.run(seed) for seed in list(check.seeds)[:3]], False)
    assert all(v.ok for v in verdicts), [str(v) for v in verdicts if not v.ok]


@pytest.mark.acceptance
def test_ellipses_of_trained_networks() -> None:
    """Of 20 ellipses of 95 % at least 16 contain the truth (fewer happen once in 400 times), and their size is right."""
    rows = [ellipses.run(seed) for seed in range(20)]
    assert sum(row["covered"] for row in rows) >= 16
    assert np.median([row["std_modulus"] for row in rows]) == pytest.approx(_bed.CRB["modulus"], rel=0.12)


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", range(3))
def test_oversized_networks_come_back(seed: int) -> None:
    """Eight units for two states at N = 10,000: order 2, excess below 5 d, while the network itself pays for its spare units."""
    z = _bed.series(seed, 10_000)
    net = kelman.train(
        8, z[:-1], z[1:], hidden="identity", start="random", inputs=("z",), target="z_next", rng=seed
    ).rnn
    d = kelman.read_dynamics(net, z=z)
    assert d.order == 2
    assert 10_000 * kelman.excess_risk(d, _bed.MODEL) < 5 * _bed.D
    assert kelman.excess_risk(d, _bed.MODEL) < kelman.excess_risk(net, _bed.MODEL)


@pytest.mark.acceptance
def test_tanh_network_is_read_by_behaviour() -> None:
    """A tanh network of 8 units, trained for 20 iterations: order 2, poles within 4 Cramér-Rao units, excess of the reading below 8 d."""
    N = 10_000
    z = _bed.series(0, N)
    net = kelman.train(8, z[:-1], z[1:], hidden="tanh", inputs=("z",), target="z_next", max_iterations=20).rnn
    d = kelman.read_dynamics(net, z=z)
    assert (d.method, d.order) == ("behaviour", 2)
    assert d.linear_r2 > 0.98
    assert np.abs(_bed.pole_error(d.poles, N)).max() < 4
    assert N * kelman.excess_risk(d, _bed.MODEL) < 8 * _bed.D
