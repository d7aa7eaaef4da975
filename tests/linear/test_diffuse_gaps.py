"""Gaps while the start is diffuse: which directions are still open must be counted, not guessed from rounding."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from tests.oracles import Dense


def _tracks(seed: int) -> tuple[kelman.StateSpace, np.ndarray]:
    """Constant velocity in the plane, position seen with a third of the components missing."""
    rng = np.random.default_rng(seed)
    A = np.eye(4) + np.diag([0.1, 0.1], 2)
    model = kelman.StateSpace(A, np.eye(2, 4), 0.01 * np.eye(4), np.eye(2))
    start = model.replace(m0=np.zeros(4), P0=np.eye(4))
    z = np.array(kelman.simulate(start, 9, N=40, rng=rng).z)
    z[rng.random(z.shape) < 0.35] = np.nan
    return model, z


@pytest.mark.parametrize("seed", range(3))
def test_component_gaps_in_a_diffuse_start_equal_the_dense_joint_gaussian(seed: int) -> None:
    """Forty gap patterns of a diffuse double integrator give the likelihood and last state of the dense computation."""
    model, z = _tracks(seed)
    r = kelman.filter(model, z)
    for i, series in enumerate(z):
        dense = Dense(model, series)
        assert r.loglik[i] == pytest.approx(dense.loglik(), rel=1e-10, abs=1e-10)
        if dense.undetermined(9, 8) < 1e-8:
            mean, cov = dense.filtered()
            np.testing.assert_allclose(r.mean[i, -1], mean[-1], rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(r.cov[i, -1], cov[-1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("store", ["loglik", "last", "means", "filtered", "all"])
def test_a_failing_series_is_blanked_in_whatever_is_kept(store: str) -> None:
    """A series that overflows becomes NaN in every kept array, whatever its rank, and the others stay."""
    model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]])
    z = np.zeros((2, 6))
    z[1] = np.nan
    both = kelman.StateSpace.stack([model, model.replace(Q=[[1e308]], A=[[2.0]])])
    r = kelman.filter(both, z[:, :, None], store=store, on_error="nan")
    assert np.isfinite(r.loglik[0])
    assert np.isnan(r.loglik[1])
    if store != "loglik":
        assert np.isfinite(r.mean[0]).all()
        assert np.isnan(r.mean[1]).any()
