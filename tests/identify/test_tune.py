"""`kelman.tune`: noise covariances by likelihood and by correlation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.identify._noise_block import WORDS, NoiseBlock, block
from kelman.identify._tune import _Objective
from kelman.identify._tune_correlation import _autocovariance, regression
from kelman.identify._tune_gaps import products
from kelman.lti._lyapunov import stein
from tests.linear.cases import data, inputs, model

A = np.array([[0.8, 0.3], [-0.2, 0.7]])
PLANT = kelman.StateSpace(A, np.eye(2), [[1, 0.3], [0.3, 0.5]], [[0.5, 0.1], [0.1, 1.0]])
GUESS = PLANT.replace(Q=5 * np.eye(2), R=np.eye(2))
TRACK = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.1, 0.01]), [[1.0]])


def track(T: int, seed: int = 0, N: int | None = None) -> np.ndarray:
    """Positions of a target."""
    return kelman.simulate(TRACK.replace(m1=[0, 0], P1=np.eye(2)), T, N, rng=seed).z


def test_the_nile() -> None:
    """Published case 2: R = 15099, Q = 1469.1 (Durbin and Koopman (2012), eq. 2.10) to 0.05 %, from Q = R = 1."""
    one = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    tuned = kelman.tune(one, kelman.datasets.nile().z)
    np.testing.assert_allclose([tuned.R[0, 0], tuned.Q[0, 0]], [15099, 1469.1], rtol=5e-4)
    assert tuned.converged
    assert tuned.loglik == pytest.approx(-632.5456, abs=1e-3)
    assert (tuned.identifiable, tuned.hidden, tuned.nobs) == (2, (), 100)
    other = kelman.tune(one, kelman.datasets.nile().z, method="correlation")
    assert other.converged, other.message
    assert other.loglik > tuned.loglik - 1  # another estimate, as good by the likelihood as the sample allows


@pytest.mark.parametrize("word_R", WORDS)
@pytest.mark.parametrize("word_Q", WORDS)
def test_the_gradient_is_exact(word_Q: str, word_R: str) -> None:
    """The derivative of the objective by each parameter equals central differences, with gaps and a state without noise."""
    m = model(n=3, m=2, p=1, initial="stationary")
    Q = np.zeros((3, 3))
    Q[:2, :2] = m.Q[:2, :2]
    m = m.replace(Q=Q)
    blocks = block("Q", word_Q, m.Q), block("R", word_R, m.R)
    if not blocks[0].size + blocks[1].size:
        return
    objective = _Objective(m, data(2, 15), inputs(2, 15), blocks, 50)
    theta = np.concatenate([b.start(1.3) for b in blocks])
    theta = theta + 0.3 * np.random.default_rng(0).normal(size=theta.shape)
    slope = objective(theta)[1]
    for i in range(len(theta)):
        h = np.zeros_like(theta)
        h[i] = 1e-5
        difference = (objective(theta + h)[0] - objective(theta - h)[0]) / 2e-5
        assert slope[i] == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("word", ["full", "diagonal", "scale"])
def test_the_start_of_a_block_is_its_matrix(word: str) -> None:
    """Parameters of a covariance give it back (with "diagonal" its diagonal); basis and places agree with the matrix."""
    Q = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    one = block("Q", word, Q)
    expected = np.diag(np.diag(Q)) if word == "diagonal" else Q
    np.testing.assert_allclose(one.matrix(one.start()), expected, rtol=1e-12)
    np.testing.assert_allclose(one.matrix(one.start(4.0)), 4 * expected, rtol=1e-12)
    assert len(one.basis) == one.size == len(one.names)


@pytest.mark.parametrize("seed", range(4))
def test_no_likelihood_is_lower_than_that_of_the_truth(seed: int) -> None:
    """With gaps, inputs, models whose A differs by series, ragged lists: at least the likelihood of the true Q and R."""
    rng = np.random.default_rng(seed)
    truth = model(n=2, m=2, p=1, seed=seed, initial="stationary")
    u = inputs(3, 120, seed=seed)
    z = kelman.simulate(truth, 120, 3, u, rng=seed).z.copy()
    z[rng.random(z.shape) < 0.2] = np.nan
    guess = truth.replace(Q=np.eye(2), R=10 * np.eye(2))
    tuned = kelman.tune(guess, z, u)
    assert tuned.loglik >= float(kelman.loglik(truth, z, u).sum())
    assert tuned.loglik == pytest.approx(float(kelman.loglik(tuned.model, z, u).sum()))
    assert tuned.converged, tuned.message
    ragged = kelman.tune(guess, [z[0], z[1, :50]], [u[0], u[1, :50]])
    assert ragged.loglik >= float(kelman.loglik(truth, [z[0], z[1, :50]], [u[0], u[1, :50]]).sum())
    own = truth.replace(A=np.stack([truth.A, 0.5 * truth.A, -truth.A])[:, None])
    z = kelman.simulate(own, 120, u=u, rng=seed).z
    tuned = kelman.tune(own.replace(Q=np.eye(2), R=np.eye(2)), z, u)
    assert tuned.loglik >= float(kelman.loglik(own, z, u).sum())
    assert tuned.identifiable is None
    assert "not looked at" in tuned.summary()


def test_the_first_guess_may_be_far_off() -> None:
    """From guesses of Q and R wrong by factors of 1e-6 to 1e6 the same optimum is found."""
    z = track(300)
    found = [
        kelman.tune(TRACK.replace(Q=q * np.eye(2), R=[[r]]), z, Q="diagonal")
        for q in (1e-6, 1, 1e6)
        for r in (1e-6, 1, 1e6)
    ]
    best = max(one.loglik for one in found)
    for one in found:
        assert one.loglik == pytest.approx(best, abs=1e-3)


def test_correlation_is_consistent() -> None:
    """The error of Q and R falls like 1 / sqrt(T): below 12 / sqrt(T) at T = 1,000 and 100,000 (seeds 0, 1, 2)."""
    for T in (1000, 100_000):
        for seed in range(3):
            tuned = kelman.tune(GUESS, kelman.simulate(PLANT, T, rng=seed).z, method="correlation")
            error = max(np.abs(tuned.Q - PLANT.Q).max(), np.abs(tuned.R - PLANT.R).max())
            assert error < 12 / np.sqrt(T), (T, seed)
            assert tuned.converged


def test_correlation_needs_no_gaussian_noise_and_takes_inputs_and_many_series() -> None:
    """Uniform noise, inputs, offsets and 30 series of an unstable A: Q and R to 5 %."""
    rng = np.random.default_rng(0)
    truth = kelman.StateSpace([[1.02]], [[1.0]], [[0.5]], [[2.0]], B=[[1.0]], c=[100.0], m1=[0.0], P1=[[1.0]])
    u = rng.normal(size=(30, 400, 1))
    x, z = np.zeros(30), np.empty((30, 400, 1))
    for k in range(400):
        x = 1.02 * x + u[:, k, 0] + np.sqrt(0.5 * 12) * (rng.random(30) - 0.5)
        z[:, k, 0] = x + 100 + np.sqrt(2 * 12) * (rng.random(30) - 0.5)
    tuned = kelman.tune(truth.replace(Q=[[5.0]], R=[[5.0]]), z, u, method="correlation")
    np.testing.assert_allclose([tuned.Q[0, 0], tuned.R[0, 0]], [0.5, 2.0], rtol=0.05)


def gappy(T: int, N: int, share: float, seed: int) -> tuple[kelman.StateSpace, np.ndarray, np.ndarray]:
    """Two outputs, of which each value may be missing by itself."""
    truth = kelman.systems.random_stable(2, 2, 1, rng=3, radius=0.9)
    u = np.random.default_rng(seed).normal(size=(N, T, 1))
    z = kelman.simulate(truth, T, N, u=u, rng=seed).z
    z[np.random.default_rng(seed).random(z.shape) < share] = np.nan
    return truth, z, u


def test_expected_products_with_gaps_are_those_of_dense_algebra() -> None:
    """Each innovation error as a linear function of all noises before it; sums over the pairs that are measured."""
    T, N, lags, n, m = 12, 2, 4, 2, 2
    truth, z, u = gappy(T, N, 0.3, 0)
    first, second = (NoiseBlock("Q", "full", np.eye(2)), NoiseBlock("R", "full", np.eye(2)))
    steady = kelman.steady_state(truth)
    model = truth.replace(m1=np.zeros(2), P1=(steady.P_predicted + steady.P_predicted.T) / 2)
    inside = np.arange(T) >= np.array([2, 3])[:, None]
    C, pairs, columns, constant = products(model, z, u, inside, (first, second), lags)
    assert not constant.any()
    found = kelman.filter(model, z, u, store="all")
    shapes = [(E, np.zeros((m, m))) for E in first.basis] + [(np.zeros((n, n)), E) for E in second.basis]
    F = truth.A - steady.K @ truth.H
    for (Q, R), column in zip(shapes, columns, strict=True):
        P0 = stein(F, Q + steady.K @ R @ steady.K.T)
        noise = np.zeros((n + T * (n + m),) * 2)
        noise[:n, :n] = P0
        for k in range(T):
            a = n + k * (n + m)
            noise[a : a + n, a : a + n], noise[a + n : a + n + m, a + n : a + n + m] = Q, R
        total, sample = np.zeros((lags + 1, m, m)), np.zeros((lags + 1, m, m))
        for i in range(N):
            error, e = np.eye(n, len(noise)), []
            for k in range(T):
                a, seen = n + k * (n + m), np.isfinite(z[i, k])
                e.append(truth.H @ error + np.eye(m, len(noise), a + n))
                cov = found.predicted_cov[i, k]
                H = truth.H[seen]
                gain = np.zeros((n, m))
                gain[:, seen] = truth.A @ cov @ H.T @ np.linalg.inv(H @ cov @ H.T + truth.R[np.ix_(seen, seen)])
                error = truth.A @ error - gain @ e[-1] + np.eye(n, len(noise), a)
            for j in range(lags + 1):
                for k in range(j, T):
                    both = np.outer(np.isfinite(z[i, k]) & inside[i, k], np.isfinite(z[i, k - j]) & inside[i, k - j])
                    total[j] += both * (e[k] @ noise @ e[k - j].T)
                    both_seen = np.nan_to_num(np.outer(found.innovation[i, k], found.innovation[i, k - j]))
                    sample[j] += both * both_seen
        np.testing.assert_allclose(column * np.maximum(pairs, 1), total, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(C * np.maximum(pairs, 1), sample, rtol=1e-9, atol=1e-9)


def test_without_gaps_both_ways_are_one() -> None:
    """The products of complete data are what the constant gain gives."""
    truth, z, u = gappy(300, 3, 0.0, 1)
    blocks = NoiseBlock("Q", "diagonal", truth.Q), NoiseBlock("R", "full", truth.R)
    steady = kelman.steady_state(truth)
    model = truth.replace(m1=np.zeros(2), P1=(steady.P_predicted + steady.P_predicted.T) / 2)
    inside = np.broadcast_to(np.arange(300) >= 50, (3, 300))
    _, pairs, columns, constant = products(model, z, u, inside, blocks, 6)
    expected = regression(truth, blocks, 6)
    assert pairs[2, 0, 1] == 3 * 248
    np.testing.assert_allclose(columns, expected.columns, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(constant, expected.constant, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_correlation_takes_gaps(share: float) -> None:
    """Consistent with a tenth and four tenths of the values missing, and about as good as the likelihood."""
    truth = kelman.systems.rotation()
    guess, errors = truth.replace(Q=np.eye(2), R=[[3.0]]), []
    for seed in range(3):
        z = kelman.simulate(truth, 4000, rng=seed).z
        z[np.random.default_rng(seed).random(4000) < share] = np.nan
        pair = [kelman.tune(guess, z, method=method, Q="diagonal") for method in ("correlation", "likelihood")]
        assert pair[0].converged
        errors.append([[*np.diag(one.Q - truth.Q), one.R[0, 0] - 1] for one in pair])
    mine, best = np.sqrt(np.square(errors).mean(axis=0))
    assert (mine < 3 * best + 0.01).all()
    assert mine.max() < 0.1


@pytest.mark.parametrize("Q", ["full", "diagonal", "scale"])
def test_correlation_gives_covariances(Q: str) -> None:
    """With data too few for a positive definite answer, Q and R still have no negative eigenvalue (8 seeds)."""
    for seed in range(8):
        tuned = kelman.tune(TRACK.replace(Q=np.eye(2)), track(60, seed), method="correlation", Q=Q)
        assert np.linalg.eigvalsh(tuned.Q)[0] >= -1e-12 * np.trace(tuned.Q)
        assert tuned.R[0, 0] >= 0


def test_autocovariances_of_a_filter_that_is_not_optimal() -> None:
    """The formulas equal M M' with M the map from 150 steps of noise to innovations, written out."""
    K = np.array([[0.5, 0.1], [0.0, 0.3]])
    H, F = np.array([[1.0, 0.2], [0.0, 1.0]]), None
    F = A - K @ H
    steps, w, v = 150, np.linalg.cholesky(PLANT.Q), np.linalg.cholesky(PLANT.R)
    error, e = np.zeros((2, 4 * steps)), []
    for k in range(steps):
        noise = np.zeros((2, 4 * steps))
        noise[:, 4 * k : 4 * k + 2] = v
        e.append(H @ error + noise)
        error = F @ error - K @ noise
        error[:, 4 * k + 2 : 4 * k + 4] += w
    expected = [e[-1] @ e[-1 - j].T for j in range(6)]
    np.testing.assert_allclose(_autocovariance(F, K, H, PLANT.Q, PLANT.R, 5), expected, atol=1e-10)


