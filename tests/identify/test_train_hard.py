"""Training on data and networks that are hard or wrong: named errors, or a usable network; the last good weights are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.rnn import pack
from tests.identify.test_train_composed import elman, gru

T = 60
Z = np.sin(0.3 * np.arange(T + 1)) + 0.1 * np.random.default_rng(0).normal(size=T + 1)
X, Y = Z[:-1], Z[1:]


def changed(series: np.ndarray, at: Any, value: float) -> np.ndarray:
    """A copy with some steps set."""
    copy = series.copy()
    copy[at] = value
    return copy


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "nan in x": (changed(X, 5, np.nan), Y, "x: .*got nan in series 0, step 5"),
    "inf in x": (changed(X, 5, np.inf), Y, "x: .*got inf in series 0, step 5"),
    "inf in y": (X, changed(Y, 5, -np.inf), "y: infinite value"),
    "nothing in y": (X, Y * np.nan, "y: nothing is left to count"),
    "no steps": (np.zeros(0), np.zeros(0), "x: expected"),
    "a series without steps": ([X, np.zeros(0)], [Y, np.zeros(0)], r"x\[1\]: expected at least one step"),
    "no series": (np.zeros((0, 5, 1)), np.zeros((0, 5, 1)), "x: expected at least one series"),
    "a number too large in x": (changed(X, 7, 1e150), Y, "x: expected values below .*series 0, step 7, column 0"),
    "a number too large in y": (X, changed(Y, 7, -1e300), "y: expected values below .*series 0, step 7, column 0"),
}

HANDLED: dict[str, tuple[Any, Any]] = {
    "gaps in y": (X, changed(Y, slice(3, 30), np.nan)),
    "one step": ([1.0], [2.0]),
    "two steps": ([1.0, 2.0], [2.0, 1.0]),
    "constant input": (np.full(T, 3.0), Y),
    "constant target": (X, np.full(T, 3.0)),
    "both constant": (np.full(T, 3.0), np.full(T, -2.0)),
    "zeros": (np.zeros(T), np.zeros(T)),
    "tiny": (1e-200 * X, 1e-200 * Y),
    "growing": (1.5 ** np.arange(T), 1.5 ** (np.arange(T) + 1)),
    "an outlier": (changed(X, 7, 1e8), changed(Y, 9, -1e8)),
    "many short series": (X.reshape(12, 5, 1), Y.reshape(12, 5, 1)),
}

CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "linear": (2, {"hidden": "identity"}),
    "tanh": (2, {}),
    "relu": (2, {"hidden": "relu"}),
    "softplus": (2, {"hidden": "softplus"}),
    "skip": (2, {"skip": True}),
    "gru": (2, {"cell": "gru"}),
    "lstm": (2, {"cell": "lstm"}),
    "stack": (kelman.Stack([elman(1, 2, hidden="relu"), gru(2, 2, 1)]), {}),
    "both": (kelman.Bidirectional(gru(1, 2), gru(1, 2), np.zeros((1, 4)), None), {}),
}

RUNS = [(name, m) for name in CELLS for m in ("lm", "lbfgs", "adam") if m != "lm" or name not in ("stack", "both")]


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_wrong_data_are_refused_by_place(name: str, method: Any) -> None:
    """Every method and cell refuses what cannot be trained on, and says where it is."""
    net, options = CELLS[name]
    for x, y, message in REFUSED.values():
        with pytest.raises(KelmanError, match=message):
            kelman.train(net, x, y, method=method, max_iterations=4, **options)


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_hard_data_end_in_a_usable_network(name: str, method: Any) -> None:
    """Short, constant, empty of information, growing or spoilt data: finite weights and loss, without a warning."""
    net, options = CELLS[name]
    for case, (x, y) in HANDLED.items():
        result = kelman.train(net, x, y, method=method, max_iterations=4, window=30, **options)
        assert np.isfinite(pack(result.rnn)).all() and np.isfinite(result.loss), case
        assert np.isfinite(kelman.forward(result.rnn, x).y).all(), case


@pytest.mark.parametrize("name", ["tanh", "relu", "softplus", "skip", "gru", "lstm", "stack", "both"])
def test_a_rate_that_explodes_never_loses_the_weights(name: str) -> None:
    """Adam at a rate of 1000 from a trained network: what comes back is not worse than what was given."""
    net, options = CELLS[name]
    good = kelman.train(net, X, Y, method="lbfgs", max_iterations=15, warmup=5, **options)
    wild = kelman.train(
        good.rnn,
        X,
        Y,
        method="adam",
        learning_rate=1e3,
        max_iterations=6,
        window=T,
        validation=0,
        warmup=5,
        clip=np.inf,
    )
    assert wild.loss <= good.loss * (1 + 1e-12)


def exploding(name: str) -> Any:
    """A network whose state grows fivefold with each step."""
    large, one, read = 5 * np.eye(2), np.ones((2, 1)), np.ones((1, 2))
    if name == "skip":
        return kelman.Elman(0 * large, one, None, read, None, "tanh", A=large, B=one)
    if name == "stack":
        below = kelman.Elman(large, one, None, None, None, "relu")
        return kelman.Stack([below, kelman.Elman(large, np.ones((2, 2)), None, read, None, "identity")])
    return kelman.Elman(large, one, None, read, None, name)


@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu", "softplus", "skip", "stack"])
@pytest.mark.parametrize("method", ["auto", "lbfgs", "adam"])
def test_an_exploding_network_is_handled(name: str, method: Any) -> None:
    """A start that overflows on 600 steps is a failure with a reason, its weights come back; a second start rescues the call."""
    x = np.abs(np.tile(X, 10))
    net = exploding(name)
    alone = kelman.train(net, x, np.tile(Y, 10), method=method, max_iterations=6, window=600)
    assert not alone.converged
    assert [f.start for f in alone.failures] == [0] and alone.failures[0].reason in alone.summary()
    np.testing.assert_allclose(pack(alone.rnn), pack(net), rtol=0, atol=1e-12 * np.abs(pack(net)).max())
    both = kelman.train(net, x, np.tile(Y, 10), method=method, max_iterations=6, window=100, starts=3)
    assert np.isfinite(both.loss) and both.loss < 10 * Y.var() and both.trials[0].outcome == both.failures[0].reason
