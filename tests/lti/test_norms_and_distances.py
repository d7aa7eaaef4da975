"""Norms, gaps, divergences and bounds against dense sums, frequency grids, closed forms and joint Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kelman
from kelman import lti, systems
from kelman.errors import KelmanError, NoSteadyStateError
from kelman.identify import _predictor
from kelman.identify._data import read
from kelman.lti._propagate import propagate

seeds = st.integers(0, 2**32 - 1)
GRID = np.linspace(0, np.pi, 1001)


def random_system(seed: int, n: int, p: int, m: int, radius: float) -> tuple[np.ndarray, ...]:
    """A, B, H, D with the given spectral radius."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= radius / max(np.abs(np.linalg.eigvals(A)).max(), 1e-6)
    return A, rng.normal(size=(n, p)), rng.normal(size=(m, n)), rng.normal(size=(m, p))


def from_continuous(A: np.ndarray, B: np.ndarray, H: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, ...]:
    """Bilinear map s = (z - 1) / (z + 1), which keeps gaps and norms."""
    A, B, H, D = (np.atleast_2d(np.asarray(x, dtype=float)) for x in (A, B, H, D))
    inverse = np.linalg.inv(np.eye(len(A)) - A)
    return inverse @ (np.eye(len(A)) + A), np.sqrt(2) * inverse @ B, np.sqrt(2) * H @ inverse, D + H @ inverse @ B


def largest_on_grid(system: tuple[np.ndarray, ...]) -> float:
    """The largest singular value over the grid and the angles of the poles."""
    A, B, H, D = system
    angles = np.concatenate([GRID, np.abs(np.angle(np.linalg.eigvals(A)))])
    return float(np.linalg.norm(lti.frequency_response(A, B, H, angles, D), 2, axis=(1, 2)).max())


@given(seeds, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.floats(0.1, 0.95))
def test_h2_norm_is_the_sum_of_squares(seed: int, n: int, p: int, m: int, radius: float) -> None:
    """The squared norm is the sum of the squared impulse response."""
    system = A, B, H, D = random_system(seed, n, p, m, radius)
    direct = np.sqrt(np.square(lti.markov(A, B, H, 1500, D)).sum())
    np.testing.assert_allclose(lti.h2_norm(*system), direct, rtol=1e-9)


@given(seeds, st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.floats(0.1, 0.99))
@settings(max_examples=40)
def test_hinf_norm_is_the_peak_of_the_response(seed: int, n: int, p: int, m: int, radius: float) -> None:
    """The norm bounds a fine grid from above, and by no more than the grid can miss."""
    system = random_system(seed, n, p, m, radius)
    norm, seen = lti.hinf_norm(*system), largest_on_grid(system)
    assert norm >= seen * (1 - 1e-9)
    assert norm <= seen * (1 + 2e-2 * (1 if radius < 0.97 else 10))
    A, B, H, D = system
    angles = GRID[:, None] + 0 * GRID[:1]
    best = GRID[np.linalg.norm(lti.frequency_response(A, B, H, angles[:, 0], D), 2, axis=(1, 2)).argmax()]
    fine = np.clip(best + np.linspace(-5e-3, 5e-3, 1001), 0, np.pi)
    near = np.linalg.norm(lti.frequency_response(A, B, H, fine, D), 2, axis=(1, 2)).max()
    if near >= seen:
        assert norm >= near * (1 - 1e-9)


def test_hinf_norm_of_a_resonance() -> None:
    """1 / (z - a) peaks at z = 1 with 1 / (1 - a); a resonance of modulus .999 is found to nine digits."""
    assert abs(lti.hinf_norm([[0.9]], [[1.0]], [[1.0]]) - 10) < 1e-8
    A = 0.999 * np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    B, H = np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]])
    fine = 1.0 + np.linspace(-1e-3, 1e-3, 200_001)
    peak = np.abs(lti.frequency_response(A, B, H, fine)).max()
    assert abs(lti.hinf_norm(A, B, H) / peak - 1) < 1e-8
    assert lti.hinf_norm([[0.5]], [[0.0]], [[1.0]]) == 0.0


@given(seeds, st.integers(1, 4), st.integers(1, 3), st.floats(0.1, 0.9))
@settings(max_examples=40)
def test_hinf_norm_obeys_the_bound_of_balanced_truncation(seed: int, n: int, p: int, radius: float) -> None:
    """The error of truncation to order r is at most twice the sum of the Hankel singular values left out, at least the first of these."""
    A, B, H, _ = random_system(seed, n, p, p, radius)
    hankel = lti.hankel_singular_values(A, B, H)
    for r in range(int((hankel > 1e-9 * hankel[0]).sum())):
        small = lti.balanced_truncation(A, B, H, r)
        error = lti.hinf_norm(
            np.block([[A, np.zeros((n, r))], [np.zeros((r, n)), small.A]]),
            np.vstack([B, small.B]),
            np.hstack([H, -small.H]),
        )
        assert hankel[r] * (1 - 1e-6) <= error <= 2 * hankel[r:].sum() * (1 + 1e-6)


