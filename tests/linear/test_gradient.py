"""`loglik_and_grad`: every derivative equals differences of the log-likelihood, for every kind of model and start."""

from __future__ import annotations

import dataclasses
import pickle
import re
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import ImpossibleObservationWarning, KelmanError, ModelTypeError, NumericalError, NumericalWarning
from tests.linear.gradient_cases import NAMES, STARTS, build, check, remade, same

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one": {"n": 1, "m": 1, "T": 12},
    "one step": {"T": 1, "gaps": 0.0},
    "nothing missing": {"gaps": 0.0},
    "diagonal R": {"diagonal": True},
    "inputs and offsets": {"p": 2, "offsets": True},
    "S": {"S": True, "p": 1, "offsets": True},
    "more measured than states": {"n": 2, "m": 4, "gaps": 0.4},
    "noise that varies": {"time": "Q R", "T": 5},
    "noise that varies, with S": {"time": "Q R S", "S": True, "T": 5},
    "measurement that varies": {"seed": 1, "time": "H c D", "p": 1, "offsets": True, "T": 5},
    "long enough for lanes": {"diagonal": True, "p": 1, "offsets": True, "T": 17},
    "inputs of the step before": {"p": 1, "offsets": True, "lag": 1},
}
NO_TIME = ("stationary", "auto")
every_start = pytest.mark.parametrize("start", STARTS)


@every_start
@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_equals_differences(kind: str, start: str) -> None:
    """One series, models of every kind from every start."""
    if kind == "inputs of the step before" and start == "x0":
        pytest.skip("such a model starts at the first measurement")
    check(*build(start, **KINDS[kind]))


@every_start
def test_what_varies_in_time_has_a_derivative_at_each_step(start: str) -> None:
    """A, B and b by step, where the start allows it."""
    time = "B b" if start in NO_TIME else "A B b"
    check(*build(start, n=2, m=1, p=1, T=5, offsets=True, time=time))


@pytest.mark.parametrize("start", ["x1", "stationary", "auto"])
def test_offsets_that_vary_lead_into_the_start_of_a_shifted_model(start: str) -> None:
    """The stationary mean of a model with input_lag 1 holds b[1], the offset out of x_1."""
    check(*build(start, n=2, m=1, p=1, T=5, offsets=True, time="b", lag=1))


@every_start
def test_several_series_share_one_derivative(start: str) -> None:
    """A shared model gets the sum over series, whose inputs and gaps differ."""
    check(*build(start, n=2, p=1, N=3, T=7, offsets=True))


@every_start
@pytest.mark.parametrize("series", ["A H Q R B D b c S m", "A", "Q m", "H R c"])
def test_each_series_has_its_own(start: str, series: str) -> None:
    """What differs by series has one derivative each, the rest the sum."""
    check(*build(start, n=2, p=1, N=2, T=6, offsets=True, S=True, series=series))


@pytest.mark.parametrize("start", ["x0", "x1_inf", "stationary"])
def test_singular_noise(start: str) -> None:
    """Q and R of less than full rank, by the entries that can be moved: the inverse of neither is used."""
    names = tuple(name for name in NAMES if name not in ("Q", "R"))
    check(*build(start, rank_Q=1, p=1, offsets=True), names=names)
    check(*build(start, rank_R=1, gaps=0.0), names=names)
    check(*build(start, n=4, m=2, rank_Q=2, rank_R=1), names=names)


@pytest.mark.parametrize("start", ["x0", "x1_inf"])
def test_a_large_model(start: str) -> None:
    """More states and measured values than the small kernels take."""
    check(*build(start, n=11, m=5, T=6, gaps=0.3), names=("H", "R", "m0", "m1"))


@pytest.mark.parametrize("start", ["x0", "diffuse"])
def test_a_long_series(start: str) -> None:
    """Segments of time that are filtered again on the way back: the careful way (S given as zero) equals the lanes."""
    model, z, u = build(start, p=1, T=4000, N=2, offsets=True, diagonal=True)
    model = remade(model, A=0.99 * np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0])
    z[1, :1500] = np.nan  # diffuse over more than one segment
    loglik, g = kelman.loglik_and_grad(model, z, u)
    other, careful = kelman.loglik_and_grad(remade(model, S=np.zeros((3, 2))), z, u)
    np.testing.assert_allclose(other, loglik, rtol=1e-12)
    for name, array in g.items():
        np.testing.assert_allclose(careful[name], array, rtol=0, atol=1e-11 * max(1, np.abs(array).max()))


