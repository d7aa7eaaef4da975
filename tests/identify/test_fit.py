"""`kelman.fit`: published numbers, exact recovery, efficiency, invariances, options, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kelman
from kelman import lti, systems
from kelman.errors import KelmanError, ModelWarning, NumericalWarning
from kelman.identify import _subspace
from kelman.identify._data import read
from kelman.lti._propagate import propagate

ROTATION = systems.rotation()


def simulate(model: kelman.StateSpace, T: int, seed: int, u: np.ndarray | None = None) -> np.ndarray:
    """Draw a series of a stable model from its stationary start."""
    rng = np.random.default_rng(seed)
    A, B, H, D = lti.standard_form(model)
    n, m = len(A), len(H)
    Q, R, S = model.Q, model.R, np.zeros((n, m)) if model.S is None else model.S
    values, vectors = np.linalg.eigh(np.block([[Q, S], [S.T, R]]))
    noise = rng.normal(size=(T, n + m)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    x1 = np.linalg.cholesky(lti.lyapunov(A, Q) + 1e-12 * np.eye(n)) @ rng.normal(size=n)
    drive = noise[:, :n] if u is None else noise[:, :n] + u @ B.T
    x = propagate(A, drive[:, :, None], x1[:, None])[:-1, :, 0]
    return x @ H.T + noise[:, n:] + (0 if u is None else u @ D.T)


def excess(fit: kelman.identify.Fit, model: kelman.StateSpace) -> float:
    """Return tr(Sigma^-1 Delta) of the fitted predictor against the true one, without inputs."""
    ss = lti.dare(model.A, model.H, model.Q, model.R, model.S)
    F = fit.model.A - fit.K @ fit.model.H
    n, k = len(model.A), len(F)
    Z = np.block([[model.A, np.zeros((n, k))], [fit.K @ model.H, F]])
    gain = np.vstack([ss.K, fit.K])
    P = lti.lyapunov(Z, gain @ ss.Sigma @ gain.T)
    C = np.hstack([model.H, -fit.model.H])
    return float(np.trace(np.linalg.solve(ss.Sigma, C @ P @ C.T)))


def test_hair_dryer_by_po_moesp() -> None:
    """Published case 35 (SLICOT IB01AD/IB01BD): singular values to 1e-4, eigenvalues to 5e-4, one-step error near .038."""
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="moesp", block_rows=15, offset=False)
    np.testing.assert_allclose(
        fit.singular_values[:7], [69.8841, 14.9963, 3.6675, 1.9677, 0.3000, 0.2078, 0.1651], atol=1e-4
    )
    expected = np.array([0.9611, 0.7455, 0.4758 + 0.2001j, 0.4758 - 0.2001j])
    index, distance = lti.match_poles(expected, fit.poles)
    assert distance.max() < 5e-4, fit.poles[index]
    assert abs(np.sqrt(fit.Sigma[0, 0]) - 0.03802) < 1e-3
    A, B, H, D = lti.standard_form(fit.model)
    assert abs((H @ np.linalg.solve(np.eye(4) - A, B) + D).item() - 1.0009) < 0.05
    assert lti.spectral_radius(A - fit.K @ H) < 1


def test_hair_dryer_by_n4sid_weighting() -> None:
    """N4SID weighting on the same record gives .9627, .7452, .4773 +- .2006j (independent computation of case 35)."""
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="n4sid", block_rows=15, offset=False)
    _, distance = lti.match_poles([0.9627, 0.7452, 0.4773 + 0.2006j, 0.4773 - 0.2006j], fit.poles)
    assert distance.max() < 5e-4


def test_hair_dryer_half_predicts_the_other_half() -> None:
    """PEM of order 4 on the first half: one-step RMSE <= .0385 and free-run VAF >= 99 % on the second half."""
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z[:500], data.u[:500], n_states=4, method="pem")
    A, B, H, D = lti.standard_form(fit.model)
    x, level = fit.x1.copy(), fit.model.c
    one, free = np.empty(1000), np.empty(1000)
    y = x.copy()
    for k in range(1000):
        e = data.z[k] - level - H @ x - D @ data.u[k]
        one[k] = e[0]
        free[k] = (data.z[k] - level - H @ y - D @ data.u[k])[0]
        x = A @ x + B @ data.u[k] + fit.K @ e
        y = A @ y + B @ data.u[k] + (fit.K @ e if k < 499 else 0)
    assert np.sqrt(np.mean(one[500:] ** 2)) <= 0.0385
    assert 1 - free[500:].var() / data.z[500:].var() >= 0.99
    np.testing.assert_allclose(np.mean(one[:500] ** 2), fit.Sigma[0, 0], rtol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 2), st.integers(1, 2))
@settings(max_examples=15)
def test_noise_free_input_output_data_give_back_the_system(seed: int, n: int, m: int, p: int) -> None:
    """Without noise every weighting recovers poles and impulse response from inputs to rounding-like accuracy."""
    model = systems.random_stable(n, m, p, rng=seed, radius=0.8, condition=3.0, direct=True)
    A, B, H, D = lti.standard_form(model)
    if lti.hankel_singular_values(A, B, H)[-1] < 1e-3 * lti.hankel_singular_values(A, B, H)[0]:
        return
    u = np.random.default_rng(seed).normal(size=(400, p))
    x = propagate(A, (u @ B.T)[:, :, None])[:-1, :, 0]
    z = x @ H.T + u @ D.T
    for weighting in ("moesp", "n4sid"):
        fit = kelman.fit(z, u, n_states=n, method="subspace", weighting=weighting, block_rows=8, offset=False)
        found = lti.standard_form(fit.model)
        scale = np.abs(lti.markov(A, B, H, 10, D)).max()
        np.testing.assert_allclose(
            lti.markov(found[0], found[1], found[2], 10, found[3]), lti.markov(A, B, H, 10, D), atol=1e-5 * scale
        )


@pytest.mark.parametrize(("method", "weighting"), [("subspace", "cca"), ("pem", "cca"), ("pem", "moesp")])
def test_efficiency_on_the_rotation(method: str, weighting: str) -> None:
    """Over seeds 0..9 at N = 1e4 the mean of N x excess lies in the band of an efficient method with d = 4 (2.6 to 5.6)."""
    scores = []
    for seed in range(10):
        fit = kelman.fit(simulate(ROTATION, 10_000, seed), n_states=2, method=method, weighting=weighting)
        scores.append(10_000 * excess(fit, ROTATION))
    assert 2.6 <= np.mean(scores) <= 5.6, scores


def test_start_does_not_matter_to_the_prediction_error_method() -> None:
    """From CCA, N4SID and MOESP starts PEM ends at one optimum."""
    z = simulate(ROTATION, 3000, 1)
    fits = [kelman.fit(z, n_states=2, weighting=weighting) for weighting in ("cca", "n4sid", "moesp")]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.poles, fits[0].poles, atol=1e-5)
        np.testing.assert_allclose(fit.loglik, fits[0].loglik, atol=1e-2)


def test_gradient_vanishes_at_the_optimum() -> None:
    """No parameter of the fitted model can be moved to raise the log-likelihood (differences, x1 held at zero)."""
    z = simulate(ROTATION, 2000, 2)
    fit = kelman.fit(z, n_states=2, x1="zero", offset=False)
    assert fit.converged
    data = kelman.identify._predictor.Records(read(z, None))

    def objective(theta: np.ndarray) -> float:
        old = fit._predictor
        split = old.theta1.size
        moved = type(old)(
            theta[:split].reshape(old.theta1.shape), theta[split:].reshape(old.theta2.shape), np.zeros((2, 1))
        )
        return 2000 * float(np.log(data.covariance(data.errors(moved))[0, 0]))

    base = np.concatenate([fit._predictor.theta1.ravel(), fit._predictor.theta2.ravel()])
    for i in range(len(base)):
        if base[i] == 0.0:  # offsets, not free here
            continue
        h = np.zeros_like(base)
        h[i] = 1e-5
        slope = (objective(base + h) - objective(base - h)) / 2e-5
        curvature = (objective(base + h) - 2 * objective(base) + objective(base - h)) / 1e-10
        assert abs(slope) < 1e-3 * np.sqrt(abs(curvature)) + 1e-3


def test_pole_covariance_is_the_cramer_rao_bound() -> None:
    """At N = 1e5 the reported deviations are .350 / sqrt N for the modulus and .429 / sqrt N for the angle, to 5 %."""
    fit = kelman.fit(simulate(ROTATION, 100_000, 0), n_states=2)
    modulus, angle = fit.pole_std()
    np.testing.assert_allclose(modulus * np.sqrt(1e5), 0.350, rtol=0.05)
    np.testing.assert_allclose(angle * np.sqrt(1e5), 0.429, rtol=0.05)


def test_impulse_deviations_match_repetition() -> None:
    """Standard deviations of both impulse responses match the scatter over 30 repetitions to 40 %."""
    model = systems.random_stable(2, 1, 1, rng=5, radius=0.8)
    u = np.random.default_rng(0).normal(size=(800, 1))
    values, stds = [], []
    for seed in range(30):
        fit = kelman.fit(simulate(model, 800, seed, u), u, n_states=2)
        value, std = fit.impulse(4)
        noise, noise_std = fit.noise_impulse(3)
        values.append(np.concatenate([value.ravel(), noise[1:].ravel()]))
        stds.append(np.concatenate([std.ravel(), noise_std[1:].ravel()]))
    np.testing.assert_allclose(np.std(values, axis=0), np.mean(stds, axis=0), rtol=0.4)
    truth = lti.impulse(model, 4).ravel()
    assert (np.abs(np.mean(values, axis=0)[:5] - truth) < 4 * np.mean(stds, axis=0)[:5] / np.sqrt(30) + 1e-3).all()


def test_order_is_chosen_from_the_data() -> None:
    """Orders 1 to 4 are found at T = 20,000 for a level-like, a rotation and two random systems; 4 for the hair dryer."""
    ar = kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[1.0]])
    assert kelman.fit(simulate(ar, 20_000, 0), method="subspace").order == 1
    assert kelman.fit(simulate(ROTATION, 20_000, 0), method="subspace").order == 2
    A = np.zeros((4, 4))
    A[:2, :2] = 0.95 * np.array([[0.6, -0.8], [0.8, 0.6]])
    A[2:, 2:] = 0.8 * np.array([[-0.6, -0.8], [0.8, -0.6]])
    model = kelman.StateSpace(A, [[1, 0, 1, 0]], np.eye(4), [[0.2]])
    assert kelman.fit(simulate(model, 20_000, 0), method="subspace").order == 4
    data = kelman.datasets.hairdryer()
    assert kelman.fit(data.z, data.u, method="subspace").order == 4


def test_scales_and_levels_come_back_in_the_users_units() -> None:
    """Fitting a z + b, and inputs in other units, changes H, D, c, Sigma and the likelihood exactly as it must."""
    model = systems.random_stable(2, 2, 1, rng=3, radius=0.8)
    u = np.random.default_rng(1).normal(size=(1500, 1))
    z = simulate(model, 1500, 0, u)
    scale, level = np.array([10.0, 0.01]), np.array([5.0, -3.0])
    one = kelman.fit(z, u, n_states=2, offset=True)
    two = kelman.fit(z * scale + level, 7.0 * u - 2.0, n_states=2, offset=True)
    np.testing.assert_allclose(two.poles, one.poles, atol=1e-6)
    np.testing.assert_allclose(two.Sigma, one.Sigma * np.outer(scale, scale), rtol=1e-5)
    np.testing.assert_allclose(two.loglik, one.loglik - 1500 * np.log(scale).sum(), rtol=1e-8)
    np.testing.assert_allclose(two.impulse(5)[0], one.impulse(5)[0] * scale[:, None] / 7.0, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(two.pole_covariance, one.pole_covariance, rtol=1e-3, atol=1e-12)


def test_fitted_model_predicts_with_the_reported_errors() -> None:
    """Running the innovation form over the data from x1 gives one-step errors of covariance Sigma, offset included."""
    model = systems.random_stable(3, 2, 1, rng=8, radius=0.8)
    u = np.random.default_rng(1).normal(size=(500, 1)) + 3
    z = simulate(model, 500, 0, u) + 100.0
    for method in ("subspace", "pem"):
        fit = kelman.fit(z, u, n_states=3, method=method)
        A, B, H, D = lti.standard_form(fit.model)
        x, e = fit.x1.copy(), np.empty_like(z)
        for k in range(500):
            e[k] = z[k] - fit.model.c - H @ x - D @ u[k]
            x = A @ x + B @ u[k] + fit.K @ e[k]
        np.testing.assert_allclose(e.T @ e / 500, fit.Sigma, rtol=1e-6)
        assert lti.spectral_radius(A - fit.K @ H) < 1
        np.testing.assert_allclose(fit.model.S, fit.K @ fit.Sigma, rtol=1e-12)
        np.testing.assert_allclose(fit.model.Q, fit.K @ fit.Sigma @ fit.K.T, atol=1e-12)


def test_many_series_are_one_sample() -> None:
    """Ragged pieces, a batch, and a list of equal series are used together; the order of the pieces does not matter."""
    pieces = [simulate(ROTATION, T, seed) for seed, T in enumerate((900, 1500, 300, 1200))]
    one = kelman.fit(pieces, n_states=2)
    two = kelman.fit(pieces[::-1], n_states=2)
    np.testing.assert_allclose(one.poles, two.poles, atol=1e-7)
    assert one.x1.shape == (4, 2)
    assert one.nobs == 3900
    assert np.abs(one.poles[0] - 0.95 * np.exp(0.3j)) < 5 * 0.43 / np.sqrt(3900)
    batch = np.stack([simulate(ROTATION, 500, seed) for seed in range(6)])
    np.testing.assert_allclose(
        kelman.fit(batch, n_states=2).poles, kelman.fit(list(batch), n_states=2).poles, atol=1e-12
    )


def test_a_shared_input_serves_all_series() -> None:
    """U of shape (T, p) beside z of shape (N, T, m) is the input of every series."""
    u = np.random.default_rng(0).normal(size=(300, 1))
    model = systems.random_stable(2, 1, 1, rng=1, radius=0.7)
    z = np.stack([simulate(model, 300, seed, u) for seed in range(3)])
    shared = kelman.fit(z, u, n_states=2)
    repeated = kelman.fit(z, np.stack([u] * 3), n_states=2)
    np.testing.assert_array_equal(shared.poles, repeated.poles)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e150])
def test_any_unit_will_do(scale: float) -> None:
    """Measurements in extreme units give the same poles."""
    z = simulate(ROTATION, 500, 0)
    found, expected = kelman.fit(scale * z, n_states=2), kelman.fit(z, n_states=2)
    np.testing.assert_allclose(found.poles, expected.poles, atol=1e-6)


def test_many_short_series_are_not_biased() -> None:
    """1,000 series of 50 steps: the pole is within 3.5 standard deviations of the truth with first states held by their spread."""
    fit = kelman.fit([simulate(ROTATION, 50, seed) for seed in range(1000)], n_states=2)
    modulus, angle = fit.pole_std()
    assert abs(abs(fit.poles[0]) - 0.95) < 3.5 * modulus[0]
    assert abs(np.angle(fit.poles[0]) - 0.3) < 3.5 * angle[0]


def test_unit_root_data_keep_a_stable_predictor() -> None:
    """A random walk in noise is fitted with a pole near one and a stable A - K H."""
    rng = np.random.default_rng(3)
    z = np.cumsum(rng.normal(size=2000)) + rng.normal(size=2000)
    fit = kelman.fit(z, n_states=1)
    assert abs(fit.poles[0] - 1) < 0.02
    assert abs(lti.spectral_radius(fit.model.A - fit.K @ fit.model.H) - 0.382) < 0.06


def test_both_factorisations_hold_the_same_moments() -> None:
    """The LQ factor from summed moments equals the one from Householder QR, for ragged series with inputs."""
    rng = np.random.default_rng(0)
    z = [rng.normal(size=(T, 2)) for T in (300, 211, 9, 500)]
    u = [rng.normal(size=(len(one), 2)) for one in z]
    data = read(z, u)
    qr, moments = _subspace._from_columns(data, 6), _subspace._from_moments(data, 6)
    np.testing.assert_allclose(qr * np.sign(np.diag(qr)), moments, atol=1e-11 * np.abs(moments).max())


def test_deterministic_data_fall_back_to_qr() -> None:
    """Where the moment matrix is nearly singular the moments are refused, so that no digits are lost."""
    wave = np.sin(0.3 * np.arange(400)) + 1e-9 * np.random.default_rng(0).normal(size=400)
    assert _subspace._from_moments(read(wave, None), 6) is None


def test_ellipses_have_the_right_size() -> None:
    """Axes are sqrt(chi-square quantile x eigenvalue): 5.991 for a pair, 3.841 for a real pole."""
    fit = kelman.fit(simulate(ROTATION, 2000, 0), n_states=2)
    ellipse = fit.pole_ellipses(0.95)
    np.testing.assert_allclose(
        np.sort(ellipse.axes[0] ** 2), np.linalg.eigvalsh(fit.pole_covariance[0]) * 5.991464547, rtol=1e-6
    )
    one = kelman.fit(simulate(kelman.StateSpace([[0.8]], [[1.0]], [[1.0]], [[1.0]]), 2000, 0), n_states=1)
    np.testing.assert_allclose(one.pole_ellipses().axes[0], [1.959963985 * np.sqrt(one.pole_covariance[0, 0, 0]), 0])


def test_summary_says_what_was_fitted() -> None:
    """The table names method, order, likelihood and every pole."""
    fit = kelman.fit(simulate(ROTATION, 1000, 0), n_states=2)
    text = fit.summary()
    assert "pem" in text
    assert "states 2" in text
    assert text.count("j") == 2
    assert fit.bic > fit.aic
    assert all(
        later.objective <= earlier.objective + 1e-6
        for earlier, later in zip(fit.history, fit.history[1:], strict=False)
    )


def test_residual_covariances_explain_the_gain() -> None:
    """For N4SID and MOESP the reported K and Sigma are those of the Riccati equation of the reported (Q, R, S), in the model's basis."""
    data = kelman.datasets.hairdryer()
    for weighting in ("moesp", "n4sid"):
        fit = kelman.fit(
            data.z, data.u, n_states=4, method="subspace", weighting=weighting, block_rows=15, offset=False
        )
        Q, R, S = fit.noise
        ss = lti.dare(fit.model.A, fit.model.H, Q, R, S)
        np.testing.assert_allclose(ss.K, fit.K, rtol=1e-6)
    fit = kelman.fit(data.z, data.u, n_states=4, method="subspace")
    np.testing.assert_allclose(fit.noise[2] @ np.linalg.inv(fit.noise[1]), fit.K, rtol=1e-6)


