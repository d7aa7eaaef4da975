"""The maps between models and networks: exact where theory says so, refused by name where it says otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bridge.systems import BED_A, bed, draw, random_model, steady_filter
from tests.oracles import elman_forward

import kelman
from kelman.bridge import network_inputs

RADII = (0.5, 0.9, 0.99, 1.0, 1.02, 1.05)
SEEDS = range(20)  # the acceptance tier has 100 systems and 10,000 steps


def outputs(net: kelman.Elman, z: np.ndarray, u: np.ndarray | None) -> np.ndarray:
    """Outputs of a network on data, by the textbook recursion."""
    return elman_forward(net, network_inputs(net, z, u)[None])[0][0]


def difference(form: str, y: np.ndarray, predicted: np.ndarray, filtered: np.ndarray) -> float:
    """Largest difference between a network and the steady filter, in the network's form."""
    if form == "predicted":
        return float(np.abs(y[:-1] - predicted[1:]).max(initial=0.0))
    return float(np.abs(y - (predicted if form == "aligned" else filtered)).max())


@pytest.mark.parametrize("hidden", ["identity", "relu", "leaky_relu", "softplus"])
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("form", ["predicted", "filtered", "aligned"])
def test_network_equals_steady_filter(form: str, lag: int, hidden: str) -> None:
    """In every form, exact activation and input convention, the network is the steady filter to 1e-12 of the data."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        radius = RADII[seed % len(RADII)]
        model = random_model(
            rng, radius, inputs=form != "predicted", cross=False if form == "filtered" else None, lag=lag
        )
        z, u = draw(model, 200, rng, limit=1e8)
        net = kelman.to_elman(model, form, hidden)
        gap = difference(form, outputs(net, z, u), *steady_filter(model, z, u))
        assert gap <= 1e-12 * np.abs(z).max(), (seed, gap)


def test_split_is_exact_at_every_amplitude() -> None:
    """The relu split follows the linear network from amplitude 1e-3 to 1e3."""
    model = bed()
    z, _ = draw(model, 500, np.random.default_rng(0))
    for amplitude in (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3):
        line = outputs(kelman.to_elman(model), amplitude * z, None)
        bent = outputs(kelman.to_elman(model, hidden="relu"), amplitude * z, None)
        assert np.abs(line - bent).max() <= 1e-13 * np.abs(amplitude * z).max()


@pytest.mark.parametrize("hidden", ["identity", "relu", "leaky_relu", "softplus"])
@pytest.mark.parametrize("lag", [0, 1])
def test_model_to_network_to_model(lag: int, hidden: str) -> None:
    """A, H, B, D, b, c, gain and start come back from the weights of the aligned form."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        model = random_model(rng, RADII[seed % len(RADII)], lag=lag)
        gains = kelman.lti.dare(model.A, model.H, model.Q, model.R, model.S)
        back = kelman.to_state_space(kelman.to_elman(model, "aligned", hidden), Sigma=gains.Sigma)
        for name in ("A", "H", "B", "D", "b", "c"):
            want = getattr(model, name)
            got = getattr(back, name)
            assert (want is None) == (got is None), (seed, name)
            if want is not None:
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * max(1.0, np.abs(want).max()), err_msg=name)
        again = kelman.lti.dare(back.A, back.H, back.Q, back.R, back.S)
        np.testing.assert_allclose(again.K, gains.K, atol=1e-9)
        assert back.input_lag == (lag if model.dims.p else 0)


def test_filtered_form_comes_back_with_its_measurement_matrix() -> None:
    """With H given, the filtered form gives A and B back; without H the error asks for it."""
    for seed in SEEDS:
        model = random_model(np.random.default_rng(seed), 0.95, cross=False)
        net = kelman.to_elman(model, "filtered")
        with pytest.raises(kelman.errors.KelmanError, match="give H="):
            kelman.to_state_space(net, Sigma=np.eye(model.dims.m))
        back = kelman.to_state_space(net, Sigma=np.eye(model.dims.m), H=model.H, D=model.D, c=model.c)
        np.testing.assert_allclose(back.A, model.A, atol=1e-9)
        if model.B is not None:
            np.testing.assert_allclose(back.B, model.B, atol=1e-9 * np.abs(model.B).max())


def test_golden_ratio() -> None:
    """Local level with q = r = 1: gain .618, closed loop .382, filtered variance .618, innovation variance 2.618."""
    model = kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])
    golden = (np.sqrt(5) - 1) / 2
    net = kelman.to_elman(model)
    steady = kelman.lti.dare(model.A, model.H, model.Q, model.R)
    assert net.W[0, 0] == pytest.approx(golden, abs=1e-14)
    assert net.U[0, 0] == pytest.approx(1 - golden, abs=1e-14)
    assert steady.P_filtered[0, 0] == pytest.approx(golden, abs=1e-14)
    assert steady.Sigma[0, 0] == pytest.approx(2 + golden, abs=1e-14)


