"""Multiple shooting: its loss, gradient and normal equations, their solution, and what it finds that others miss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman._registry import backend
from kelman.identify import Step, _train_shooting, _train_shooting_equations
from kelman.identify._train_arrow import Arrow, chain_solution
from kelman.identify._train_penalty import Penalty
from kelman.identify._train_shooting import Segments, Shooting
from kelman.rnn._problem import loss_problem
from tests.rnn.cells import elman, gru, lstm
from tests.rnn.networks import data

Array = np.ndarray

SHOT: dict[str, Any] = {
    "elman": lambda: elman(0, direct=True, start="shared"),
    "elman with a skip path": lambda: elman(1, skip="AB", output="tanh"),
    "elman without readout": lambda: elman(3, read=False),
    "gru": lambda: gru(1, start="shared"),
    "lstm": lambda: lstm(2, peepholes=True, start="shared"),
    "lstm, starts per series": lambda: lstm(3, start=3),
}


@pytest.mark.parametrize("name", SHOT)
def test_multiple_shooting_has_its_gradient(name: str) -> None:
    """Loss over weights and starts, gaps included: finite differences on ragged series with a warm-up and gaps in y."""
    net = SHOT[name]()
    x, y = data(1, 3, 23, 2, net.dims.outputs)
    y[1, 4:6] = np.nan
    problem, _ = loss_problem(net, x, y, lengths=np.array([23, 17, 5]), warmup=2)
    segments = Segments.of(problem, 6)
    assert len(segments.last) == 8 and segments.after.tolist() == [1, 2, 3, 5, 6]
    learn = net.h0 is not None and net.h0.ndim == 1
    loss = Shooting(net, problem, backend("rnn"), 1, learn, 0.999, segments=segments, mu=2.0)
    rng = np.random.default_rng(0)
    start = loss.start()
    theta = np.concatenate([start, rng.normal(size=len(net.STARTS) * 5 * net.dims.hidden)])
    _, gradient = loss.guarded(theta)
    for _ in range(4):
        v = rng.normal(size=theta.size)
        slope = (loss.guarded(theta + 1e-6 * v)[0] - loss.guarded(theta - 1e-6 * v)[0]) / 2e-6
        assert slope == pytest.approx(gradient @ v, rel=1e-7, abs=1e-8)


def test_without_gaps_multiple_shooting_is_the_loss() -> None:
    """With starts that continue each other, the loss over segments is that over whole series, whatever gaps cost."""
    net = gru(4, start="shared")
    x, y = data(2, 2, 20, 2, 2)
    problem, _ = loss_problem(net, x, y, warmup=3)
    segments = Segments.of(problem, 7)
    h = kelman.forward(net, x).h
    starts = np.concatenate([h[k, [6, 13]] for k in range(2)])
    for mu in (1.0, 1e6):
        loss = Shooting(net, problem, backend("rnn"), 1, False, 0.999, segments=segments, mu=mu)
        value = loss.guarded(np.concatenate([loss.start(), starts.ravel()]))[0]
        assert value == pytest.approx(kelman.loss_and_grad(net, x, y, warmup=3)[0], rel=1e-9)


def shot(name: str, **changes: Any) -> tuple[Shooting, Array]:
    """A loss over eight segments of three ragged series, and weights and starts at random."""
    net = SHOT[name]()
    x, y = data(1, 3, 23, 2, net.dims.outputs)
    y[1, 4:6] = np.nan
    problem, _ = loss_problem(net, x, y, lengths=np.array([23, 17, 5]), warmup=2)
    learn = net.h0 is not None and net.h0.ndim == 1
    given: dict[str, Any] = {"segments": Segments.of(problem, 6), "mu": 2.0, **changes}
    loss = Shooting(net, problem, backend("rnn"), 1, learn, 0.999, **given)
    rng = np.random.default_rng(0)
    return loss, np.concatenate([loss.start(), rng.normal(size=len(net.STARTS) * 5 * net.dims.hidden)])


def residuals(loss: Shooting, theta: Array) -> Array:
    """Errors of the outputs and gaps, whose squares add up to the loss."""
    weights, starts = loss.split(theta)
    s, raw = loss.segments, loss.backend.forward_raw(loss.placed(weights, starts), 1)
    y = raw["h"] if raw.get("y") is None else raw["y"]
    error = np.where(s.weight > 0, y - np.nan_to_num(s.problem.y), 0.0) * np.sqrt(s.weight / s.weight.sum())
    gaps = [
        raw[letter][s.before, s.last[s.before]] - value for letter, value in zip("hc", starts.values(), strict=False)
    ]
    return np.concatenate([error.ravel(), np.sqrt(loss.cost()) * np.concatenate(gaps, axis=1).ravel()])


def dense(equations: Arrow) -> tuple[Array, Array]:
    """The whole matrix of the equations, weights and all states, free or not, and the right side."""
    P, (n, m) = len(equations.g), equations.r.shape
    whole = np.zeros((P + n * m, P + n * m))
    whole[:P, :P] = equations.H
    B = np.concatenate([equations.border(k) for k in range(len(equations.runs))])
    for k in range(n):
        own, following = slice(P + k * m, P + (k + 1) * m), slice(P + (k + 1) * m, P + (k + 2) * m)
        whole[own, own], whole[own, :P], whole[:P, own] = equations.A[k], B[k], B[k].T
        if k + 1 < n:
            whole[own, following], whole[following, own] = equations.C[k], equations.C[k].T
    return whole, np.concatenate([equations.g, equations.r.ravel()])


@pytest.mark.parametrize("memory", ["enough", "little", "none"])
@pytest.mark.parametrize("name", SHOT)
def test_normal_equations_of_multiple_shooting(name: str, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equations and their solution against a dense Jacobian of errors and gaps (central differences), held or made anew."""
    if memory != "enough":
        monkeypatch.setattr(_train_shooting_equations, "RUN", 3000)
        monkeypatch.setattr(_train_shooting_equations, "HELD", 2**29 if memory == "little" else 0)
    loss, theta = shot(name)
    value, equations = loss.normal_equations(theta)
    assert len(equations.runs) == 1 if memory == "enough" else len(equations.runs) > 1
    r = residuals(loss, theta)
    steps = 1e-5 * np.eye(theta.size)
    J = np.array([(residuals(loss, theta + e) - residuals(loss, theta - e)) / 2e-5 for e in steps]).T
    assert value == pytest.approx(r @ r, rel=1e-13) and value == pytest.approx(loss.guarded(theta)[0], rel=1e-13)
    np.testing.assert_allclose(equations.diagonal(), (J**2).sum(axis=0), rtol=1e-7, atol=1e-9)
    whole, right = dense(equations)
    P, (n, m) = len(equations.g), equations.r.shape
    rows = np.arange(n * m).reshape(n, m)[loss.segments.after].reshape(len(loss.segments.after), equations.parts, -1)
    places = np.concatenate([np.arange(P), P + rows.transpose(1, 0, 2).ravel()])  # of the vector's numbers
    np.testing.assert_allclose(whole[np.ix_(places, places)], J.T @ J, rtol=0, atol=1e-8 * np.abs(whole).max())
    np.testing.assert_allclose(right[places], J.T @ r, rtol=0, atol=1e-8 * np.abs(right).max())
    np.testing.assert_allclose(2 * right[places], loss.guarded(theta)[1], rtol=0, atol=1e-13 * np.abs(right).max())
    shift = 0.1 * equations.diagonal()
    step = equations.step(shift)
    H, g = whole[np.ix_(places, places)], right[places]
    expected = np.linalg.solve(H + np.diag(shift), -g)
    np.testing.assert_allclose(step, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    assert equations.gain(step, shift) == pytest.approx(-(2 * g @ expected + expected @ H @ expected), rel=1e-10)


def test_penalties_and_fixed_weights_are_in_the_equations() -> None:
    """With l2, a group lasso and frozen weights twice the right side is the gradient, and frozen weights do not move."""
    loss, theta = shot("elman")
    frozen = np.zeros(loss.start().size, dtype=bool)
    frozen[4:9] = True
    loss.frozen, loss.penalty = frozen, Penalty.on(loss.weights(loss.start()), 3, {"U": 0.1}, 0.05)
    value, equations = loss.normal_equations(theta)
    expected, gradient = loss.guarded(theta)
    assert value == pytest.approx(expected, rel=1e-13)
    right = np.concatenate([equations.g, equations.r[loss.segments.after].ravel()])
    np.testing.assert_allclose(2 * right, gradient, rtol=0, atol=1e-13 * np.abs(gradient).max())
    step = equations.step(0.1 * equations.diagonal())
    assert (step[:-15][frozen] == 0).all() and (step[:-15][~frozen] != 0).all()


@pytest.mark.parametrize("n", range(1, 12))
def test_cyclic_reduction_solves_chains_of_any_length(n: int) -> None:
    """A symmetric chain of blocks, with links that are absent, against the dense solution."""
    rng = np.random.default_rng(n)
    C = rng.normal(size=(n - 1, 3, 3)) * (rng.random((n - 1, 1, 1)) < 0.7)
    A = rng.normal(size=(n, 3, 3))
    A = A @ A.transpose(0, 2, 1) + 9 * np.eye(3)
    whole = np.zeros((3 * n, 3 * n))
    for k in range(n):
        whole[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = A[k]
        if k + 1 < n:
            whole[3 * k : 3 * k + 3, 3 * k + 3 : 3 * k + 6] = C[k]
            whole[3 * k + 3 : 3 * k + 6, 3 * k : 3 * k + 3] = C[k].T
    b = rng.normal(size=(n, 3, 2))
    expected = np.linalg.solve(whole, b.reshape(3 * n, 2)).reshape(b.shape)
    np.testing.assert_allclose(chain_solution(A, C, b), expected, rtol=0, atol=1e-12)


def oscillations(seed: int = 1) -> Array:
    """Two undamped oscillations and noise."""
    t = np.arange(600)
    noise = 0.1 * np.random.default_rng(seed).normal(size=600)
    return np.asarray(np.sin(0.3 * t) + 0.7 * np.sin(0.83 * t + 1) + noise)


def test_multiple_shooting_finds_a_free_oscillation() -> None:
    """A free run of 600 steps of two undamped oscillations: single shooting mostly misses one, segments of 20 find both.

    The bar is five percent above the variance of the noise.
    """
    y, bar = oscillations(), 0.0105
    options: dict[str, Any] = {
        "start": "random", "starts": 1, "learn_h0": True, "warmup": 0, "max_radius": 1.0, "offsets": False, "method": "lm"
    }  # fmt: skip
    for units, hidden in ((4, "identity"), (5, "tanh")):
        plain, shot = (
            [kelman.train(units, np.zeros(600), y, hidden=hidden, segment=segment, rng=k, **options) for k in range(6)]  # type: ignore[arg-type]
            for segment in (None, 20)
        )
        assert sum(result.loss < bar for result in shot) >= 5 and sum(result.loss < bar for result in plain) <= 3
    assert (
        "multiple shooting before: 30 segments of up to 20 steps, 29 of them with a free start, by Leven"
        in shot[0].summary()
    )
    assert "multiple shooting" not in plain[0].summary() and not plain[0].shooting
    assert {step.phase for step in shot[0].history} == {"shooting", "lm"}


def test_the_picture_parts_the_loss_of_segments_from_that_of_series() -> None:
    """Steps of multiple shooting are a dotted line of their own, with a word; what follows begins after them."""
    pytest.importorskip("matplotlib").use("Agg")
    y = oscillations()[:200]
    result = kelman.train(2, np.zeros(200), y, hidden="identity", segment=20, learn_h0=True, starts=1, warmup=0, rng=0)
    ax = result.plot()
    shot, plain = ax.lines
    count = sum(step.phase == "shooting" for step in result.history)
    assert shot.get_linestyle() == ":" and plain.get_linestyle() == "-"
    assert len(shot.get_xdata()) == count and plain.get_xdata()[0] == count and count < len(result.history)
    assert "multiple shooting" in ax.get_legend().get_texts()[0].get_text()


def test_multiple_shooting_by_lbfgs_finds_a_free_oscillation() -> None:
    """One oscillation of 600 steps: single shooting often misses it, segments of 20 come near it mostly.

    Where a single run ends hangs on rounding; the median does not.
    """
    y = np.sin(0.3 * np.arange(600)) + 0.1 * np.random.default_rng(1).normal(size=600)
    options: dict[str, Any] = {
        "hidden": "identity", "start": "random", "starts": 1, "learn_h0": True, "warmup": 0, "max_radius": 1.0,
        "offsets": False, "method": "lbfgs",
    }  # fmt: skip
    found = {
        segment: [kelman.train(2, np.zeros(600), y, segment=segment, rng=k, **options).loss for k in range(6)]
        for segment in (None, 20)
    }
    assert np.median(found[20]) < 0.25 * np.median(found[None])
    assert min(found[20]) < 0.0095  # the noise has 0.009


CONVEX: dict[str, tuple[Any, dict[str, Any]]] = {
    "elman": (lambda: elman(11, h=2, o=1), {}),
    "elman, learnt start, l2": (
        lambda: elman(12, h=2, o=1, start="shared"),
        {"learn_h0": True, "warmup": 0, "l2": 1e-4},
    ),
    "linear": (lambda: elman(13, h=2, o=1, hidden="identity"), {}),
    "gru, learnt start": (lambda: gru(18, h=2, o=1, start="shared"), {"learn_h0": True, "warmup": 0}),
    "lstm": (lambda: lstm(15, h=2, o=1), {}),
    "lstm, starts per series": (lambda: lstm(16, h=2, o=1, start=4), {}),
}


@pytest.mark.parametrize("name", CONVEX)
def test_where_both_converge_multiple_shooting_agrees(name: str) -> None:
    """From the network that made the data, ragged, masked and with a warm-up: the same optimum to 1e-8 of the loss."""
    make, options = CONVEX[name]
    net, rng = make(), np.random.default_rng(3)
    x, _ = data(3, 4, 150)
    y = kelman.forward(net, x).y
    y = y + 0.1 * y.std() * rng.normal(size=y.shape)
    y[2, 20:30] = np.nan
    shared: dict[str, Any] = {
        "mask": rng.random(y.shape), "lengths": [150, 90, 150, 41], "warmup": 3, "method": "lm", "tolerance": 1e-13,
        "max_iterations": 300, **options,
    }  # fmt: skip
    plain, shot = (kelman.train(net, x, y, segment=segment, **shared) for segment in (None, 30))
    assert plain.converged and shot.converged and "given up" not in shot.summary()
    assert shot.loss == pytest.approx(plain.loss, rel=1e-8)


@pytest.mark.parametrize("method", ["lm", "lbfgs"])
@pytest.mark.parametrize("segment", [60, 100, 500])
def test_few_segments_or_none(segment: int, method: Any) -> None:
    """One free start in each series, or none because segments are longer than the series: training goes its way."""
    net = elman(18, h=2, o=1, start="shared")
    x, _ = data(5, 2, 100)
    y = kelman.forward(net, x).y + 0.01 * np.random.default_rng(1).normal(size=(2, 100, 1))
    result = kelman.train(net, x, y, segment=segment, method=method, warmup=0, learn_h0=True)
    assert result.loss < 1.1e-4 and f"{2 if segment < 100 else 0} of them with a free start" in result.shooting
    alone = kelman.train(net, x[0], y[0], segment=segment, method=method, warmup=0, learn_h0=True)
    assert alone.loss < 1.1e-4


def test_an_interruption_while_shooting_keeps_what_was_reached() -> None:
    """Stopped in the last stage, the weights are those of multiple shooting, better than those of the start."""
    y, steps = oscillations(), []
    options: dict[str, Any] = {
        "hidden": "identity",
        "segment": 20,
        "learn_h0": True,
        "warmup": 0,
        "max_radius": 1.0,
        "rng": 1,
    }

    def stop(step: Step) -> bool:
        steps.append(step)
        return step.phase == "shooting" and len([s for s in steps if s.iteration == 0]) == 3

    result = kelman.train(4, np.zeros(600), y, starts=1, progress=stop, **options)
    assert "asked to stop" in result.message and result.loss < 0.9 * y.var()
    assert {s.phase for s in result.history} == {"shooting"}


def test_weights_that_are_useless_on_whole_series_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that overflow do not replace the start; training goes on from it to the bit, and the summary says so."""
    net = elman(17, h=2, o=1, hidden="relu")
    x, y = data(4, 2, 300, 2, 1)
    stage, plain = _train_shooting._stage, kelman.train(net, x, y, method="lm", max_iterations=5)

    def explodes(*arguments: Any) -> Array:
        vector = stage(*arguments)
        arguments[0].best = vector * 1e3
        return np.asarray(arguments[0].best)

    monkeypatch.setattr(_train_shooting, "STAGES", {"lm": (1.0,)})
    monkeypatch.setattr(_train_shooting, "_stage", explodes)
    result = kelman.train(net, x, y, method="lm", max_iterations=5, segment=20)
    assert "iterations, given up" in result.summary() and not result.failures
    for name, value in plain.rnn.weights.items():
        np.testing.assert_array_equal(getattr(result.rnn, name), value)