def test_gap_of_published_pairs() -> None:
    """1 / (s - .001) and 1 / (s + .001) are .002 apart; 100 / (2 s + 1) and 100 / (2 s - 1) about .02 (Vinnicombe's examples)."""
    near = [from_continuous(a, 1.0, 1.0, 0.0) for a in (0.001, -0.001)]
    assert abs(lti.nu_gap(*near) - 0.002) < 2e-6
    wide = [from_continuous(a, 1.0, 50.0, 0.0) for a in (-0.5, 0.5)]
    assert abs(lti.nu_gap(*wide) - 0.02) < 1e-3


def test_gap_is_one_where_the_winding_number_differs() -> None:
    """k / (s - .5) and k / (s + .5) with small k look alike at every frequency and yet no controller suits both: gap 1."""
    first, second = from_continuous(0.5, 0.1, 1.0, 0.0), from_continuous(-0.5, 0.1, 1.0, 0.0)
    assert lti.nu_gap(first, second) == 1.0
    assert lti.nu_gap(second, first) == 1.0


def chordal(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> float:
    """Largest chordal distance over the grid."""
    worst = 0.0
    G1 = lti.frequency_response(*first[:3], GRID, first[3])
    G2 = lti.frequency_response(*second[:3], GRID, second[3])
    for one, two in zip(G1, G2, strict=True):
        left = np.linalg.inv(np.linalg.cholesky(np.eye(len(one)) + two @ two.conj().T))
        right = np.linalg.inv(np.linalg.cholesky(np.eye(one.shape[1]) + one.conj().T @ one)).conj().T
        worst = max(worst, float(np.linalg.norm(left @ (two - one) @ right, 2)))
    return worst


@given(seeds, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.floats(0.2, 1.5), st.floats(1e-3, 0.5))
@settings(max_examples=40)
def test_gap_is_the_chordal_distance(seed: int, n: int, p: int, m: int, radius: float, move: float) -> None:
    """The gap is 1 or the largest chordal distance of the responses, is symmetric, and does not see a change of basis."""
    first = A, B, H, D = random_system(seed, n, p, m, radius)
    rng = np.random.default_rng(seed + 1)
    second = tuple(x + move * rng.normal(size=x.shape) for x in first)
    if min(np.abs(np.abs(np.linalg.eigvals(s[0])) - 1).min() for s in (first, second)) < 0.02:
        return
    gap = lti.nu_gap(first, second)
    assert gap == 1.0 or abs(gap - chordal(first, second)) < 0.01
    assert abs(gap - lti.nu_gap(second, first)) < 1e-6
    T = rng.normal(size=(n, n)) + 3 * np.eye(n)
    turned = (T @ A @ np.linalg.inv(T), T @ B, H @ np.linalg.inv(T), D)
    assert lti.nu_gap(first, turned) < 1e-5


def test_gap_takes_models() -> None:
    """A model with inputs is compared by its transfer function from u to z; one without is refused by name."""
    model = systems.random_stable(2, 1, 1, rng=0)
    assert lti.nu_gap(model, lti.standard_form(model)) < 1e-6
    with pytest.raises(KelmanError, match="no inputs"):
        lti.nu_gap(model, systems.rotation())
    with pytest.raises(NoSteadyStateError, match="first"):
        lti.nu_gap(([[1.0]], [[0.0]], [[1.0]]), ([[0.5]], [[1.0]], [[1.0]]))


@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), st.integers(0, 2))
def test_excess_is_the_sum_over_impulse_responses(seed: int, n: int, k: int, m: int, p: int) -> None:
    """Delta equals the sum over lags of d_i Sigma d_i' + f_i U f_i', d and f the responses of the difference to e and u."""
    model = systems.random_stable(n, m, p, rng=seed, radius=0.8, direct=True)
    A, B, H, D = lti.standard_form(model)
    ss = lti.dare(model.A, model.H, model.Q, model.R)
    F, K_h, H_h, _ = random_system(seed + 1, k, m, m, 0.7)
    rng = np.random.default_rng(seed)
    B_h, D_h = rng.normal(size=(k, p)), rng.normal(size=(m, p))
    U = np.diag(rng.uniform(0.5, 2, size=p))
    if p:
        found = lti.excess_covariance((A, H, ss.K, ss.Sigma, B, D), (F, K_h, H_h, B_h, D_h), input_cov=U)
    else:
        found = lti.excess_covariance((A, H, ss.K, ss.Sigma), (F, K_h, H_h))
    total = np.zeros((m, m))
    for source in range(m + p):
        e, u = np.eye(m + p)[source, :m], np.eye(m + p)[source, m:]
        scale = ss.Sigma if source < m else U
        s, h, responses = np.zeros(n), np.zeros(k), []
        for _ in range(400):
            z = H @ s + D @ u + e
            responses.append(H @ s + D @ u - H_h @ h - D_h @ u)
            s, h = A @ s + B @ u + ss.K @ e, F @ h + K_h @ z + B_h @ u
            e, u = np.zeros(m), np.zeros(p)
        for other in range(m + p):
            if (source < m) == (other < m):
                weight = scale[source % m, other % m] if source < m else scale[source - m, other - m]
                if other == source:
                    total += weight * np.array(responses).T @ np.array(responses)
                elif source < m:
                    total += weight * np.array(responses).T @ _responses(A, H, ss.K, F, K_h, H_h, other)
    np.testing.assert_allclose(found, total, atol=1e-8 * (1 + np.abs(total).max()))