def test_noise_is_recovered_only_with_structure() -> None:
    """Both q I and R come back for a scalar structure; a full Q is refused with the reason."""
    model = bed()
    net = kelman.to_elman(model)
    Sigma = kelman.lti.dare(model.A, model.H, model.Q, model.R).Sigma
    back = kelman.to_state_space(net, Sigma=Sigma, structure="scalar")
    np.testing.assert_allclose(back.Q, model.Q, atol=1e-10)
    np.testing.assert_allclose(back.R, model.R, atol=1e-10)
    spanned = kelman.to_state_space(net, Sigma=Sigma, structure=[np.eye(2)])
    np.testing.assert_allclose(spanned.Q, model.Q, atol=1e-10)
    with pytest.raises(kelman.errors.KelmanError, match="not unique"):
        kelman.to_state_space(net, Sigma=Sigma, structure="full")
    seen = kelman.StateSpace(BED_A, np.eye(2), [[0.2, 0.05], [0.05, 0.1]], np.diag([1.0, 2.0]))
    full = kelman.to_state_space(
        kelman.to_elman(seen), Sigma=kelman.lti.dare(seen.A, seen.H, seen.Q, seen.R).Sigma, structure="full"
    )
    np.testing.assert_allclose(full.Q, seen.Q, atol=1e-10)


def test_constant_velocity_is_unstable_and_still_maps() -> None:
    """A model with a double unit root has a stable network, and comes back from it with its structure."""
    dt, q = 0.3, 2.0
    A, Q = np.array([[1.0, dt], [0.0, 1.0]]), q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    model = kelman.StateSpace(A, [[1.0, 0.0]], Q, [[1.0]])
    net = kelman.to_elman(model)
    assert np.abs(np.linalg.eigvals(net.U)).max() < 1
    Sigma = kelman.lti.dare(A, model.H, Q, model.R).Sigma
    back = kelman.to_state_space(net, Sigma=Sigma, structure=[Q])
    np.testing.assert_allclose(back.Q, Q, atol=1e-9)


def test_no_steady_state_names_the_mode() -> None:
    """A deterministic seasonal mode has no steady gain: the error of the Riccati equation passes through."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    with pytest.raises(kelman.errors.NoSteadyStateError, match="unit circle") as caught:
        kelman.to_elman(kelman.StateSpace(turn, [[1.0, 0.0]], np.zeros((2, 2)), [[1.0]]))
    assert caught.value.mode is not None


def test_filtered_form_with_cross_covariance_is_refused() -> None:
    """With S the filtered form does not exist, and the error names the form that does."""
    model = bed().replace(S=[[0.1], [0.0]])
    with pytest.raises(kelman.errors.KelmanError, match="predicted"):
        kelman.to_elman(model, "filtered")


@pytest.mark.parametrize("hidden", ["tanh", "sigmoid"])
def test_small_gain_networks_tend_to_the_filter(hidden: str) -> None:
    """With a small hidden gain the saturating networks follow the steady filter up to the cubic term."""
    model = bed().replace(b=[0.1, 0.0], c=[2.0])
    z, _ = draw(model, 400, np.random.default_rng(1))
    exact = outputs(kelman.to_elman(model), z, None)
    gaps = [np.abs(outputs(kelman.to_elman(model, hidden=hidden, gain=g), z, None) - exact).max() for g in (0.1, 0.01)]
    assert gaps[1] < 1e-2
    assert 50 < gaps[0] / gaps[1] < 200


def test_explicit_first_state_with_inputs_needs_the_first_input() -> None:
    """A model that gives x_1 itself applies no B u_1; with u1 the network does not either."""
    rng = np.random.default_rng(2)
    model = random_model(rng, 0.9)
    while not model.dims.p:
        model = random_model(rng, 0.9)
    start = rng.normal(size=model.dims.n)
    free = model.replace(m0=None, P0=None, m1=start, P1=np.eye(model.dims.n))
    z, u = draw(model, 60, rng)
    assert u is not None
    gains = kelman.lti.dare(model.A, model.H, model.Q, model.R, model.S)
    D = 0 if model.D is None else model.D @ u[0]
    y = outputs(kelman.to_elman(free, u1=u[0]), z, u)
    np.testing.assert_allclose(y[0], model.H @ start + D + model.c, atol=1e-10)
    first = model.A @ start + model.b + model.B @ u[1] + gains.K @ (z[0] - y[0])
    D = 0 if model.D is None else model.D @ u[1]
    np.testing.assert_allclose(y[1], model.H @ first + D + model.c, atol=1e-9)


def test_network_keeps_the_precision_of_the_model() -> None:
    """A float32 model makes a float32 network, and the way back keeps it."""
    net = kelman.to_elman(bed().astype(np.float32))
    assert net.dtype == np.float32
    assert kelman.to_state_space(net, Sigma=[[1.0]]).dtype == np.float32


def test_filter_of_the_returned_model_starts_as_the_network() -> None:
    """The model that comes back starts at the network's own state, known exactly."""
    model = bed().replace(m0=[1.0, -2.0], P0=np.eye(2))
    back = kelman.to_state_space(kelman.to_elman(model), Sigma=[[1.0]])
    np.testing.assert_allclose(back.m1, model.A @ [1.0, -2.0], atol=1e-15)
    assert not back.P1.any()