def test_a_diffuse_direction_that_is_first_seen_late_or_never() -> None:
    """Gaps hide a diffuse direction for some steps; one is measured by nothing at all."""
    model, z, u = build("diffuse", n=3, m=2, T=8, gaps=0.0)
    z[0, :3] = np.nan
    z[0, 3, 0] = np.nan
    check(model, z, u)
    model = remade(model, A=np.diag([0.9, 0.8, 0.7]), H=[[1.0, 0.5, 0.0], [0.2, 1.0, 0.0]])
    check(model, z, u, names=("Q", "R"))


def test_the_convention_of_the_constant_changes_nothing() -> None:
    """The 2 pi of the diffuse elements is a constant."""
    model, z, u = build("diffuse", N=2)
    one, two = (kelman.loglik_and_grad(model, z, u, diffuse_constant=name) for name in ("kfas", "statsmodels"))
    assert (one[0] > two[0]).all()
    same(one[1], two[1])


@pytest.mark.parametrize("S", [False, True])
@pytest.mark.parametrize("start", ["x1", "diffuse"])
def test_going_on_from_a_state(start: str, S: bool) -> None:
    """`start=` counts as given: the derivatives are those of the second part alone, zero by the model's own start."""
    model, z, u = build(start, p=1, N=2, T=12, S=S, offsets=True, gaps=0.3)
    first = kelman.filter(model, z[:, :2], u[:, :2])
    own = ("m1", "P1")
    check(model, z[:, 2:], u[:, 2:], names=tuple(n for n in NAMES if n not in own), start=first.state)
    _, g = kelman.loglik_and_grad(model, z[:, 2:], u[:, 2:], start=first.state)
    assert not any(g[name].any() for name in own if name in g)


@every_start
def test_per_series_gradients_add_up(start: str) -> None:
    """`per_series=True` puts N first, equals each series alone, and sums to the shared gradient."""
    model, z, u = build(start, p=1, N=4, T=7, offsets=True, S=True, time="H Q")
    loglik, each = kelman.loglik_and_grad(model, z, u, per_series=True)
    _, total = kelman.loglik_and_grad(model, z, u)
    for name, array in each.items():
        assert array.shape == (4, *getattr(model, name).shape)
        np.testing.assert_allclose(array.sum(0), total[name], rtol=0, atol=1e-12 * max(1, np.abs(array).max()))
    for i in range(4):
        alone, g = kelman.loglik_and_grad(model, z[i], u[i])
        assert alone == loglik[i]
        for name, array in each.items():
            np.testing.assert_allclose(array[i], g[name], rtol=0, atol=1e-13 * max(1, np.abs(array).max()))


def test_shapes_follow_the_model() -> None:
    """(T, ...), (N, 1, ...), (N, T, ...) and (1, 1, ...), summed and by series; () and (N,) for the log-likelihood."""
    model, z, _ = build("x1", N=3, T=5, series="A H m", time="H R")
    loglik, g = kelman.loglik_and_grad(model, z)
    assert loglik.shape == (3,)
    shapes = {name: array.shape for name, array in g.items()}
    assert shapes == {"A": (3, 1, 3, 3), "H": (3, 5, 2, 3), "Q": (3, 3), "R": (5, 2, 2), "m1": (3, 3), "P1": (3, 3)}
    _, g = kelman.loglik_and_grad(model, z, per_series=True)
    assert {name: g[name].shape for name in ("Q", "R", "A", "m1", "P1")} == {
        "Q": (3, 3, 3), "R": (3, 5, 2, 2), "A": (3, 1, 3, 3), "m1": (3, 3), "P1": (3, 3, 3)}  # fmt: skip
    single, z, _ = build("x1", N=1, T=5, series="A")
    z = np.concatenate([z, z])
    _, summed = kelman.loglik_and_grad(single, z)
    _, each = kelman.loglik_and_grad(single, z, per_series=True)
    assert summed.A.shape == (1, 1, 3, 3)
    assert each.A.shape == (2, 1, 3, 3)
    np.testing.assert_array_equal(each.A[0], each.A[1])
    loglik, g = kelman.loglik_and_grad(remade(single, A=single.A[0, 0]), z[0], per_series=True)
    assert np.ndim(loglik) == 0
    assert g.A.shape == (3, 3)


