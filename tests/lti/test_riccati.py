"""The Riccati equation of filtering: published numbers, closed forms, the recursion run to its end, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kelman.errors import KelmanError, NoSteadyStateError
from kelman.lti import dare, spectral_radius

PLANT = (
    np.array([[1.1269, -0.4940, 0.1129], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    np.array([[1.0, 0.0, 0.0]]),
    np.array([[-0.3832], [0.5919], [0.5191]]),
)


def random_problem(seed: int, n: int, m: int, rank: int, radius: float) -> tuple[np.ndarray, ...]:
    """A, H, Q, R, S with a joint noise covariance of the given rank."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= radius / max(np.abs(np.linalg.eigvals(A)).max(), 1e-3)
    G = rng.normal(size=(n + m, rank))
    J = G @ G.T
    return A, rng.normal(size=(m, n)), J[:n, :n], J[n:, n:], J[:n, n:]


def residual(problem: tuple[np.ndarray, ...], ss: object) -> float:
    """Largest residual of the Riccati equation relative to Q and P."""
    A, _, Q, _, _ = problem
    gap = A @ ss.P @ A.T + Q - ss.K @ ss.Sigma @ ss.K.T - ss.P
    return np.abs(gap).max() / (np.abs(A @ ss.P @ A.T).max() + np.abs(Q).max())


def test_nile_and_golden_ratio_have_their_closed_forms() -> None:
    """The local level has P = (q + sqrt(q^2 + 4 q r)) / 2 (published case 8: 5501.25794181, 0.26704801)."""
    ss = dare([[1.0]], [[1.0]], [[1469.1]], [[15099.0]])
    exact = (1469.1 + np.sqrt(1469.1**2 + 4 * 1469.1 * 15099)) / 2
    assert abs(ss.P[0, 0] / exact - 1) < 1e-14
    assert abs(ss.P[0, 0] - 5501.25794181) < 1e-8
    assert abs(ss.K[0, 0] - exact / (exact + 15099)) < 1e-14
    golden = dare([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    assert abs(golden.P[0, 0] - (1 + np.sqrt(5)) / 2) < 1e-14
    assert abs(golden.P_filtered[0, 0] - (np.sqrt(5) - 1) / 2) < 1e-14


@pytest.mark.parametrize(
    ("q", "gain"), [(2.3, [0.53453754, 0.01013319, -0.47756789]), (1.0, [0.37979733, 0.08173173, -0.25703962])]
)
def test_gain_of_the_published_plant(q: float, gain: list[float]) -> None:
    """Published case 34 (the 3-state plant of MATLAB's `kalman` page): the filter gain, to the printed digits."""
    A, H, B = PLANT
    ss = dare(A, H, q * B @ B.T, [[1.0]])
    np.testing.assert_allclose(ss.K_f[:, 0], gain, atol=1e-4)
    np.testing.assert_allclose(ss.K, A @ ss.K_f, atol=1e-14)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4), st.integers(0, 6), st.floats(0.1, 1.4))
def test_equals_the_recursion_run_to_its_end(seed: int, n: int, m: int, extra: int, radius: float) -> None:
    """P is the limit of the Riccati recursion from a large covariance, F is stable, and the residual is rounding."""
    problem = A, H, Q, R, S = random_problem(seed, n, m, min(m + extra, n + m), radius)
    try:
        ss = dare(*problem)
    except NoSteadyStateError:
        return  # a random noise model of deficient rank may have no solution: another test holds these
    assert residual(problem, ss) < 1e-10
    assert spectral_radius(ss.F) < 1
    np.testing.assert_array_equal(ss.P, ss.P.T)
    if spectral_radius(ss.F) > 0.98:
        return
    P = 10.0 * np.eye(n) * max(np.abs(Q).max(), 1.0)
    for _ in range(2000):
        Sigma = H @ P @ H.T + R
        K = np.linalg.solve(Sigma, (A @ P @ H.T + S).T).T
        KS = K @ S.T
        F = A - K @ H
        last, P = P, F @ P @ F.T + Q - KS - KS.T + K @ R @ K.T
        P = (P + P.T) / 2
        if np.abs(P - last).max() < 1e-12 * np.abs(P).max():
            break
    np.testing.assert_allclose(ss.P, P, atol=1e-7 * (np.abs(Q).max() + np.abs(P).max()))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 3), st.floats(0.2, 1.3))