def _responses(
    A: np.ndarray, H: np.ndarray, K: np.ndarray, F: np.ndarray, K_h: np.ndarray, H_h: np.ndarray, source: int
) -> np.ndarray:
    s, h, e, out = np.zeros(len(A)), np.zeros(len(F)), np.eye(K.shape[1])[source], []
    for _ in range(400):
        out.append(H @ s - H_h @ h)
        z = H @ s + e
        s, h, e = A @ s + K @ e, F @ h + K_h @ z, 0 * e
    return np.array(out)


def _covariance(model: kelman.StateSpace, T: int) -> np.ndarray:
    P = lti.lyapunov(model.A, model.Q)
    blocks = [[None] * T for _ in range(T)]
    powers = lti.markov(model.A, P @ model.H.T, np.eye(len(P)), T)[1:]
    for i in range(T):
        for j in range(T):
            lag = abs(i - j)
            block = model.H @ powers[lag]
            blocks[i][j] = (block if i >= j else block.T) + (model.R if lag == 0 else 0)
    return np.block(blocks)


@pytest.mark.parametrize("m", [1, 2])
def test_kullback_rate_is_the_growth_of_the_divergence(m: int) -> None:
    """The rate equals the difference of the dense Gaussian divergences of 60 and 61 steps."""
    one, two = (systems.random_stable(2, m, rng=seed, radius=0.6) for seed in (0, 1))

    def divergence(T: int) -> float:
        P, Q = _covariance(one, T), _covariance(two, T)
        ratio = np.linalg.solve(Q, P)
        return 0.5 * float(np.trace(ratio) - len(P) - np.linalg.slogdet(ratio)[1])

    np.testing.assert_allclose(lti.kullback_rate(one, two), divergence(61) - divergence(60), rtol=1e-6)
    assert abs(lti.kullback_rate(one, one)) < 1e-12
    with pytest.raises(KelmanError, match="measured values"):
        lti.kullback_rate(one, systems.random_stable(2, 3, rng=0))


def test_bound_of_an_arma_process() -> None:
    """AR(1) in noise is ARMA(1,1): N var(pole) = (1 - a^2)(1 - a f)^2 / (a - f)^2 with closed loop f (Box & Jenkins)."""
    a = 0.8
    model = kelman.StateSpace([[a]], [[1.0]], [[1.0]], [[2.0]])
    f = lti.dare(model.A, model.H, model.Q, model.R).F[0, 0]
    bound = lti.pole_crb(model, 100)
    np.testing.assert_allclose(bound.covariance[0, 0, 0], (1 - a**2) * (1 - a * f) ** 2 / (a - f) ** 2 / 100, rtol=1e-9)
    assert bound.dimension == 2


def test_bound_of_the_test_bed() -> None:
    """The rotation: .350 / sqrt N for the modulus, .429 / sqrt N for the angle, and four identifiable parameters."""
    bound = lti.pole_crb(systems.rotation())
    np.testing.assert_allclose(bound.modulus_std, 0.350, atol=5e-4)
    np.testing.assert_allclose(bound.angle_std, 0.429, atol=5e-4)
    assert bound.dimension == 4


