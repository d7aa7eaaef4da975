"""Maximum likelihood of templates: published estimates, closed forms, units, bounds, panels, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NumericalWarning

Free, Tied = kelman.Free, kelman.Tied


def local_level(**options: Any) -> kelman.Template:
    """A level and noise of unknown variances, diffuse start."""
    return kelman.Template([[1.0]], [[1.0]], [[Free(**options)]], [[Free()]], initial="diffuse")


def autoregression() -> kelman.Template:
    """A stationary AR(1) around a mean, without measurement noise."""
    return kelman.Template([[Free(0.3, -1, 1)]], [[1.0]], [[Free()]], [[0.0]], c=[Free()], initial="stationary")


def test_the_level_of_the_nile() -> None:
    """Durbin and Koopman (2012), section 2.10: H = 15099, Q = 1469.1, to 0.05 %; R's StructTS agrees."""
    found = kelman.fit(kelman.datasets.nile().z, template=local_level())
    np.testing.assert_allclose(found.theta, [1469.1, 15099], rtol=5e-4)
    assert found.loglik == pytest.approx(-632.5456, abs=1e-4)
    assert found.converged
    assert found.at_bound == ()
    assert found.rank == 2
    assert "Q[0,0]" in found.summary()
    assert found.poles.tolist() == [1.0]


@pytest.mark.parametrize(
    ("q", "loglik", "score"),
    [(1.0, -495.68, -3.32), (0.0360, -492.53, 0.93), (0.0745, -492.10, 0.25), (0.0974, -492.07, -0.001), (0.0973, -492.07, 0.0)],
)  # fmt: skip
def test_the_concentrated_likelihood_of_the_nile_and_its_score(q: float, loglik: float, score: float) -> None:
    """Durbin and Koopman (2012), table 2.1 (without the terms of 2 pi and (n - 1) / 2): an exact derivative by log q."""
    model = kelman.StateSpace([[1.0]], [[1.0]], [[q]], [[1.0]], initial="diffuse")
    found = kelman.identify.concentrate(model, kelman.datasets.nile().z)
    assert found.loglik + 49.5 * np.log(2 * np.pi) + 49.5 == pytest.approx(loglik, abs=0.006)
    assert found.gradient.Q[0, 0] * found.scale * q == pytest.approx(score, abs=0.006)


def test_concentrating_is_the_maximum_over_the_scale() -> None:
    """With a known start and gaps: no other scale is better, and the derivative by it vanishes."""
    z = np.random.default_rng(2).normal(size=(3, 40, 2)) * 7
    z[0, 3:9] = np.nan
    model = kelman.StateSpace(np.eye(2) * 0.5, np.eye(2), np.eye(2), np.eye(2) * 2, m0=[0, 0], P0=np.eye(2))
    found = kelman.identify.concentrate(model, z)

    def at(scale: float) -> float:
        return float(kelman.loglik(model.replace(Q=scale * model.Q, R=scale * model.R, P0=scale * model.P0), z).sum())

    assert at(found.scale) == pytest.approx(found.loglik, rel=1e-12)
    assert found.loglik > max(at(found.scale * 1.01), at(found.scale / 1.01))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_units_and_offsets_do_not_matter(scale: float, offset: float) -> None:
    """Rescaled data give rescaled variances and the same likelihood up to the Jacobian."""
    z = kelman.datasets.nile().z
    found = kelman.fit(z * scale + offset * scale, template=local_level())
    assert found.converged
    np.testing.assert_allclose(found.theta, np.array([1469.176, 15098.518]) * scale**2, rtol=1e-3)
    assert found.loglik + 99 * np.log(scale) == pytest.approx(-632.545625, abs=1e-4)


