"""Comparison of systems by what does not depend on their basis."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bridge.systems import bed, draw, random_model

import kelman


@pytest.mark.parametrize("seed", range(8))
def test_a_system_equals_itself_in_any_form(seed: int) -> None:
    """A model, its network and a change of basis are at distance zero, stable or not."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, (0.5, 0.9, 1.02, 0.99)[seed % 4])
    n = model.dims.n
    T = np.linalg.qr(rng.normal(size=(n, n)))[0]
    same = kelman.StateSpace(
        T @ model.A @ T.T, model.H @ T.T, T @ model.Q @ T.T, model.R,
        B=None if model.B is None else T @ model.B, D=model.D,
        S=None if model.S is None else T @ model.S, b=T @ model.b, c=model.c,
    )  # fmt: skip
    stable = np.abs(np.linalg.eigvals(model.A)).max() < 1
    for other in (same, kelman.to_elman(model, "aligned")):
        c = kelman.compare(model, other)
        assert c.pole_distance.max() < 1e-9
        assert c.markov_error < 1e-9
        assert c.nu_gap < 1e-6
        np.testing.assert_allclose(c.hankel_a, c.hankel_b, atol=1e-9)
        if stable:
            assert c.h2_error < 1e-6
            assert max(c.excess_ab, c.excess_ba) < 1e-12 if other is same else c.excess_ab < 1e-12


def test_distances_grow_with_the_difference() -> None:
    """Every distance is larger for the system that is further away."""
    near, far = (bed().replace(A=s * bed().A) for s in (0.99, 0.9))
    one, two = kelman.compare(bed(), near), kelman.compare(bed(), far)
    for name in ("markov_error", "h2_error", "nu_gap", "excess_ab", "excess_ba"):
        assert 0 < getattr(one, name) < getattr(two, name), name
    assert one.pole_distance.max() < two.pole_distance.max()


def test_h2_error_is_the_limit_of_the_impulse_response_error() -> None:
    """Over enough lags the relative error of the impulse response is that of the H2 norm."""
    c = kelman.compare(bed(), bed().replace(A=0.9 * bed().A), steps=400)
    assert c.markov_error == pytest.approx(c.h2_error, rel=1e-6)


def test_orders_may_differ() -> None:
    """Poles are matched as far as the smaller order goes, and the others are listed after them."""
    small = kelman.reduce(bed(), 1)
    for a, b in ((bed(), small), (small, bed())):
        c = kelman.compare(a, b)
        assert (len(c.poles_a), len(c.poles_b), len(c.pole_distance)) == (a.dims.n, b.dims.n, 1)
        assert "pole a" in c.summary()


def test_read_outs_and_fits_can_be_compared() -> None:
    """A read-out and a fit come to nearly the same place, and far from a wrong model."""
    z, _ = draw(bed(), 10_000, np.random.default_rng(0))
    fit = kelman.fit(z, n_states=2, method="pem")
    read = kelman.read_dynamics(kelman.to_elman(fit.model), z=z)
    assert kelman.compare(fit, read).excess_ab < 1e-6
    assert kelman.compare(bed(), fit).excess_ab < 2e-3
    assert kelman.compare(bed(), bed().replace(A=0.5 * bed().A)).excess_ab > 0.1
    assert "\n" not in repr(kelman.compare(bed(), read))


def test_nu_gap_where_it_does_not_exist() -> None:
    """A mode on the unit circle that nothing reaches leaves the gap undefined, not the comparison."""
    A = np.diag([1.0, 0.5])
    walk = kelman.StateSpace(A, [[1.0, 1.0]], np.diag([1.0, 1.0]), [[1.0]])
    c = kelman.compare(walk, walk)
    assert c.nu_gap < 1e-6
    assert np.isnan(c.h2_error)