def test_what_no_data_can_tell() -> None:
    """Of the 4 free entries of a tracker 3 are determined; the hidden direction leaves the likelihood alone, another not."""
    z = track(2000)
    tuned = kelman.tune(TRACK, z)
    assert tuned.identifiable == 3
    assert tuned.hidden == ("Q[0,0] by 1, Q[1,0] by 1",)
    assert "determine only 3 of 4" in tuned.summary()
    d = 0.01
    along = kelman.loglik(TRACK.replace(Q=TRACK.Q + np.array([[d, d], [d, 0.0]])), z)
    across = kelman.loglik(TRACK.replace(Q=TRACK.Q + np.array([[d, 0.0], [0.0, d]])), z)
    assert abs(along - kelman.loglik(TRACK, z)) < 0.05
    assert abs(across - kelman.loglik(TRACK, z)) > 1


def test_structure_is_kept() -> None:
    """States without noise keep none, "scale" keeps the shape of Q, "fixed" keeps R, and S goes along with scales."""
    z = track(200)
    smooth = TRACK.replace(Q=np.diag([0.0, 1.0]))
    tuned = kelman.tune(smooth, z)
    assert tuned.Q[0, 0] == tuned.Q[0, 1] == 0
    assert tuned.names == ("Q[1,1]", "R[0,0]")
    shape = np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])
    tuned = kelman.tune(TRACK.replace(Q=shape), z, Q="scale", R="fixed")
    np.testing.assert_allclose(tuned.Q / tuned.Q[1, 1], shape, rtol=1e-12)
    assert tuned.R[0, 0] == 1.0
    joint = PLANT.replace(S=[[0.2, 0.0], [0.1, 0.3]])
    z = kelman.simulate(joint, 2000, rng=0).z
    far = joint.replace(Q=4 * joint.Q, R=joint.R / 4)
    tuned = kelman.tune(far, z, Q="scale", R="scale")
    np.testing.assert_allclose(tuned.Q, joint.Q, rtol=0.15)
    np.testing.assert_allclose(tuned.model.S, joint.S, rtol=0.15)
    assert tuned.loglik >= float(kelman.loglik(joint, z)) - 1e-9