def test_it_agrees_with_statsmodels() -> None:
    """An AR(1) with mean and gaps: estimates, likelihood and standard errors."""
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(11)
    z = np.empty(300)
    z[0] = rng.normal()
    for k in range(1, 300):
        z[k] = 0.7 * z[k - 1] + rng.normal()
    z = 3 * z + 50
    z[100:120] = np.nan
    found = kelman.fit(z, template=autoregression())
    theirs = statsmodels.tsa.SARIMAX(z, order=(1, 0, 0), trend="c")
    # Their constant is mean (1 - phi): ours on their scale.
    phi, variance, mean = found.theta
    assert theirs.loglike([mean * (1 - phi), phi, variance]) == pytest.approx(found.loglik, abs=1e-7)
    best = theirs.fit(disp=0, start_params=[mean * (1 - phi), phi, variance], cov_type="approx")
    assert found.loglik >= best.llf - 1e-6
    np.testing.assert_allclose([phi, variance], best.params[1:], rtol=1e-3)
    np.testing.assert_allclose(found.std_errors[:2], best.bse[1:], rtol=0.01)


def test_standard_errors_are_the_inverse_curvature() -> None:
    """Against second differences of the likelihood itself, by natural parameters."""
    z = kelman.simulate(autoregression().model([0.6, 2.0, 5.0]), 400, rng=3).z
    found = kelman.fit(z, template=autoregression())

    def at(theta: Any) -> float:
        return float(kelman.loglik(found.template.model(theta), z))

    step = 1e-3 * np.abs(found.theta)
    curvature = np.empty((3, 3))
    for i, e in enumerate(np.diag(step)):
        for j, f in enumerate(np.diag(step)):
            four = [at(found.theta + a * e + b * f) * a * b for a in (-1, 1) for b in (-1, 1)]
            curvature[i, j] = -sum(four) / (4 * step[i] * step[j])
    np.testing.assert_allclose(found.covariance, np.linalg.inv(curvature), rtol=1e-3, atol=1e-6)


def test_many_series_share_a_model() -> None:
    """A list of ragged series with gaps: the sum of the likelihoods, as fitted one after the other."""
    model = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary")
    z = kelman.simulate(model, 120, N=6, rng=0).z
    z[2, 30:60] = np.nan
    ragged = [z[i, : 60 + 10 * i] for i in range(6)]
    template = kelman.Template([[Free(0.5, -1, 1)]], [[1.0]], [[Free()]], [[Free()]], initial="stationary")
    found = kelman.fit(ragged, template=template)
    assert found.converged
    assert found.nobs == sum(int(np.isfinite(one).sum()) for one in ragged)
    assert found.loglik == pytest.approx(sum(float(kelman.loglik(found.model, one)) for one in ragged), rel=1e-12)
    for k, e in enumerate(np.eye(3)):
        moved = template.model(found.theta + 1e-3 * found.std_errors[k] * e)
        assert kelman.loglik(moved, ragged).sum() < found.loglik


def test_scores_and_sandwich_of_a_panel() -> None:
    """Independent values with mean and variance: the closed forms of outer products and sandwich."""
    rng = np.random.default_rng(4)
    z = rng.standard_t(6, size=(200, 30, 1)) + 2
    template = kelman.Template([[0.0]], [[1.0]], [[0.0]], [[Free()]], c=[Free()], m1=[0.0], P1=[[0.0]])
    found = {kind: kelman.fit(z, template=template, covariance=kind) for kind in ("hessian", "scores", "robust")}
    r, mean = found["hessian"].theta
    assert mean == pytest.approx(z.mean())
    assert r == pytest.approx(z.var())
    total = z.size
    scores = np.stack([((z - mean) ** 2 / r - 1).sum((1, 2)) / (2 * r), (z - mean).sum((1, 2)) / r], axis=1)
    outer = scores.T @ scores
    inverse = np.diag([2 * r**2 / total, r / total])
    np.testing.assert_allclose(found["hessian"].covariance, inverse, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found["scores"].covariance, np.linalg.inv(outer), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found["robust"].covariance, inverse @ outer @ inverse, rtol=1e-4, atol=1e-9)


