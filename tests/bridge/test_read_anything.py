"""Whatever predicts can be read: gated cells, stacks, models, functions of several columns, objects with `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.bridge.systems import bed, draw

import kelman
from kelman.errors import KelmanError

POLES = 0.95 * np.exp([0.3j, -0.3j])
Z = draw(bed(), 8_000, np.random.default_rng(0))[0]
DRIVEN = kelman.StateSpace.from_shifted(bed().A, bed().H, bed().Q, bed().R, B=[[1.0], [0.5]])
NET = kelman.to_elman(bed())
ZEROS = np.zeros((1, 1))


class Fitted:
    """An object with `predict` and the number of its columns, as scikit-learn makes them."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.n_features_in_ = net.dims.inputs

    def predict(self, x: Any) -> Any:
        """Outputs of the network, one-dimensional where there is one."""
        y = kelman.forward(self.net, x).y
        return y[:, 0] if y.shape[1] == 1 else y


def almost_linear(net: Any, cell: str, gain: float = 1e-3) -> Any:
    """A gated network that does what a linear one does, in the limit of a small gain.

    GRU: with z = 1/2 for good, h = (n + h-)/2, so n must be 2 (U h- + W x) - h-. LSTM: with f shut, i and o half open,
    h = tanh(tanh(g)/2)/2, so g must be 4 (U h- + W x).
    """
    n, i = net.W.shape
    none_h, none_x, shut = np.zeros((n, n)), np.zeros((n, i)), np.zeros(n)
    V, c = net.V / gain, net.c
    if cell == "gru":
        U = np.vstack([none_h, none_h, 2 * (2 * net.U - np.eye(n))])
        return kelman.GRU(U, gain * np.vstack([none_x, none_x, 2 * net.W]), None, V, c)
    U = np.vstack([none_h, none_h, 4 * net.U, none_h])
    b = np.concatenate([shut, shut - 40.0, shut, shut])
    return kelman.LSTM(U, gain * np.vstack([none_x, none_x, 4 * net.W, none_x]), b, V, c)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gated_cells_are_read(cell: str) -> None:
    """A GRU and an LSTM that imitate the filter give its poles to 1e-3, order 2, and no recurrent eigenvalues."""
    net = almost_linear(NET, cell)
    np.testing.assert_allclose(kelman.forward(net, Z[:500]).y, kelman.forward(NET, Z[:500]).y, atol=2e-3)
    for words in ({}, {"inputs": ("z",), "target": "z_next"}):
        d = kelman.read_dynamics(net.replace(**words), z=Z)
        assert (d.method, d.order) == ("behaviour", 2)
        assert np.abs(d.poles - POLES).max() < 1e-3
        assert d.linear_r2 == pytest.approx(1.0, abs=1e-4)
        assert d.poles_recurrent.size == 0


def test_a_start_for_every_series_is_no_hindrance() -> None:
    """A gated network with starts of several series is read from their mean."""
    net = almost_linear(NET, "gru")
    several = net.replace(h0=np.array([[1e-4, 0.0], [-1e-4, 0.0]]))
    np.testing.assert_allclose(
        kelman.read_dynamics(several, z=Z, order=2).poles, kelman.read_dynamics(net, z=Z, order=2).poles, atol=1e-9
    )


def test_a_stack_is_read() -> None:
    """A memoryless first layer before the filter changes nothing but the gain: the poles are the filter's."""
    first = kelman.Elman(ZEROS, [[2.0]], None, None, None, hidden="identity")
    stack = kelman.Stack([first, NET.replace(W=NET.W / 2)])
    d = kelman.read_dynamics(stack, z=Z)
    assert d.order == 2
    assert np.abs(d.poles - POLES).max() < 1e-3


def test_a_model_is_read_as_its_steady_predictor() -> None:
    """A StateSpace gives its own poles, exactly, with the error bars of the data."""
    d = kelman.read_dynamics(bed(), z=Z, order=2)
    assert d.method == "weights"
    assert np.abs(d.poles - POLES).max() < 1e-8
    assert np.isfinite(d.pole_cov).all()


@pytest.mark.parametrize("through", ["function", "object"])
def test_columns_without_words_are_those_of_z_then_u(through: str) -> None:
    """With an input, a function and an object with `predict` are read without being told their columns."""
    z, u = draw(DRIVEN, 8_000, np.random.default_rng(1))
    net = kelman.to_elman(DRIVEN, "predicted")
    assert net.inputs == ("z", "u")
    given: Any = Fitted(net) if through == "object" else Fitted(net).predict
    d = kelman.read_dynamics(predictor=given, z=z, u=u)
    assert d.order == 2
    assert np.abs(d.poles - POLES).max() < 1e-3
    exact = kelman.read_dynamics(net, z=z, u=u, order=2)
    np.testing.assert_allclose(d.markov(10), exact.markov(10), atol=2e-3)


def test_two_measured_values_of_a_function() -> None:
    """A function of two columns is read as a predictor of both."""
    model = kelman.StateSpace(np.diag([0.9, 0.5]), np.eye(2), np.eye(2), 0.1 * np.eye(2))
    z = kelman.simulate(model, 8_000, rng=0).z
    net = kelman.to_elman(model)
    for data in ({"z": z}, {"x": z}):
        d = kelman.read_dynamics(lambda x: kelman.forward(net, x).y, **data, order=2)
        np.testing.assert_allclose(d.poles, [0.9, 0.5], atol=2e-3)
    d = kelman.read_dynamics(lambda x: kelman.forward(net, x).y, probe=model, order=2)
    np.testing.assert_allclose(d.poles, [0.9, 0.5], atol=2e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kelman.read_dynamics(z=Z), "rnn: expected a network, or predictor="),
        (lambda: kelman.read_dynamics(NET, predictor=NET), "rnn: expected a network, or predictor=.*got both"),
        (lambda: kelman.read_dynamics(3, z=Z), "rnn: expected an Elman, GRU or LSTM network.*got int"),
        (
            lambda: kelman.read_dynamics(almost_linear(NET, "gru"), z=Z, method="weights"),
            'method: only "behaviour" reads a network of type GRU',
        ),
        (lambda: kelman.read_dynamics(predictor=Fitted(kelman.to_elman(DRIVEN, "predicted")), z=Z), "reads 2 columns"),
        (lambda: kelman.read_dynamics(Fitted(NET), z=Z, inputs=("z", "u")), "inputs: expected 1 words"),
        (
            lambda: kelman.read_dynamics(
                kelman.Bidirectional(*[kelman.Elman(ZEROS, [[1.0]], None, None, None)] * 2, V=np.ones((1, 2))), z=Z
            ),
            "sees the future",
        ),
        (
            lambda: kelman.read_dynamics(
                kelman.Stack(
                    [kelman.Bidirectional(*[kelman.Elman(ZEROS, [[1.0]], None, None, None)] * 2, V=np.ones((1, 2)))]
                ),
                z=Z,
            ),
            "sees the future$",
        ),
    ],
)
def test_what_is_no_predictor_is_refused(make: Any, message: str) -> None:
    """Each is named."""
    with pytest.raises(KelmanError, match=message):
        make()