def test_a_matrix_repeated_in_time_has_a_derivative_at_each_step() -> None:
    """A broadcast view over time is not taken for a constant."""
    model, z, _ = build("x1", T=6)
    copies = remade(model, A=np.array(np.broadcast_to(model.A, (6, 3, 3))))
    view = remade(model, A=np.broadcast_to(model.A, (6, 3, 3)))
    one, two = kelman.loglik_and_grad(copies, z[0])[1], kelman.loglik_and_grad(view, z[0])[1]
    same(one, two)
    np.testing.assert_allclose(one.A.sum(0), kelman.loglik_and_grad(model, z[0])[1].A, rtol=1e-12, atol=1e-12)
    assert not one.A[0].any()  # A[0] leads into x_1, which is given


def test_ragged_series_equal_each_alone() -> None:
    """A list of series of different lengths: what is behind the end of each counts nothing."""
    model, z, u = build("stationary", p=1, N=3, T=9, offsets=True)
    lengths = (9, 4, 6)
    lists = [z[i, :T] for i, T in enumerate(lengths)], [u[i, :T] for i, T in enumerate(lengths)]
    loglik, each = kelman.loglik_and_grad(model, *lists, per_series=True)
    for i, T in enumerate(lengths):
        alone, g = kelman.loglik_and_grad(model, z[i, :T], u[i, :T])
        assert alone == loglik[i]
        for name, array in each.items():
            np.testing.assert_allclose(array[i], g[name], rtol=0, atol=1e-12 * max(1, np.abs(array).max()))


@pytest.mark.parametrize(
    "kind", [{}, {"S": True}, {"diagonal": True}, {"time": "A H", "N": 40}, {"series": "A", "N": 60}]
)
@pytest.mark.parametrize("start", ["x1", "diffuse"])
def test_threads_and_order_change_no_bit(kind: dict[str, Any], start: str) -> None:
    """Any number of threads, summed or not; and each series' own gradient wherever it stands."""
    model, z, u = build(start, T=60, **({"N": 300, "gaps": 0.1} | kind))
    for per_series in (False, True):
        one = kelman.loglik_and_grad(model, z, u, per_series=per_series, threads=1)
        for threads in (2, 5):
            more = kelman.loglik_and_grad(model, z, u, per_series=per_series, threads=threads)
            np.testing.assert_array_equal(one[0], more[0])
            same(one[1], more[1])
    if "series" in kind:
        return
    order = np.random.default_rng(0).permutation(len(z))
    _, g = kelman.loglik_and_grad(model, z, per_series=True)
    _, other = kelman.loglik_and_grad(model, z[order], per_series=True)
    for name, array in g.items():
        np.testing.assert_array_equal(array[order], other[name])


@every_start
def test_float32(start: str) -> None:
    """Single precision goes in and comes out, computed in double."""
    model, z, u = build(start, p=1, N=2, T=8, offsets=True)
    _, wanted = kelman.loglik_and_grad(model, z, u)
    loglik, found = kelman.loglik_and_grad(model.astype(np.float32), z.astype(np.float32), u.astype(np.float32))
    assert loglik.dtype == np.float32
    for name, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-4 * max(1, np.abs(wanted[name]).max()))


def test_a_likelihood_is_flat_at_its_maximum() -> None:
    """Expected score zero: over many series drawn from the model the mean derivative is small beside its spread."""
    model = kelman.StateSpace([[0.9, 0.2], [-0.2, 0.9]], [[1.0, 0.0]], 0.1 * np.eye(2), [[1.0]], initial="stationary")
    sim = kelman.simulate(model, 50, N=2000, rng=np.random.default_rng(3))
    _, g = kelman.loglik_and_grad(model, sim.z, per_series=True)
    for name, array in g.items():
        error = array.std(0) / np.sqrt(len(array))
        assert (np.abs(array.mean(0)) < 5 * error + 1e-12).all(), name