def test_priors_make_the_posterior_mode() -> None:
    """A normal prior of a mean with known variance: the conjugate answer."""
    z = np.random.default_rng(1).normal(3.0, 2.0, size=50)
    template = kelman.Template(
        [[0.0]], [[1.0]], [[0.0]], [[4.0]], c=[Free(prior=lambda c: (-0.5 * c**2 / 0.25, -c / 0.25))], m1=[0.0], P1=[[0.0]]
    )  # fmt: skip
    found = kelman.fit(z, template=template)
    assert found.theta[0] == pytest.approx(z.sum() / 4 / (50 / 4 + 4))
    assert found.std_errors[0] == pytest.approx((50 / 4 + 4) ** -0.5, rel=1e-6)
    assert found.log_prior == pytest.approx(-2 * found.theta[0] ** 2)
    assert "posterior mode" in found.summary()


def test_a_constant_series_stops_at_the_floor_and_says_so() -> None:
    """Nothing varies: both variances end at the stated floor, without an error bar."""
    found = kelman.fit(np.full(60, 3.0), template=local_level())
    assert found.at_bound == ("Q[0,0]", "R[0,0]")
    assert np.isfinite(found.loglik)
    assert np.isnan(found.std_errors).all()
    assert (found.theta < 1e-20).all()
    assert "at its bound" in found.summary()


def test_a_variance_that_is_zero_is_at_its_bound() -> None:
    """Values that alternate have no moving level: its variance goes to zero, the other keeps its standard error."""
    noise = np.random.default_rng(3).normal(size=201)
    z = noise[1:] - 0.3 * noise[:-1]
    found = kelman.fit(z, template=local_level())
    assert found.at_bound == ("Q[0,0]",)
    assert found.theta[1] == pytest.approx(z.var(ddof=1), rel=1e-3)
    assert found.std_errors[1] == pytest.approx(found.theta[1] * np.sqrt(2 / 199), rel=1e-2)


def test_what_the_data_cannot_tell_is_named() -> None:
    """The scale of the state is free: H and Q move together, and the rest keeps its error bars."""
    z = kelman.simulate(kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[0.5]], initial="stationary"), 400, rng=5).z
    free = kelman.Template([[Free(0.5, -1, 1)]], [[Free(1.0)]], [[Free()]], [[Free()]], initial="stationary")
    fixed = kelman.Template([[Free(0.5, -1, 1)]], [[1.0]], [[Free()]], [[Free()]], initial="stationary")
    found, known = kelman.fit(z, template=free), kelman.fit(z, template=fixed)
    assert found.loglik == pytest.approx(known.loglik, abs=1e-6)
    assert found.rank == 3
    assert [set(group) for group in found.undetermined] == [{"H[0,0]", "Q[0,0]"}]
    np.testing.assert_allclose(found.pole_covariance, known.pole_covariance, rtol=1e-3)
    assert "Not determined by the data" in found.summary()


def test_intervals_and_profile() -> None:
    """Wald, transformed and likelihood-ratio intervals; at the ends of the last the likelihood has fallen by 1.92."""
    z = kelman.datasets.nile().z
    found = kelman.fit(z, template=local_level())
    wald, bounded, profiled = (found.confidence_intervals(method=m) for m in ("wald", "transformed", "profile"))
    np.testing.assert_allclose(wald.mean(1), found.theta)
    assert (bounded > 0).all()
    for k, (low, high) in enumerate(profiled):
        assert low < found.theta[k] < high
        for value in (low, high):
            other = kelman.Template(
                [[1.0]], [[1.0]], [[Free() if k else value]], [[value if k else Free()]], initial="diffuse"
            )
            assert found.loglik - kelman.fit(z, template=other).loglik == pytest.approx(1.9207, abs=2e-3)
    profile = found.profile("Q[0,0]", [500.0, 1469.176, 3000.0])
    assert profile.loglik.argmax() == 1
    assert profile.loglik[1] == pytest.approx(found.loglik, abs=1e-6)