def test_change_of_basis_changes_the_solution_with_it(seed: int, n: int, m: int, radius: float) -> None:
    """With x' = T x, P becomes T P T' and K becomes T K."""
    A, H, Q, R, S = random_problem(seed, n, m, n + m, radius)
    T = np.eye(n) + 0.4 * np.random.default_rng(seed + 1).normal(size=(n, n))
    if np.linalg.cond(T) > 1e3:
        return
    Ti = np.linalg.inv(T)
    one, two = dare(A, H, Q, R, S), dare(T @ A @ Ti, H @ Ti, T @ Q @ T.T, R, T @ S)
    scale = np.abs(two.P).max()
    np.testing.assert_allclose(two.P, T @ one.P @ T.T, atol=1e-7 * scale)
    np.testing.assert_allclose(two.Sigma, one.Sigma, rtol=1e-7)


def test_the_gain_is_the_best_of_all_constant_gains() -> None:
    """Moving any entry of K up or down by a little raises the stationary one-step error."""
    A, H, Q, R, S = random_problem(3, 3, 2, 5, 0.9)
    ss = dare(A, H, Q, R, S)

    def cost(K: np.ndarray) -> float:
        P = np.eye(3)
        for _ in range(3000):
            F = A - K @ H
            P = F @ P @ F.T + Q - K @ S.T - S @ K.T + K @ R @ K.T
        return float(np.trace(H @ P @ H.T))

    best = cost(ss.K)
    for i in np.ndindex(ss.K.shape):
        for step in (-1e-3, 1e-3):
            K = ss.K.copy()
            K[i] += step
            assert cost(K) > best


@pytest.mark.parametrize("ratio", [1e-14, 1e-10, 1.0, 1e10])
def test_constant_velocity_over_all_noise_ratios(ratio: float) -> None:
    """Unit-modulus, defective A is solved from nearly no noise to nearly no measurement noise, to rounding."""
    A, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    problem = A, H, ratio * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]), np.eye(1), np.zeros((2, 1))
    ss = dare(*problem)
    assert residual(problem, ss) < 1e-14
    assert spectral_radius(ss.F) < 1


def test_measurement_without_noise() -> None:
    """R = 0 is solved where Sigma stays positive definite, also when only the unseen state is driven."""
    ss = dare([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.0, 1.0]), [[0.0]])
    np.testing.assert_allclose(ss.P, [[1.0, 1.0], [1.0, 2.0]], atol=1e-14)
    np.testing.assert_allclose(ss.P_filtered, [[0.0, 0.0], [0.0, 1.0]], atol=1e-14)


def test_unstable_mode_without_noise_has_a_steady_state() -> None:
    """x+ = 2 x without noise: P = 3, K = 1.5, F = 1/2 (the mirror image), although the noise drives nothing."""
    ss = dare([[2.0]], [[1.0]], [[0.0]], [[1.0]])
    np.testing.assert_allclose([ss.P[0, 0], ss.K[0, 0], ss.F[0, 0]], [3.0, 1.5, 0.5], rtol=1e-13)


def test_moving_average_is_factored_with_its_zero_inside() -> None:
    """z_k = e_k + 2 e_{k-1} is reported as e_k + e_{k-1} / 2 with innovation variance 4."""
    ss = dare([[0.0]], [[1.0]], [[4.0]], [[1.0]], [[2.0]])
    np.testing.assert_allclose([ss.K[0, 0], ss.Sigma[0, 0]], [0.5, 4.0], rtol=1e-13)