def test_starts_per_series() -> None:
    """A start mean for each series becomes an h0 for each series, and the stack of networks' outputs is that of the filters."""
    rng = np.random.default_rng(3)
    model = bed().replace(m0=rng.normal(size=(3, 2)), P0=np.stack([np.eye(2)] * 3))
    z = rng.normal(size=(3, 50, 1))
    for form in ("predicted", "aligned"):
        net = kelman.to_elman(model, form, "relu")
        y = elman_forward(net, network_inputs(net, z))[0]
        for i in range(3):
            want, _ = steady_filter(bed().replace(m0=model.m0[i], P0=np.eye(2)), z[i], None)
            got = y[i, :-1] if form == "predicted" else y[i, 1:]
            np.testing.assert_allclose(got, want[1:], atol=1e-12)


def test_network_in_the_compiled_core() -> None:
    """The verb `forward` computes the same outputs as the textbook recursion, and the filter's own verb the same predictions."""
    model = bed().replace(m1=[1.0, 0.0], P1=kelman.steady_state(bed()).P_predicted)
    z, _ = draw(model, 300, np.random.default_rng(4))
    net = kelman.to_elman(model, "aligned")
    x = network_inputs(net, z)
    np.testing.assert_allclose(kelman.forward(net, x).y, outputs(net, z, None), atol=1e-13)
    full = kelman.filter(model, z, store="all")
    np.testing.assert_allclose(kelman.forward(net, x).h, full.predicted_mean, atol=1e-12)


START = {
    "x0": {"m0": [1.0, -1.0], "P0": np.eye(2)},
    "x1": {"m1": [1.0, -1.0], "P1": np.eye(2)},
    "stationary": {"initial": "stationary"},
    "auto": {"initial": "auto"},
    "diffuse": {"initial": "diffuse"},
}


@pytest.mark.parametrize(("start", "lag"), [(s, lag) for s in START for lag in (0, 1) if (s, lag) != ("x0", 1)])
def test_first_prediction_is_that_of_the_filter(start: str, lag: int) -> None:
    """Whatever the start, offsets and inputs included, the first output of the aligned network is the filter's first prediction."""
    rng = np.random.default_rng(5)
    make = kelman.StateSpace.from_shifted if lag else kelman.StateSpace
    model = make(BED_A, [[1.0, 0.0]], np.eye(2), [[1.0]], B=[[1.0], [0.5]], b=[0.3, -0.2], c=[2.0], **START[start])
    u, z = rng.normal(size=(40, 1)), rng.normal(size=(40, 1))
    first = kelman.filter(model, z, u, store="all").predicted_mean[0]
    net = kelman.to_elman(model, u1=u[0] if start in ("x1", "diffuse") else None)
    assert outputs(net, z, u)[0] == pytest.approx(model.H @ first + model.c, abs=1e-12)


def test_drifting_walk_starts_where_the_filter_does() -> None:
    """With a diffuse mode and a drift, "auto" starts the walk at zero, and so does the network."""
    model = kelman.StateSpace([[1.0, 0.0], [0.0, 0.5]], [[1.0, 1.0]], np.eye(2), [[1.0]], b=[0.3, 1.0])
    first = kelman.filter(model, np.zeros((5, 1)), store="all").predicted_mean[0]
    np.testing.assert_allclose(kelman.to_elman(model).h0, first, atol=1e-12)


def test_split_is_recognised_in_any_order_of_the_units() -> None:
    """A shuffled split folds back exactly; one weight off, and it is no split any more."""
    rng = np.random.default_rng(6)
    model = random_model(rng, 0.9)
    gains = kelman.lti.dare(model.A, model.H, model.Q, model.R, model.S)
    net = kelman.to_elman(model, "aligned", "relu")
    at = rng.permutation(net.dims.hidden)
    shuffled = net.replace(U=net.U[np.ix_(at, at)], W=net.W[at], b=net.b[at], V=net.V[:, at], h0=net.h0[at])
    back = kelman.to_state_space(shuffled, Sigma=gains.Sigma)
    _, distance = kelman.lti.match_poles(kelman.lti.poles(model.A), np.linalg.eigvals(back.A))
    assert distance.max() < 1e-12
    assert kelman.excess_risk(back, model, u="white" if model.dims.p else None) < 1e-12
    broken = net.U.copy()
    broken[0, 0] += 1e-6
    with pytest.raises(kelman.errors.KelmanError, match="no exact split"):
        kelman.to_state_space(net.replace(U=broken), Sigma=gains.Sigma)