def test_the_delta_method_and_poles() -> None:
    """Half-life and period follow the poles; a function of the model has the variance of its derivative."""
    A = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    truth = kelman.StateSpace(A, [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]], initial="stationary")
    z = kelman.simulate(truth, 5000, rng=2).z
    found = kelman.fit(z, n_states=2, method="mle")
    assert found.rank == 5
    (length, length_std), (life, life_std) = found.period_std(), found.half_life_std()
    assert abs(length[0] - 2 * np.pi / 0.3) < 4 * length_std[0]
    assert abs(life[0] - np.log(0.5) / np.log(0.95)) < 4 * life_std[0]
    std, _ = found.pole_std()
    _, variance = found.delta_method(lambda model: np.abs(np.linalg.eigvals(model.A)).max())
    assert variance[0, 0] ** 0.5 == pytest.approx(std[0], rel=1e-4)
    pem = kelman.fit(z, n_states=2)
    np.testing.assert_allclose(std, pem.pole_std()[0], rtol=0.05)
    response, error = found.noise_impulse(5)
    theirs, their_error = pem.noise_impulse(5)
    assert (np.abs(response - theirs) < 0.2 * error + 1e-9).all()
    np.testing.assert_allclose(error[1:], their_error[1:], rtol=0.05)


def test_interrupting_returns_the_best_so_far() -> None:
    """Ctrl-C in the middle: not converged, the best point, its likelihood."""
    calls = []

    def stop(iteration: int, loglik: float) -> None:
        calls.append(loglik)
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.warns(NumericalWarning, match="interrupted"):
        found = kelman.fit(kelman.datasets.nile().z, template=local_level(), progress=stop)
    assert not found.converged
    assert found.loglik >= calls[-1] - 1e-9
    assert found.loglik == pytest.approx(float(kelman.loglik(found.model, kelman.datasets.nile().z)))


def test_a_fit_goes_through_pickle() -> None:
    """With its data, so that profiles can be asked for later."""
    found = pickle.loads(pickle.dumps(kelman.fit(kelman.datasets.nile().z, template=local_level())))
    assert found.profile("R[0,0]", [15000.0]).loglik[0] < found.loglik


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": 3}, "template: expected a kelman.Template"),
        ({"template": local_level(), "n_states": 2}, "n_states: a template has its number of states"),
        ({"template": local_level(), "method": "pem"}, "method: expected one of"),
        ({"template": local_level(), "covariance": "exact"}, "covariance: expected one of"),
        ({"template": local_level(), "covariance": "scores"}, "scores of 1 series cannot tell 2 parameters apart"),
        ({"template": local_level(), "tol": -1}, "tol: expected a number >= 0, got -1"),
        ({"template": local_level(), "tol": "a"}, "tol: expected a number >= 0, got 'a'"),
        ({"n_states": 1, "method": "gibbs"}, "method: 'gibbs' is not in this version"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    """Each error names the argument."""
    with pytest.raises(KelmanError, match=message):
        kelman.fit(kelman.datasets.nile().z, **options)


def test_data_without_values_are_refused() -> None:
    """All missing is nothing to learn from."""
    with pytest.raises(KelmanError, match="every value is missing"):
        kelman.fit(np.full(10, np.nan), template=local_level())


@pytest.mark.parametrize("per_series", [False, True])
def test_an_infinite_value_is_refused_at_the_door(per_series: bool) -> None:
    """It is named with its place, before any start is chosen."""
    z = np.zeros((2, 10, 1))
    z[1, 3] = np.inf
    with pytest.raises(KelmanError, match=r"z: infinite value inf at index \[1, 3, 0\]"):
        kelman.fit(z, template=local_level(), per_series=per_series)
