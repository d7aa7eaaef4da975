"""Lyapunov equations, poles, Markov parameters, realisation, balancing, splitting: dense oracles and invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kelman
from kelman import lti
from kelman.errors import KelmanError

seeds = st.integers(0, 2**32 - 1)


def stable(seed: int, n: int, p: int, m: int, radius: float = 0.9) -> tuple[np.ndarray, ...]:
    """A random stable system."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= radius / max(np.abs(np.linalg.eigvals(A)).max(), 1e-6)
    return A, rng.normal(size=(n, p)), rng.normal(size=(m, n))


@given(seeds, st.integers(1, 6), st.floats(0.05, 0.97))
def test_lyapunov_equals_the_linear_system(seed: int, n: int, radius: float) -> None:
    """P solves the n^2 linear equations vec P = (A kron A) vec P + vec Q."""
    A, B, _ = stable(seed, n, n, 1, radius)
    Q = B @ B.T
    dense = np.linalg.solve(np.eye(n * n) - np.kron(A, A), Q.ravel()).reshape(n, n)
    P = lti.lyapunov(A, Q)
    np.testing.assert_allclose(P, dense, atol=1e-9 * np.abs(dense).max())
    np.testing.assert_array_equal(P, P.T)
    np.testing.assert_allclose(lti.lyapunov(A, B), A @ lti.lyapunov(A, B) @ A.T + B, atol=1e-9 * np.abs(dense).max())


def test_lyapunov_near_the_unit_circle() -> None:
    """At modulus 1 - 1e-9 the answer 1 / (1 - a^2) is as exact as the data allow."""
    a = 1 - 1e-9
    assert abs(lti.lyapunov([[a]], [[1.0]])[0, 0] * ((1 - a) * (1 + a)) - 1) < 1e-6
    with pytest.raises(KelmanError, match="spectral radius"):
        lti.lyapunov([[1.0]], [[1.0]])


@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_gramians_equal_their_sums(seed: int, n: int, p: int, m: int) -> None:
    """Both Gramians are the sums of their definition."""
    A, B, H = stable(seed, n, p, m, 0.7)
    Wc, Wo = lti.gramians(A, B, H)
    power, sum_c, sum_o = np.eye(n), np.zeros((n, n)), np.zeros((n, n))
    for _ in range(400):
        sum_c += power @ B @ B.T @ power.T
        sum_o += power.T @ H.T @ H @ power
        power = A @ power
    np.testing.assert_allclose(Wc, sum_c, atol=1e-10 * np.abs(sum_c).max())
    np.testing.assert_allclose(Wo, sum_o, atol=1e-10 * np.abs(sum_o).max())


@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_balanced_system_is_the_same_system(seed: int, n: int, p: int, m: int) -> None:
    """Balancing keeps the impulse response and makes both Gramians diag(hankel); truncation obeys its error bound."""
    A, B, H = stable(seed, n, p, m, 0.8)
    found = lti.balance(A, B, H)
    np.testing.assert_allclose(found.hankel, lti.hankel_singular_values(A, B, H), atol=1e-9 * found.hankel[0])
    order = len(found.A)
    scale = np.abs(lti.markov(A, B, H, 15)).max()
    np.testing.assert_allclose(lti.markov(found.A, found.B, found.H, 15), lti.markov(A, B, H, 15), atol=1e-6 * scale)
    np.testing.assert_allclose(found.T @ found.T_inv, np.eye(order), atol=1e-6)
    Wc, Wo = lti.gramians(found.A, found.B, found.H)
    for W in (Wc, Wo):
        np.testing.assert_allclose(W, np.diag(found.hankel[:order]), atol=1e-5 * found.hankel[0])
    small = lti.balanced_truncation(A, B, H, order - 1)
    freq = np.exp(1j * np.linspace(0, np.pi, 50))
    error = [
        np.linalg.norm(
            H @ np.linalg.solve(s * np.eye(n) - A, B)
            - small.H @ np.linalg.solve(s * np.eye(order - 1) - small.A, small.B),
            2,
        )
        for s in freq
    ]
    assert max(error) <= 2 * found.hankel[order - 1 :].sum() * (1 + 1e-6) + 1e-9 * scale