def test_the_other_verbs_agree_with_the_fit() -> None:
    """Steady state, filter and forecast of the fitted model are those of its innovation form."""
    model = systems.random_stable(2, 1, 1, rng=5, radius=0.8)
    u = np.random.default_rng(0).normal(size=(600, 1))
    z = simulate(model, 600, 0, u) + 7.0
    fit = kelman.fit(z, u, n_states=2)
    steady = kelman.steady_state(fit.model)
    np.testing.assert_allclose(steady.K, fit.K, atol=1e-8)
    result = kelman.filter(fit.model, z, u, store="all")
    late = result.innovation[200:]
    A, B, H, D = lti.standard_form(fit.model)
    x, errors = fit.x1.copy(), []
    for k in range(600):
        errors.append(z[k] - fit.model.c - H @ x - D @ u[k])
        x = A @ x + B @ u[k] + fit.K @ errors[-1]
    np.testing.assert_allclose(late, errors[200:], atol=1e-6)
    assert abs(float(result.loglik) - fit.loglik) < 15


def test_result_is_a_frozen_value() -> None:
    """Arrays are read-only, fields cannot be set, and a fit survives pickling."""
    fit = kelman.fit(simulate(ROTATION, 500, 0), n_states=2)
    with pytest.raises(ValueError, match="read-only"):
        fit.K[0] = 1.0
    with pytest.raises(AttributeError):
        fit.order = 3
    again = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(again.poles, fit.poles)
    assert again.summary() == fit.summary()