def test_progress_and_interruption() -> None:
    """A function is told iterations and likelihoods; when it is interrupted, the best so far comes back, not converged."""
    seen: list[tuple[int, float]] = []
    z = track(200)
    whole = kelman.tune(TRACK.replace(Q=np.eye(2)), z, Q="diagonal", progress=lambda i, ll: seen.append((i, ll)))
    assert [i for i, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] == pytest.approx(whole.loglik, abs=1e-6)
    assert all(later >= earlier for (_, earlier), (_, later) in itertools.pairwise(seen))

    def stop(i: int, _: float) -> None:
        if i == 3:
            raise KeyboardInterrupt

    cut = kelman.tune(TRACK.replace(Q=np.eye(2)), z, Q="diagonal", progress=stop)
    assert not cut.converged
    assert "interrupted" in cut.message
    assert cut.loglik_before < cut.loglik < whole.loglik + 1e-9


def test_noise_that_is_not_there() -> None:
    """Data without process noise drive Q to zero, and the summary says so."""
    z = np.random.default_rng(0).normal(size=(300, 1))
    m = kelman.StateSpace(np.eye(2), [[1.0, 0.0]], np.diag([0.5, 0.5]), [[0.1]], m1=[0, 0], P1=np.eye(2))
    tuned = kelman.tune(m, z, Q="scale")
    assert tuned.Q[0, 0] < 1e-3
    assert "log-likelihood" in tuned.summary()
    assert "Tuned(likelihood" in repr(tuned)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "em"}, "method: expected one of 'likelihood', 'correlation'"),
        ({"Q": "free"}, "Q: expected one of 'full', 'diagonal', 'scale', 'fixed'"),
        ({"Q": "fixed", "R": "fixed"}, "Q, R: both are fixed"),
        ({"model": TRACK.replace(Q=np.zeros((2, 2)))}, "Q: is zero in this model"),
        ({"model": TRACK.replace(R=np.ones((30, 1, 1)))}, "R: varies"),
        ({"lags": 0}, "lags: expected a whole number"),
        ({"max_iter": 0}, "max_iter: expected a whole number"),
        ({"model": TRACK.replace(S=[[0.01], [0.0]])}, "model: has S"),
        ({"z": np.zeros(30), "method": "correlation"}, "z: component 0 is predicted exactly"),
        ({"z": np.where(np.arange(30) % 9, np.nan, track(30)[:, 0]), "method": "correlation"}, "too many gaps"),
        ({"model": TRACK.replace(A=np.stack([TRACK.A] * 30), initial="diffuse"), "method": "correlation"}, "A: varies"),
        ({"z": [0.0, 1.0], "method": "correlation"}, "z: too short"),
        ({"model": 3}, "model: tune expects a StateSpace"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    """Each wrong argument is refused by name, with what to do."""
    arguments: dict[str, Any] = {"model": TRACK, "z": track(30)} | change
    with pytest.raises(KelmanError, match=message):
        kelman.tune(**arguments)