def test_input_covariance_weights_the_inputs() -> None:
    """Balancing with input covariance W equals balancing with B W^(1/2)."""
    A, B, H = stable(5, 3, 2, 1)
    W = np.array([[2.0, 0.3], [0.3, 0.5]])
    np.testing.assert_allclose(
        lti.hankel_singular_values(A, B, H, input_cov=W),
        lti.hankel_singular_values(A, B @ np.linalg.cholesky(W), H),
        rtol=1e-10,
    )
    with pytest.raises(KelmanError, match="input_cov"):
        lti.balance(A, B, H, input_cov=np.eye(3))


def test_unreachable_and_unseen_states_are_dropped_by_balancing() -> None:
    """A state that cannot be reached and one that cannot be seen vanish; asking for them is refused."""
    A = np.diag([0.9, 0.5, 0.4])
    B, H = np.array([[1.0], [0.0], [1.0]]), np.array([[1.0, 1.0, 0.0]])
    assert lti.balance(A, B, H).A.shape == (1, 1)
    with pytest.raises(KelmanError, match="only 1 states"):
        lti.balanced_truncation(A, B, H, 2)


@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_ho_kalman_recovers_the_system(seed: int, n: int, p: int, m: int) -> None:
    """Exact Markov parameters give back the order, the poles and all later parameters."""
    A, B, H = stable(seed, n, p, m, 0.9)
    D = np.random.default_rng(seed).normal(size=(m, p))
    truth = lti.markov(A, B, H, 40, D)
    hsv = lti.hankel_singular_values(A, B, H)
    if hsv[-1] < 1e-5 * hsv[0]:
        return
    found = lti.ho_kalman(truth[:25], order=n)
    np.testing.assert_allclose(
        lti.markov(found.A, found.B, found.H, 40, found.D), truth, atol=1e-6 * np.abs(truth).max()
    )
    assert lti.ho_kalman(truth[:25]).order == n
    _, distance = lti.match_poles(lti.poles(A), lti.poles(found.A))
    assert distance.max() < 1e-3


@pytest.mark.parametrize("shape", [(61, 1, 1), (40, 2, 3)])
def test_noise_alone_has_no_states(shape: tuple[int, ...]) -> None:
    """Of 200 impulse responses that are nothing but noise at most 5 % show a state, however the noise is spread."""
    rng = np.random.default_rng(0)
    for std in (0.3, np.linspace(0.1, 2.0, shape[0])[:, None, None]):
        orders = [lti.ho_kalman(std * rng.normal(size=shape), noise=std).order for _ in range(200)]
        assert np.mean(np.array(orders) > 0) <= 0.05
        top = [lti.ho_kalman(std * rng.normal(size=shape), 0, noise=std) for _ in range(50)]
        assert top[0].threshold < 3 * np.median([one.singular_values[0] for one in top])  # a bound, but not a loose one


def test_a_measured_impulse_response_is_realised() -> None:
    """Two inputs, two outputs, noise of 2 %: the order is found, poles come to 0.01, and the response is better than measured."""
    rng = np.random.default_rng(1)
    A = np.zeros((3, 3))
    A[:2, :2] = 0.95 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    A[2, 2] = 0.8
    B, H, D = np.array([[1.0, 0.2], [0.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 0.0, 0.5], [0.3, 1.0, -1.0]]), np.eye(2)
    truth = lti.markov(A, B, H, 150, D)
    for _ in range(20):
        measured = truth + 0.02 * rng.normal(size=truth.shape)
        found = lti.ho_kalman(measured, noise=0.02)
        assert found.order == 3
        assert found.singular_values[2] > found.threshold > found.singular_values[3]
        _, distance = lti.match_poles(lti.poles(A), lti.poles(found.A))
        assert distance.max() < 0.01
        again = lti.markov(found.A, found.B, found.H, 150, found.D)
        assert np.sqrt(np.mean((again - truth)[1:] ** 2)) < 0.3 * 0.02
    assert lti.ho_kalman(truth, noise=0.0).order == 3
    assert lti.ho_kalman(truth).threshold == 0.0


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("direct", [False, True])
def test_impulse_is_what_the_model_answers(lag: int, direct: bool) -> None:
    """The impulse response and the standard form answer a random input as the model's own equations do, for both input indices."""
    rng = np.random.default_rng(0)
    A, B, H = stable(1, 3, 2, 2)
    D = rng.normal(size=(2, 2)) if direct else None
    make = kelman.StateSpace.from_shifted if lag else kelman.StateSpace
    model = make(A, H, np.eye(3), np.eye(2), B=B, D=D)
    u = rng.normal(size=(20, 2))
    x, z = np.zeros(3), []
    for k in range(20):
        if lag:
            z.append(H @ x + (0 if D is None else D @ u[k]))
            x = A @ x + B @ u[k]
        else:
            x = A @ x + B @ u[k]
            z.append(H @ x + (0 if D is None else D @ u[k]))
    response = lti.impulse(model, 19)
    direct_sum = [sum(response[i] @ u[k - i] for i in range(k + 1)) for k in range(20)]
    np.testing.assert_allclose(direct_sum, z, atol=1e-12)
    As, Bs, Hs, Ds = lti.standard_form(model)
    s = np.zeros(3)
    for k in range(20):
        np.testing.assert_allclose(Hs @ s + Ds @ u[k], z[k], atol=1e-12)
        s = As @ s + Bs @ u[k]


