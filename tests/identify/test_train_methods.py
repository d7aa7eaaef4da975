"""Schedules, clipping, carried states, penalties, growing, last-step losses, and networks that explode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.identify import Step
from kelman.identify._train_adam import rate_at
from kelman.identify._train_penalty import EPSILON, Penalty
from kelman.identify._train_windows import cut, lanes, rows_of
from kelman.rnn._problem import loss_problem
from tests.identify.bed import excess, series
from tests.rnn.cells import gru
from tests.rnn.networks import data


def test_schedules_have_their_shapes() -> None:
    """Cosine falls from 1 to 0, one cycle rises to 1 at 30 % and falls to nearly 0, constant stays; all are continuous."""
    part = np.linspace(0, 1, 1001)
    cosine, cycle, flat = (np.array([rate_at(word, p) for p in part]) for word in ("cosine", "onecycle", "constant"))
    np.testing.assert_allclose(cosine, 0.5 * (1 + np.cos(np.pi * part)), atol=1e-15)
    assert cycle[0] == pytest.approx(1 / 25) and cycle[300] == pytest.approx(1) and cycle[-1] == pytest.approx(1e-4)
    assert (np.diff(cycle[:300]) > 0).all() and (np.diff(cycle[301:]) < 0).all() and np.abs(np.diff(cycle)).max() < 0.01
    assert (flat == 1).all()


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "constant"])
def test_the_learning_rate_follows_the_schedule(schedule: Any) -> None:
    """The history tells the rate of the last update of every epoch."""
    z = series(50, 1_200)
    steps: list[Step] = []
    options = {"method": "adam", "learning_rate": 5e-3, "batch": 4, "window": 100, "max_iterations": 10, "warmup": 20}
    kelman.train(2, z[:-1], z[1:], schedule=schedule, progress=steps.append, **options)  # type: ignore[arg-type]
    rates = [s.damping for s in steps[1:]]
    expected = [5e-3 * rate_at(schedule, (k + 1) / 10) for k in range(10)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_clipping_bounds_the_gradient() -> None:
    """A clip far below the gradient changes the course, one far above does not; Adam forgives a constant factor."""
    z = series(51, 1_000)
    options = {"method": "adam", "start": "random", "max_iterations": 3, "window": 60}
    courses = [
        [s.loss for s in kelman.train(2, z[:-1], z[1:], clip=c, **options).history]  # type: ignore[arg-type]
        for c in (1e-4, 1e6, np.inf)
    ]
    assert courses[1] == courses[2] != courses[0] and courses[0][0] == courses[1][0]


def test_lanes_cover_the_training_part_once_and_in_order() -> None:
    """Every step of the training part is in exactly one piece, pieces follow each other, only the first has a warm-up."""
    net = gru(1, 1, 2, 1)
    x, y = data(1, 3, 250, 1, 1)
    problem, _ = loss_problem(net, x, y, lengths=np.array([250, 170, 60]), warmup=5)
    _, checking, borders = cut(problem, 20, 0.2, np.random.default_rng(0))
    assert checking is not None and borders.tolist() == [200, 136, 48]
    parts = lanes(problem, 20, borders, 6)
    seen = np.zeros((3, 250), dtype=int)
    everything = np.arange(len(parts.places))
    ends = parts.places[:, 1].copy()
    for k, (alive, piece) in enumerate(parts.pieces(everything)):
        assert piece.warmup == (5 if k == 0 else 0)
        lengths = np.full(len(alive), 20) if piece.lengths is None else piece.lengths
        for lane, length, values in zip(alive, lengths, piece.x, strict=True):
            series_, first = parts.places[lane, 0], ends[lane]
            np.testing.assert_array_equal(values[:length], x[series_, first : first + length])
            seen[series_, first : first + length] += 1
            ends[lane] = first + length
    for k, border in enumerate(borders):
        assert (seen[k, :border] == 1).all() and not seen[k, border:].any()


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_carried_states_reach_further_than_windows(cell: Any) -> None:
    """What happened long before a window began is remembered if states are carried, and lost if they are not."""
    rng = np.random.default_rng(52)
    level = np.repeat(rng.choice([-1.0, 1.0], 100), 40)  # told once, at the first of 40 steps, and to be remembered
    x = np.stack([np.where(np.arange(4_000) % 40 == 0, level, 0.0), np.arange(4_000) % 40 == 0], axis=1)
    options = {
        "method": "adam",
        "window": 8,
        "warmup": 0,
        "max_iterations": 60,
        "learning_rate": 1e-2,
        "start": "random",
    }
    losses = [
        kelman.train(6, x, level, cell=cell, carry=carry, **options).loss  # type: ignore[arg-type]
        for carry in (True, False)
    ]
    assert losses[0] < 0.8 * losses[1]


def test_early_stopping_keeps_the_best_weights() -> None:
    """With little data and many units training stops early, and the network is that of the best held-out loss."""
    z = series(53, 800)
    steps: list[Step] = []
    result = kelman.train(
        12, z[:-1], z[1:], method="adam", start="random", learning_rate=3e-3, window=50, patience=8, progress=steps.append,
        max_iterations=400,
    )  # fmt: skip
    assert "has not improved for 8 epochs" in result.message and result.converged
    best = int(np.argmin([s.validation for s in steps]))
    assert best > 0
    assert best == len(steps) - 9
    again: list[Step] = []
    kelman.train(
        12, z[:-1], z[1:], method="adam", start="random", learning_rate=3e-3, window=50, patience=8,
        progress=lambda s: again.append(s) or s.iteration == best, max_iterations=400,
    )  # fmt: skip
    assert again[-1].validation == steps[best].validation


def test_a_stop_between_two_looks_at_the_loss_keeps_what_was_reached() -> None:
    """Nothing held out: the loss of all data is computed every few epochs; whoever stops in between loses nothing."""
    z = series(6, 2_000)
    options: dict[str, Any] = {"method": "adam", "validation": 0, "max_iterations": 50, "window": 50, "start": "random"}
    stopped = kelman.train(2, z[:-1], z[1:], progress=lambda step: step.iteration == 7, **options)
    assert [step.iteration for step in stopped.history] == list(range(8))
    began = kelman.train(2, z[:-1], z[1:], progress=lambda _: True, **options)
    whole = kelman.train(2, z[:-1], z[1:], **options)
    assert whole.loss < stopped.loss < began.loss
    assert len(whole.history) == 51


@pytest.mark.parametrize("length", [7, 5, 1])
def test_windows_are_the_steps_that_they_name(length: int) -> None:
    """Whole series, windows inside, and windows that reach past the end, of arrays in any layout."""
    rng = np.random.default_rng(8)
    series, first = rng.integers(4, size=9), rng.integers(8 - length, size=9)
    for array in (
        rng.normal(size=(4, 7, 3)),
        rng.normal(size=(7, 4, 3)).swapaxes(0, 1),
        np.ones((4, 1, 3)).repeat(7, 1),
    ):
        for moved in (first, first + 2):
            found = rows_of(array, series, moved, length)
            steps = np.minimum(moved[:, None] + np.arange(length), 6)
            np.testing.assert_array_equal(found, array[series[:, None], steps])
            assert found.flags.c_contiguous


def test_the_loss_of_the_last_step_is_trained() -> None:
    """With steps="last" one target per series is met, by every method."""
    rng = np.random.default_rng(54)
    x = rng.normal(size=(200, 12, 1))
    y = x[:, :, 0] @ 0.7 ** np.arange(11, -1, -1)
    for method in ("lm", "lbfgs", "adam"):
        result = kelman.train(1, x, y[:, None], hidden="identity", steps="last", method=method, offsets=False)
        assert result.warmup == 0 and result.loss < (1e-3 if method == "adam" else 1e-8) * y.var()
        assert kelman.loss_and_grad(result.rnn, x, y[:, None], steps="last")[0] == pytest.approx(result.loss, abs=1e-15)


def penalty(lasso: float, l2: dict[str, float]) -> tuple[Penalty, dict[str, np.ndarray], np.ndarray]:
    """A penalty on random weights of a GRU with three units, these weights, and their vector."""
    net = gru(2, 2, 3, 2, direct=True)
    return Penalty.on(net.weights, 3, l2, lasso), net.weights, kelman.rnn.pack(net)


def test_the_penalty_is_what_it_says() -> None:
    """Sum of squares of the named arrays, and of smoothed norms of everything that enters or leaves a unit."""
    rule, w, theta = penalty(0.3, {"U": 0.1, "D": 0.2})
    norms = []
    for k in range(3):
        rows = np.arange(k, 9, 3)
        column = np.delete(w["U"][:, k], rows)
        parts = [w["U"][rows].ravel(), column, w["W"][rows].ravel(), w["V"][:, k]]
        norms.append(np.sqrt(sum((part**2).sum() for part in parts)))
    np.testing.assert_allclose(rule.norms(theta), norms, rtol=1e-12)
    lasso = sum(np.sqrt(norm**2 + EPSILON**2) - EPSILON for norm in norms)
    expected = 0.3 * lasso + 0.1 * (w["U"] ** 2).sum() + 0.2 * (w["D"] ** 2).sum()
    assert rule.add(theta, 0.0, np.zeros_like(theta))[0] == pytest.approx(expected, rel=1e-12)


def test_the_penalty_has_its_gradient_and_lies_below_its_quadratic() -> None:
    """The gradient is that of finite differences; the quadratic of the normal equations touches and bounds from above."""
    rule, _, theta = penalty(0.3, {"U": 0.1})
    zero = np.zeros_like(theta)
    value, gradient = rule.add(theta, 0.0, zero)
    rng = np.random.default_rng(0)
    for _ in range(5):
        v = rng.normal(size=theta.size)
        slope = (rule.add(theta + 1e-6 * v, 0.0, zero)[0] - rule.add(theta - 1e-6 * v, 0.0, zero)[0]) / 2e-6
        assert slope == pytest.approx(gradient @ v, rel=1e-7)
    same, JtJ, Jtr = rule.add_normal(theta, 0.0, np.zeros((theta.size, theta.size)), zero)
    assert same == value
    np.testing.assert_allclose(2 * Jtr, gradient, rtol=1e-12)
    for size in (0.1, 1.0, 10.0):
        v = size * rng.normal(size=theta.size)
        assert rule.add(theta + v, 0.0, zero)[0] <= value + 2 * Jtr @ v + v @ JtJ @ v + 1e-12


@pytest.mark.parametrize("method", ["lm", "lbfgs"])
def test_the_group_lasso_finds_the_order(method: Any) -> None:
    """Of six linear units two survive on data of two states, and what is left is efficient."""
    z = series(55, 10_000)
    result = kelman.train(6, z[:-1], z[1:], hidden="identity", group_lasso=3e-3, method=method, starts=1)
    assert result.order == 2 and result.rnn.dims.hidden == 2
    assert 10_000 * excess(result.rnn) < 16
    assert kelman.train(6, z[:-1], z[1:], hidden="identity", method=method, max_iterations=3).order == 6


def test_the_group_lasso_takes_many_series() -> None:
    """Units leave also where many series share a start that is learnt, or have starts of their own."""
    truth = kelman.Elman([[0.8]], [[1.0]], None, [[1.0]], None, "identity")
    x, _ = data(60, 20, 60, 1, 1)
    y = kelman.forward(truth, x).y + 0.1 * data(61, 20, 60, 1, 1)[0]
    result = kelman.train(3, x, y, hidden="identity", group_lasso=1e-2, starts=1, learn_h0=True, warmup=0)
    assert result.order == 1 and result.rnn.h0.shape == (1,)
    given = kelman.Elman(
        0.5 * np.eye(3), 0.3 * np.ones((3, 1)), None, [[0.5, 0.1, -0.1]], None, "identity", h0=np.zeros((20, 3))
    )
    own = kelman.train(given, x, y, group_lasso=1e-2)
    assert own.order < 3 and own.rnn.h0.shape == (20, own.order)


def test_squares_shrink_what_they_name() -> None:
    """l2 makes U and W smaller and leaves V free; by name it shrinks V."""
    z = series(56, 3_000)
    options = {"hidden": "identity", "starts": 1}
    plain, shrunk, named = (
        kelman.train(2, z[:-1], z[1:], l2=l2, **options).rnn  # type: ignore[arg-type]
        for l2 in (0.0, 1e-2, {"V": 1e-2})
    )
    assert np.linalg.norm(shrunk.U) < np.linalg.norm(plain.U) and np.linalg.norm(shrunk.W) < np.linalg.norm(plain.W)
    assert np.linalg.norm(shrunk.V) > np.linalg.norm(plain.V) > np.linalg.norm(named.V)


def test_growing_passes_a_plateau() -> None:
    """Four modes are found unit by unit; the start says that it has grown."""
    rng = np.random.default_rng(57)
    truth = kelman.Elman(
        np.diag([0.95, -0.9, 0.7, -0.5]), np.ones((4, 1)), None, [[1.0, 1.0, -1.0, 1.0]], None, "identity"
    )
    x = rng.normal(size=(3_000, 1))
    y = kelman.forward(truth, x).y
    result = kelman.train(4, x, y, hidden="identity", start="grow")
    assert result.trials[0].kind == "grown" and result.loss < 1e-12 * y.var()
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(result.rnn.U).real), [-0.9, -0.5, 0.7, 0.95], atol=1e-5)


@pytest.mark.parametrize("method", ["lm", "lbfgs", "adam"])
def test_a_network_that_explodes_leaves_the_best_weights(method: Any) -> None:
    """A rectified network with a recursion that overflows: the failure is told, and weights and loss are finite."""
    z = series(58, 2_000)
    wild = kelman.Elman(3 * np.eye(2), np.ones((2, 1)), [1.0, 1.0], np.ones((1, 2)), None, "relu")
    result = kelman.train(wild, z[:-1], z[1:], method=method)
    assert not result.converged and "unstable" in result.failures[0].reason and "unstable" in result.summary()
    rescued = kelman.train(wild, z[:-1], z[1:], method=method, starts=2, max_iterations=20)
    assert np.isfinite(rescued.loss) and rescued.loss < 2 * z.var() and len(rescued.failures) == 1


def test_adam_with_a_wild_rate_keeps_the_best() -> None:
    """A learning rate that throws the network about ends with the best weights it has seen."""
    z = series(59, 1_000)
    steps: list[Step] = []
    options = {"method": "adam", "hidden": "relu", "learning_rate": 30.0, "max_iterations": 12, "window": 50}
    result = kelman.train(3, z[:-1], z[1:], progress=steps.append, **options)  # type: ignore[arg-type]
    assert np.isfinite(result.loss) and result.loss <= 1.2 * z.var()
    assert min(s.validation for s in steps) < max(s.validation for s in steps)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "schedule": ({"schedule": "steps"}, "schedule: expected one of"),
    "clip": ({"clip": 0}, "clip: expected a positive number"),
    "l2": ({"l2": -1}, "l2: expected a number >= 0"),
    "l2 by name": ({"l2": {"Q": 1.0}}, "l2: no weights 'Q'; there are U, W, b, V, c"),
    "lasso": ({"group_lasso": np.inf}, "group_lasso: expected a number >= 0"),
    "segment": ({"segment": 1}, "segment: expected a whole number"),
    "segment with adam": ({"segment": 10, "method": "adam"}, "segment: multiple shooting goes with"),
    "steps": ({"steps": "first"}, "steps: expected one of"),
    "carry": ({"carry": True, "learn_h0": True}, "carry: the state is carried over"),
    "progress": ({"progress": 3}, "progress: expected True, False, None or a function"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused_by_name(case: str) -> None:
    """Every wrong option raises an error that names it."""
    options, words = WRONG[case]
    z = series(22, 100)
    with pytest.raises(KelmanError, match=words):
        kelman.train(2, z[:-1], z[1:], **options)


def test_data_that_cannot_be_used_are_refused_by_place() -> None:
    """NaN and infinity in the inputs, infinity in the targets, and empty series raise errors that say where."""
    z = series(22, 50)
    for bad in (np.nan, np.inf):
        x = z[:-1].copy()
        x[7] = bad
        with pytest.raises(KelmanError, match=r"x: a network needs every input; got .* in series 0, step 7"):
            kelman.train(2, x, z[1:])
    y = z[1:].copy()
    y[3] = -np.inf
    with pytest.raises(KelmanError, match=r"y: .*inf"):
        kelman.train(2, z[:-1], y)
    with pytest.raises(KelmanError, match=r"x\[1\]: expected at least one step"):
        kelman.train(2, [z[:-1], z[:0]], [z[1:], z[:0]])
    with pytest.raises(KelmanError, match="x: expected shape"):
        kelman.train(2, z[:0], z[:0])