def test_exactly_predicted_components_count_nothing() -> None:
    """Two measurements of one number without noise: the second says nothing, and the gradient is that of one."""
    one = kelman.StateSpace([[0.8]], [[1.0]], [[0.5]], [[0.0]], m1=[0.3], P1=[[1.0]])
    two = kelman.StateSpace([[0.8]], [[1.0], [1.0]], [[0.5]], np.zeros((2, 2)), m1=[0.3], P1=[[1.0]])
    z = np.array([0.4, -0.2, 0.9])
    a, b = kelman.loglik_and_grad(one, z), kelman.loglik_and_grad(two, np.stack([z, z], -1))
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    for name in ("A", "Q", "m1", "P1"):
        np.testing.assert_allclose(a[1][name], b[1][name], rtol=1e-12)


def test_what_is_impossible_has_no_gradient() -> None:
    """A measurement that the model rules out: -inf, a warning, NaN for that series and for the sum."""
    model = kelman.StateSpace([[1.0]], [[1.0]], [[0.0]], [[0.0]], m1=[1.0], P1=[[0.0]])
    z = np.array([[1.0, 1.0], [1.0, 2.0]])[..., None]
    with pytest.warns(ImpossibleObservationWarning, match="series 1 at time index 1"):
        loglik, g = kelman.loglik_and_grad(model, z, per_series=True)
    assert loglik.tolist() == [0.0, -np.inf]
    assert np.isfinite(g.A[0]).all()
    assert np.isnan(g.A[1]).all()
    _, g = kelman.loglik_and_grad(model, z, on_error="nan")
    assert all(np.isnan(array).all() for _, array in g.items())


def test_series_that_fail() -> None:
    """An overflow raises an error that holds the rest; "warn" and "nan" go on."""
    model = kelman.StateSpace([[1.5]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[9.0]])
    z = np.full((2, 4, 1), np.nan)
    z[:, 0] = 1.7e308
    with pytest.raises(NumericalError, match="series 0 at time index") as caught:
        kelman.loglik_and_grad(model, z)
    loglik, g = caught.value.result
    assert np.isnan(loglik).all()
    assert np.isnan(g.A).all()
    with pytest.warns(NumericalWarning):
        kelman.loglik_and_grad(model, z, on_error="warn")
    loglik, g = kelman.loglik_and_grad(model, z, on_error="nan", per_series=True)
    assert np.isnan(loglik).all()
    assert np.isnan(g.Q).all()


def test_the_record() -> None:
    """By attribute, by name, as a mapping; frozen, read-only, printable, picklable."""
    model, z, u = build("x0", p=1)
    _, g = kelman.loglik_and_grad(model, z[0], u[0])
    assert isinstance(g, kelman.linear.Gradient)
    assert g["A"] is g.A
    assert list(g) == list(g.keys()) == ["A", "H", "Q", "R", "B", "D", "m0", "P0"]
    assert dict(g).keys() == dict(g.items()).keys()
    assert len(g) == 8
    assert "A" in g
    assert "m1" not in g
    assert g.m1 is None
    with pytest.raises(KelmanError, match=re.escape("gradient: no 'm1' in it; there are A, H, Q, R, B, D, m0, P0")):
        g["m1"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.A = g.H
    with pytest.raises(ValueError, match="read-only"):
        g.A[0, 0] = 1.0
    assert repr(g).startswith("Gradient(A (3, 3), H (2, 3)")
    assert "largest" in g.summary()
    assert len(g.summary().splitlines()) == 10
    same(g, pickle.loads(pickle.dumps(g)))
    np.testing.assert_array_equal(g.Q, g.Q.T)
    np.testing.assert_array_equal(g.R, g.R.T)


def test_wrong_arguments() -> None:
    """The message names the argument."""
    model, z, _ = build("x0")
    for wrong in ("yes", 1, None):
        with pytest.raises(KelmanError, match="per_series: expected True or False, got"):
            kelman.loglik_and_grad(model, z, per_series=wrong)
    with pytest.raises(KelmanError, match="on_error: expected one of 'raise', 'warn', 'nan', got 'ignore'"):
        kelman.loglik_and_grad(model, z, on_error="ignore")
    with pytest.raises(ModelTypeError, match="model: loglik_and_grad expects a StateSpace, got None"):
        kelman.loglik_and_grad(None, z)
    with pytest.raises(KelmanError, match="u: the model has no inputs"):
        kelman.loglik_and_grad(model, z, np.zeros((9, 1)))
    with pytest.raises(KelmanError, match="z: infinite value"):
        kelman.loglik_and_grad(model, np.where(np.isnan(z), np.inf, z))