def test_unexciting_input_is_reported() -> None:
    """An input made of one sinusoid warns that its effects are not all determined."""
    u = np.sin(0.5 * np.arange(500))
    z = simulate(systems.random_stable(2, 1, 1, rng=1), 500, 0, u[:, None])
    with pytest.warns(ModelWarning, match="persistently exciting"):
        kelman.fit(z, u, n_states=2, method="subspace")


def test_running_out_of_iterations_warns_and_keeps_the_best() -> None:
    """With one iteration the fit warns, says it has not converged, and is no worse than its start."""
    data = kelman.datasets.hairdryer()
    start = kelman.fit(data.z, data.u, n_states=4, method="subspace")
    with pytest.warns(NumericalWarning, match="no convergence"):
        fit = kelman.fit(data.z, data.u, n_states=4, max_iter=1)
    assert not fit.converged
    assert fit.loglik >= start.loglik - 1e-6


GOOD = np.random.default_rng(0).normal(size=(200, 1))
BAD = {
    "gap": (
        lambda: kelman.fit(np.where(np.arange(200) == 7, np.nan, GOOD[:, 0]), method="pem"),
        "z: 1 .*'mle' or 'em'",
    ),
    "infinite": (lambda: kelman.fit(np.where(np.arange(200) == 7, np.inf, GOOD[:, 0])), "z"),
    "constant": (lambda: kelman.fit(np.ones(100)), "constant"),
    "redundant": (lambda: kelman.fit(np.hstack([GOOD, 2 * GOOD + 1])), "components 0, 1 are linearly dependent"),
    "short": (lambda: kelman.fit(np.arange(3.0)), "z"),
    "empty": (lambda: kelman.fit(np.zeros((0, 1))), "empty"),
    "empty list": (lambda: kelman.fit([]), "empty"),
    "no columns": (lambda: kelman.fit(np.zeros((5, 0))), "empty"),
    "transposed": (lambda: kelman.fit(GOOD.T), "time comes first"),
    "four axes": (lambda: kelman.fit(np.zeros((2, 2, 2, 2))), "z"),
    "scalar": (lambda: kelman.fit(3.0), "z"),
    "text": (lambda: kelman.fit(["a", "b"]), "z"),
    "object": (lambda: kelman.fit(GOOD.astype(object)), "z"),
    "complex": (lambda: kelman.fit(GOOD * 1j), "z"),
    "longdouble": (lambda: kelman.fit(GOOD.astype(np.longdouble)), "z"),
    "widths": (lambda: kelman.fit([GOOD, np.hstack([GOOD, GOOD])]), "same number of measured"),
    "u length": (lambda: kelman.fit(GOOD, GOOD[:-1]), "u"),
    "u series": (lambda: kelman.fit([GOOD] * 3, [GOOD] * 2), "u"),
    "u gap": (lambda: kelman.fit(GOOD, np.full((200, 1), np.nan)), "u"),
    "method later": (lambda: kelman.fit(GOOD, method="gibbs"), "not in this version"),
    "method": (lambda: kelman.fit(GOOD, method="x"), "method"),
    "weighting": (lambda: kelman.fit(GOOD, weighting="x"), "weighting"),
    "x1": (lambda: kelman.fit(GOOD, x1="x"), "x1"),
    "n_states zero": (lambda: kelman.fit(GOOD, n_states=0), "n_states"),
    "n_states float": (lambda: kelman.fit(GOOD, n_states=2.0), "n_states"),
    "n_states high": (lambda: kelman.fit(GOOD, n_states=50, block_rows=10), "n_states"),
    "block_rows": (lambda: kelman.fit(GOOD, block_rows=1), "block_rows"),
    "block_rows high": (lambda: kelman.fit(GOOD, block_rows=90), "block_rows"),
    "offset": (lambda: kelman.fit(GOOD, offset="yes"), "offset"),
    "direct": (lambda: kelman.fit(GOOD, direct="yes"), "direct"),
    "max_iter": (lambda: kelman.fit(GOOD, max_iter=0), "max_iter"),
    "tol": (lambda: kelman.fit(GOOD, tol=-1.0), "tol"),
    "level": (lambda: kelman.fit(GOOD, n_states=1).pole_ellipses(1.5), "level"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_is_refused_by_name(case: str) -> None:
    """Each malformed argument raises KelmanError and the message says which."""
    call, words = BAD[case]
    with pytest.raises(KelmanError, match=words):
        call()


@pytest.mark.parametrize("layout", ["float32", "integer", "fortran", "reversed", "read-only", "strided"])
def test_layouts_and_dtypes_are_understood(layout: str) -> None:
    """Every memory layout gives the fit of its numbers."""
    z = np.round(100 * simulate(ROTATION, 600, 0)) * np.ones((1, 2)) + np.round(
        30 * np.random.default_rng(1).normal(size=(600, 2))
    )
    forms = {
        "float32": z.astype(np.float32),
        "integer": z.astype(np.int64),
        "fortran": np.asfortranarray(z),
        "reversed": z[::-1].copy()[::-1],
        "read-only": z.copy(),
        "strided": np.repeat(z, 2, axis=0)[::2],
    }
    forms["read-only"].setflags(write=False)
    np.testing.assert_allclose(kelman.fit(forms[layout], n_states=2).poles, kelman.fit(z, n_states=2).poles, atol=1e-9)
