"""Training of every cell: starts, scaling, skip paths, and that each reaches the optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.identify._train_imitate import imitation
from kelman.identify._train_scaling import Scaling
from kelman.identify._train_units import narrowed, widened
from kelman.models import Cell
from kelman.rnn._problem import loss_problem
from tests.identify.bed import series, simulated_excess
from tests.rnn.cells import elman, gru, lstm
from tests.rnn.networks import data, network

NETS: dict[str, Any] = {
    "elman": lambda: elman(0, direct=True),
    "elman with A": lambda: elman(1, skip="A"),
    "elman with A and B": lambda: elman(2, skip="AB"),
    "elman with B": lambda: elman(3, skip="B", hidden="sigmoid"),
    "softplus with A": lambda: elman(4, skip="A", hidden="softplus"),
    "gru": lambda: gru(5, direct=True),
    "gru, reset before": lambda: gru(6, reset="before"),
    "lstm": lambda: lstm(7),
    "lstm with peepholes": lambda: lstm(8, peepholes=True),
}


@pytest.mark.parametrize("name", NETS)
def test_scaling_is_folded_back_exactly(name: str) -> None:
    """A network moved to scaled data gives the scaled outputs of the original, and comes back."""
    net = NETS[name]()
    x, y = data(3, 4, 30)
    x, y = 3 * x + [5, -7], 0.01 * y + [3, 1]
    problem, _ = loss_problem(net, x, y)
    scaling = Scaling.of(problem, linear_output=True, centred=True)
    if net.WORD == "elman" and net.B is not None:
        scaling = Scaling(0 * scaling.x_mean, scaling.x_std, scaling.y_mean, scaling.L)
    scaled = scaling.into(net)
    there = kelman.forward(scaled, scaling.data(problem).x).y
    np.testing.assert_allclose(there @ scaling.L.T + scaling.y_mean, kelman.forward(net, x).y, rtol=1e-9, atol=1e-10)
    back = scaling.out_of(scaled)
    for weight, value in net.weights.items():
        np.testing.assert_allclose(getattr(back, weight), value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", NETS)
def test_every_cell_imitates_a_linear_network(name: str) -> None:
    """At small gain each cell repeats the outputs of a linear network, and ten times smaller a hundred times better."""
    linear = network(9, "identity")
    rho = np.abs(np.linalg.eigvals(linear.U)).max()
    linear = linear.replace(U=0.7 / rho * linear.U, b=None, c=None)
    x, _ = data(9, 2, 300)
    wanted = kelman.forward(linear, x).y[:, 50:]
    errors = []
    for gain in (1e-2, 1e-3):
        net = imitation(linear, NETS[name](), gain)
        if net.h0 is None or not net.h0.any():
            net = net.replace(**dict.fromkeys(net.STARTS))
        errors.append(np.abs(kelman.forward(net, x).y[:, 50:] - wanted).max() / wanted.std())
    curved = (
        1 if name == "softplus with A" else 2
    )  # softplus has a curvature at its operating point, the others have none
    assert errors[0] < 0.2 and errors[1] < max(2 * 10.0**-curved * errors[0], 1e-12)


@pytest.mark.parametrize("name", NETS)
def test_units_come_and_go(name: str) -> None:
    """A new unit changes nothing yet but its own state; without it the network is the old one to the bit."""
    net: Cell = NETS[name]()
    x, _ = data(10, 2, 40)
    wide = widened(net, np.random.default_rng(0))
    assert wide.dims.hidden == net.dims.hidden + 1
    before, after = kelman.forward(net, x), kelman.forward(wide, x)
    np.testing.assert_allclose(after.h[:, :, :-1], before.h, rtol=1e-12, atol=1e-14)
    assert np.abs(after.h[:, :, -1]).max() > 0 and 0 < np.abs(wide.V[:, -1]).max() < 0.1
    again = narrowed(wide, np.arange(wide.dims.hidden) < net.dims.hidden)
    for weight, value in net.weights.items():
        np.testing.assert_array_equal(getattr(again, weight), value)


@pytest.mark.parametrize("options", [{"cell": "gru"}, {"cell": "lstm"}, {"skip": True}], ids=str)
def test_every_cell_reaches_the_floor(options: dict[str, Any]) -> None:
    """Four units of any cell by the default recipe come near the filter on linear data."""
    z = series(1, 8_000)
    result = kelman.train(4, z[:-1], z[1:], **options)
    assert result.method == "lm" and "at most 400" in result.why and not result.failures
    assert 8_000 * simulated_excess(result.rnn) < 20
    assert np.isnan(result.radius) == ("cell" in options) and "failed" in result.summary()


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_first_order_methods_train_gated_cells(cell: Any, method: Any) -> None:
    """From random weights the first-order methods take gated cells well below the variance of the data."""
    z = series(2, 2_000)
    result = kelman.train(3, z[:-1], z[1:], cell=cell, method=method, start="random", max_iterations=60)
    assert result.method == method and result.why == "asked for"
    assert result.loss < 0.85 * z.var()


def test_larger_networks_go_to_lbfgs_and_say_why() -> None:
    """Above 400 weights "auto" is L-BFGS, and the result says so."""
    z = series(3, 300)
    result = kelman.train(16, z[:-1], z[1:], cell="gru", max_iterations=2)
    assert result.method == "lbfgs" and result.why == "897 weights, more than 400" and result.why in result.summary()


def test_a_network_whose_state_is_the_output_trains() -> None:
    """Without a readout the states are fitted to the targets, with offsets, in the user's units."""
    truth = elman(11, read=False)
    x, _ = data(11, 5, 200)
    y = kelman.forward(truth, x).y
    result = kelman.train(truth.replace(U=0.9 * truth.U, b=None), x, y, warmup=0)
    assert result.loss < 1e-12 * y.var() and result.rnn.V is None


def test_a_learnt_start_of_an_lstm_is_found() -> None:
    """With learn_h0 both starts of an LSTM are learnt."""
    truth = lstm(12, 1, 2, 1, start="shared").replace(h0=[0.4, -0.3], c0=[0.8, -0.5])
    x, _ = data(12, 60, 10, 1, 1)
    y = kelman.forward(truth, x).y
    result = kelman.train(truth.replace(h0=None, c0=None), x, y, learn_h0=True, warmup=0)
    assert result.loss < 1e-8 * y.var()
    assert kelman.loss_and_grad(truth.replace(h0=None, c0=None), x, y)[0] > 1e-3 * y.var()


def test_words_that_do_not_fit_the_cell_are_refused() -> None:
    """An activation or a skip path for a gated cell, or an unknown cell raise errors by name."""
    z = series(4, 50)
    for words, options in {
        "hidden: a GRU has its own": {"cell": "gru", "hidden": "relu"},
        "skip: only cell": {"cell": "lstm", "skip": True},
        "cell: expected one of": {"cell": "rnn"},
    }.items():
        with pytest.raises(KelmanError, match=words):
            kelman.train(2, z[:-1], z[1:], **options)  # type: ignore[arg-type]