def test_standard_form_wants_a_constant_model() -> None:
    """A model that varies in time is refused by the name of what varies; one without inputs gives matrices of width zero."""
    varying = kelman.StateSpace(np.ones((5, 1, 1)), [[1.0]], [[1.0]], [[1.0]])
    with pytest.raises(KelmanError, match=r"model\.A"):
        lti.standard_form(varying)
    assert lti.standard_form(kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]]))[1].shape == (1, 0)


def test_hankel_places_its_blocks() -> None:
    """Block (i, j) of the Hankel matrix is Markov parameter i + j + 1."""
    array = np.arange(6 * 2 * 3.0).reshape(6, 2, 3)
    matrix = lti.hankel(array, 2, 3)
    assert matrix.shape == (4, 9)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(matrix[2 * i : 2 * i + 2, 3 * j : 3 * j + 3], array[i + j + 1])


@given(seeds, st.integers(1, 6))
def test_matching_undoes_a_shuffle(seed: int, n: int) -> None:
    """Shuffled and slightly moved poles are matched to themselves."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n) + 1j * rng.normal(size=n)
    order = rng.permutation(n)
    index, distance = lti.match_poles(a, np.append(a[order], 5.0))
    np.testing.assert_array_equal(order[index], np.arange(n))
    np.testing.assert_array_equal(distance, 0.0)


def test_pole_statistics() -> None:
    """A pole .5 halves in one step, 1j turns in four, 2 doubles (negative half-life), -1 has period 2."""
    stats = lti.pole_stats([0.5, 1j, 2.0, -1.0, 0.0])
    np.testing.assert_allclose(stats.half_life, [1, np.inf, -1, np.inf, 0])
    np.testing.assert_allclose(stats.period, [np.inf, 4, np.inf, 2, np.inf])
    assert stats.summary().count("\n") == 5
    assert lti.poles(np.diag([0.1, -3.0, 2.0])).tolist() == [-3.0, 2.0, 0.1]


@pytest.mark.parametrize("defective", [False, True])
def test_split_separates_stable_from_the_rest(defective: bool) -> None:
    """Both bases are invariant and orthonormal, and x = Vs Ls x + Vu Lu x, in a random basis, also for a double unit root."""
    rng = np.random.default_rng(2)
    A = np.zeros((6, 6))
    A[:4, :4] = np.diag([0.9, -0.5, 1.3, 0.2])
    A[4:, 4:] = [[1, 1], [0, 1]] if defective else [[0, 1], [-1, 0]]
    T = rng.normal(size=(6, 6))
    A = T @ A @ np.linalg.inv(T)
    split = lti.stationary_split(A)
    assert split.Vs.shape == (6, 3) and split.Vu.shape == (6, 3)
    for V, part in ((split.Vs, split.As), (split.Vu, split.Au)):
        np.testing.assert_allclose(A @ V, V @ part, atol=1e-8)
        np.testing.assert_allclose(V.T @ V, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(split.Vs @ split.Ls + split.Vu @ split.Lu, np.eye(6), atol=1e-8)
    assert lti.spectral_radius(split.As) < 1


@pytest.mark.parametrize("n_stable", [0, 2])
def test_split_of_one_kind_only(n_stable: int) -> None:
    """All stable or none stable gives an empty other part of the right shape."""
    A = np.eye(2) * (0.5 if n_stable else 1.0)
    split = lti.stationary_split(A)
    assert split.Vs.shape == (2, n_stable) and split.Vu.shape == (2, 2 - n_stable)


SYSTEM = {"A": np.eye(2) * 0.5, "B": np.ones((2, 1)), "H": np.ones((1, 2))}
BAD = [("A", np.ones((2, 3))), ("A", np.eye(2) * np.nan), ("A", np.eye(2) * 1j), ("A", [["x"]]), ("B", np.ones((3, 1)))]
BAD += [("B", np.ones(2)), ("H", np.ones((1, 3))), ("H", np.array([[np.inf, 1.0]])), ("A", np.eye(2, dtype=object))]


@pytest.mark.parametrize(("name", "value"), BAD)
@pytest.mark.parametrize("function", ["gramians", "hankel_singular_values", "balance", "markov", "balanced_truncation"])
def test_wrong_matrices_are_refused_by_name(function: str, name: str, value: object) -> None:
    """Every function of a system names the argument that is wrong."""
    more = {"markov": {"steps": 3}, "balanced_truncation": {"order": 1}}.get(function, {})
    with pytest.raises(KelmanError, match=name):
        getattr(lti, function)(**{**SYSTEM, name: value}, **more)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        pytest.param(lambda: lti.markov(**SYSTEM, steps=-1), "steps", id="markov-1"),
        pytest.param(lambda: lti.markov(**SYSTEM, steps=2.5), "steps", id="markov-2"),
        pytest.param(lambda: lti.markov(**SYSTEM, steps=True), "steps", id="markov-3"),
        pytest.param(lambda: lti.markov(**SYSTEM, steps=1, D=np.ones((2, 2))), "D", id="markov-4"),
        pytest.param(lambda: lti.gramians(np.eye(2), SYSTEM["B"], SYSTEM["H"]), "A", id="gramians-5"),
        pytest.param(lambda: lti.balanced_truncation(**SYSTEM, order=-1), "order", id="balanced_truncation-6"),
        pytest.param(lambda: lti.hankel(np.ones((4, 2))), "markov", id="hankel-7"),
        pytest.param(lambda: lti.hankel(np.ones((4, 1, 1)), 3, 3), "rows", id="hankel-8"),
        pytest.param(lambda: lti.ho_kalman(np.ones((2, 1, 1))), "markov", id="ho_kalman-9"),
        pytest.param(lambda: lti.ho_kalman(np.ones((5, 1, 1)), order=3), "order", id="ho_kalman-10"),
        pytest.param(lambda: lti.ho_kalman(np.ones((5, 1, 1)), rows=9), "rows", id="ho_kalman-11"),
        pytest.param(lambda: lti.ho_kalman(np.ones((5, 1, 1)), noise=-1.0), "noise", id="ho_kalman-noise"),
        pytest.param(lambda: lti.ho_kalman(np.ones((5, 1, 1)), noise=np.ones(3)), "noise", id="ho_kalman-noise-shape"),
        pytest.param(lambda: lti.match_poles([1.0, 2.0], [1.0]), "b", id="match_poles-12"),
        pytest.param(lambda: lti.match_poles([np.nan], [1.0]), "a", id="match_poles-13"),
        pytest.param(lambda: lti.match_poles([[1.0]], [1.0]), "a", id="match_poles-14"),
        pytest.param(lambda: lti.pole_stats(["x"]), "poles", id="pole_stats-15"),
        pytest.param(lambda: lti.pole_stats([0.5], dt=0), "dt", id="pole_stats-16"),
        pytest.param(lambda: lti.pole_stats([0.5], dt="1"), "dt", id="pole_stats-17"),
        pytest.param(lambda: lti.stationary_split(np.eye(2), tol=2), "tol", id="stationary_split-18"),
        pytest.param(lambda: lti.stationary_split(np.ones(3)), "A", id="stationary_split-19"),
        pytest.param(lambda: lti.lyapunov(np.eye(2) * 0.5, np.eye(3)), "Q", id="lyapunov-20"),
        pytest.param(lambda: lti.spectral_radius(np.ones((2, 3))), "A", id="spectral_radius-21"),
        pytest.param(lambda: lti.poles([["a"]]), "A", id="poles-22"),
        pytest.param(lambda: lti.standard_form(3), "model", id="standard_form-23"),
    ],
)
def test_wrong_options_are_refused_by_name(call: object, word: str) -> None:
    """Every other malformed argument is named too."""
    with pytest.raises(KelmanError, match=word):
        call()