ROTATION = np.array([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
SEASONAL = np.vstack([-np.ones(11), np.eye(11)[:-1]])
BASIS = np.random.default_rng(0).normal(size=(11, 11))


@pytest.mark.parametrize(
    ("problem", "words", "modulus"),
    [
        pytest.param(([[1.0]], [[1.0]], [[0.0]], [[1.0]]), "not driven by noise", 1.0, id="constant"),
        pytest.param((ROTATION, [[1, 0]], np.zeros((2, 2)), [[1]]), "period 12.566", 1.0, id="cycle"),
        pytest.param((SEASONAL, np.eye(1, 11), np.zeros((11, 11)), [[1]]), "not driven", 1.0, id="seasonal"),
        pytest.param(
            (BASIS @ SEASONAL @ np.linalg.inv(BASIS), np.eye(1, 11) @ np.linalg.inv(BASIS), np.zeros((11, 11)), [[1]]),
            "not driven",
            1.0,
            id="seasonal in another basis",
        ),
        pytest.param(([[1, 1], [0, 1]], [[1, 0]], np.diag([1.0, 0.0]), [[1]]), "not driven", 1.0, id="fixed slope"),
        pytest.param(([[1, 1], [0, 1]], [[0, 1]], np.eye(2), [[1]]), "unobservable", 1.0, id="unseen level"),
        pytest.param((np.diag([1.2, 0.5]), [[0, 1]], np.eye(2), [[1]]), "unobservable", 1.2, id="unseen unstable"),
        pytest.param(([[0.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]]), "zero of the noise model", 1.0, id="unit MA root"),
    ],
)
def test_names_the_mode_that_prevents_a_steady_state(problem: tuple, words: str, modulus: float) -> None:
    """Each kind of obstacle is named with its eigenvalue and its reason."""
    with pytest.raises(NoSteadyStateError, match=words) as caught:
        dare(*problem)
    assert abs(abs(caught.value.mode) - modulus) < 1e-6


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 3), st.floats(0.05, 3.1), st.booleans())
def test_obstacles_are_found_in_any_basis(seed: int, rest: int, m: int, angle: float, unseen: bool) -> None:
    """A cycle that no noise drives, or that no measurement shows, is named with its angle beside other modes, in a random basis."""
    rng = np.random.default_rng(seed)
    n = rest + 2
    A = np.zeros((n, n))
    A[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    other = rng.normal(size=(rest, rest))
    if rest:
        A[2:, 2:] = other * (rng.uniform(0.2, 1.3) / np.abs(np.linalg.eigvals(other)).max())
        if np.abs(np.abs(np.linalg.eigvals(A[2:, 2:])) - 1).min() < 0.02:
            return
    H, G = rng.normal(size=(m, n)), rng.normal(size=(n, n))
    if unseen:
        H[:, :2] = 0.0
    else:
        G[:2] = 0.0
    T = (
        np.linalg.qr(rng.normal(size=(n, n)))[0]
        @ np.diag(np.geomspace(1, 10, n))
        @ np.linalg.qr(rng.normal(size=(n, n)))[0]
    )
    Ti = np.linalg.inv(T)
    Q = T @ G @ G.T @ T.T
    with pytest.raises(NoSteadyStateError, match="unobservable" if unseen else "not driven by noise") as caught:
        dare(T @ A @ Ti, H @ Ti, (Q + Q.T) / 2, np.eye(m))
    assert abs(abs(np.angle(caught.value.mode)) - angle) < 1e-5


def test_singular_innovation_covariance_is_named() -> None:
    """Two noise-free measurements of one thing leave Sigma singular; the error says so."""
    with pytest.raises(NoSteadyStateError, match="innovation covariance"):
        dare(0.5 * np.eye(2), [[1, 0], [2, 0]], np.eye(2), np.zeros((2, 2)))


GOOD = {"A": np.eye(2) * 0.5, "H": np.eye(1, 2), "Q": np.eye(2), "R": np.eye(1), "S": np.zeros((2, 1))}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A", np.zeros((2, 3))),
        ("A", np.array([[np.nan, 0], [0, 1]])),
        ("A", np.eye(2) * 1j),
        ("A", np.array([["a", "b"], ["c", "d"]])),
        ("A", np.eye(2, dtype=object)),
        ("A", np.eye(2, dtype=np.longdouble)),
        ("A", [[1.0], [1.0, 2.0]]),
        ("H", np.zeros((1, 3))),
        ("H", np.zeros(2)),
        ("Q", np.eye(3)),
        ("Q", np.array([[1.0, 0.5], [0.0, 1.0]])),
        ("Q", np.diag([1.0, -1.0])),
        ("R", np.array([[np.inf]])),
        ("R", np.array([[-1.0]])),
        ("S", np.zeros((1, 2))),
        ("S", np.full((2, 1), 5.0)),
    ],
)
def test_wrong_input_is_refused_by_name(name: str, value: object) -> None:
    """Every malformed argument raises KelmanError and the message names it."""
    with pytest.raises(KelmanError, match=name):
        dare(**{**GOOD, name: value})


def test_layouts_and_dtypes_do_not_matter() -> None:
    """Fortran order, strides, negative strides, read-only, float32 and integer input give the same answer."""
    base = dare(**GOOD)
    wide = np.zeros((4, 4))
    wide[::2, ::2] = GOOD["A"]
    frozen = GOOD["A"].copy()
    frozen.setflags(write=False)
    for A in (np.asfortranarray(GOOD["A"]), wide[::2, ::2], GOOD["A"][::-1, ::-1], frozen, GOOD["A"].astype("f4")):
        np.testing.assert_array_equal(dare(**{**GOOD, "A": A}).P, base.P)
    np.testing.assert_array_equal(dare(**{**GOOD, "Q": np.eye(2, dtype=int)}).P, base.P)