@pytest.mark.parametrize(("n", "m", "p"), [(2, 1, 0), (3, 2, 1), (2, 1, 2)])
def test_information_equals_the_average_over_a_long_record(n: int, m: int, p: int) -> None:
    """The Lyapunov solution agrees with squared derivatives averaged over 200,000 simulated steps."""
    from kelman.lti import _bound

    model = systems.random_stable(n, m, p, rng=2, radius=0.8, direct=True)
    A, B, H, D = lti.standard_form(model)
    ss = lti.dare(model.A, model.H, model.Q, model.R)
    T = 200_000
    rng = np.random.default_rng(0)
    u, e = rng.normal(size=(T, p)), rng.normal(size=(T, m)) @ np.linalg.cholesky(ss.Sigma).T
    s = propagate(A, (e @ ss.K.T + u @ B.T)[:, :, None])[:-1, :, 0]
    records = _predictor.Records(read(s @ H.T + u @ D.T + e, u if p else None))
    start = _predictor.predictor(A, B, H, D, ss.K, np.zeros(n), np.zeros(m), np.zeros((n, 1)))
    free = _predictor.free_parameters(n, m, p, offset=False, direct=True, x1="zero")
    seen = records.normal_equations(start, records.errors(start), ss.Sigma, free).matrix / T
    exact = _bound._information(A, B, H, D, ss.K, ss.Sigma, ss.F, np.eye(p))
    size = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(seen / np.outer(size, size), exact / np.outer(size, size), atol=0.03)
    assert lti.pole_crb(model).dimension == n * (2 * m + p) + m * p


@given(seeds, st.integers(2, 4))
def test_pole_derivatives_equal_differences(seed: int, n: int) -> None:
    """The derivative of each pole by each entry of A equals a central difference where poles are apart."""
    A = np.random.default_rng(seed).normal(size=(n, n))
    values, derivative = lti.pole_derivatives(A)
    gaps = np.abs(values[:, None] - values) + np.eye(n)
    if gaps.min() < 0.1 or np.abs(derivative).max() > 50:
        return
    for i, j in np.ndindex(n, n):
        h = np.zeros((n, n))
        h[i, j] = 1e-6
        up, down = np.linalg.eigvals(A + h), np.linalg.eigvals(A - h)
        for k in range(n):
            slope = (up[np.abs(up - values[k]).argmin()] - down[np.abs(down - values[k]).argmin()]) / 2e-6
            assert abs(slope - derivative[k, i, j]) < 1e-4 * (1 + abs(slope))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        pytest.param(lambda: lti.h2_norm([[1.0]], [[1.0]], [[1.0]]), "A", id="h2 unstable"),
        pytest.param(lambda: lti.hinf_norm([[1.5]], [[1.0]], [[1.0]]), "A", id="hinf unstable"),
        pytest.param(lambda: lti.hinf_norm([[0.5]], [[1.0]], [[1.0]], tol=0), "tol", id="tol"),
        pytest.param(lambda: lti.hinf_norm([[0.5]], [1.0], [[1.0]]), "B", id="hinf B"),
        pytest.param(lambda: lti.h2_norm([[0.5]], [[1.0]], [[1.0]], [[1.0, 2.0]]), "D", id="h2 D"),
        pytest.param(lambda: lti.frequency_response([[0.5]], [[1.0]], [[1.0]], [np.nan]), "omega", id="omega"),
        pytest.param(lambda: lti.nu_gap(([[0.5]],), ([[0.5]],)), "first", id="gap length"),
        pytest.param(
            lambda: lti.nu_gap(([[0.5]], [[1.0]], [[1.0]]), ([[0.5]], [[1.0, 1.0]], [[1.0]])), "second", id="gap sizes"
        ),
        pytest.param(lambda: lti.excess_covariance(([[0.5]],), ([[0.5]],)), "model", id="excess length"),
        pytest.param(
            lambda: lti.excess_covariance(
                ([[0.5]], [[1.0]], [[0.1]], [[1.0]]), ([[0.5]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
            ),
            "predictor",
            id="excess inputs",
        ),
        pytest.param(
            lambda: lti.excess_covariance(([[1.5]], [[1.0]], [[0.1]], [[1.0]]), ([[0.5]], [[1.0]], [[1.0]])),
            "spectral radius",
            id="excess unstable",
        ),
        pytest.param(lambda: lti.pole_crb(systems.local_level()), "model.A", id="bound unit root"),
        pytest.param(lambda: lti.pole_crb(systems.rotation(), 0), "N", id="bound N"),
        pytest.param(lambda: lti.pole_derivatives(np.ones((2, 3))), "A", id="derivatives"),
    ],
)
def test_wrong_input_is_refused_by_name(call: object, word: str) -> None:
    """Each malformed argument raises KelmanError and the message names it."""
    with pytest.raises(KelmanError, match=word):
        call()
