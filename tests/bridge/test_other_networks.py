"""Networks other than Elman's in the bridge: read by behaviour, scored by simulation, held against exact answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.rnn.cells import both, gru, lstm

import kelman
from kelman.errors import KelmanError

MODEL = kelman.StateSpace([[0.9, 0.2], [-0.1, 0.8]], [[1.0, 0.5]], np.diag([0.2, 0.1]), [[1.0]])


def _stacked(net: kelman.Elman, **changes: Any) -> kelman.Stack:
    """The same linear map in two layers: the state below, the readout above with nothing to remember."""
    below = net.replace(V=None, c=None, target=None)
    n = net.dims.hidden
    above = kelman.Elman(
        np.zeros((n, n)), np.eye(n), None, net.V, net.c, hidden="identity", target=net.target, **changes
    )
    return kelman.Stack([below, above])


def test_a_stack_is_read_like_the_network_that_it_equals() -> None:
    """The behaviour of a linear map in two layers has the poles, and the model, of its weights in one."""
    net = kelman.to_elman(MODEL)
    deep = _stacked(net)
    z = kelman.simulate(MODEL, 4000, rng=0).z
    np.testing.assert_allclose(kelman.forward(deep, z).y, kelman.forward(net, z).y, atol=1e-12)
    one, two = (kelman.read_dynamics(each, z=z, method="behaviour", order=2) for each in (net, deep))
    np.testing.assert_allclose(np.sort_complex(two.poles), np.sort_complex(one.poles), rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        np.sort_complex(two.poles), np.sort_complex(np.linalg.eigvals(MODEL.A)), rtol=0, atol=1e-6
    )
    assert two.method == "behaviour" and two.linear_r2 > 1 - 1e-9
    assert kelman.read_dynamics(deep, z=z).method == "behaviour"


def test_the_excess_risk_of_a_stack_is_that_of_the_network_that_it_equals() -> None:
    """By simulation, within four standard errors of the exact value."""
    wrong = kelman.to_elman(MODEL.replace(Q=0.3 * MODEL.Q))
    exact = float(kelman.excess_risk(wrong, MODEL))
    simulated = kelman.excess_risk(_stacked(wrong), MODEL)
    assert simulated.method == "simulation"
    assert abs(float(simulated) - exact) < 4 * simulated.standard_error + 1e-12


@pytest.mark.parametrize("make", [gru, lstm])
def test_gated_networks_are_read_by_behaviour(make: Any) -> None:
    """At small gain a gated network is nearly linear: its poles are those of its Jacobian at rest."""
    small = make(3, i=1, h=1, o=1)
    weights = {name: 0.1 * getattr(small, name) for name in ("U", "W", "b")}
    net = small.replace(**weights, c=None, inputs=("z",), target="z_next", **({"d": None} if make is gru else {}))
    z = 0.05 * np.random.default_rng(1).normal(size=3000)
    read = kelman.read_dynamics(net, z=z, order="auto")
    assert read.method == "behaviour" and read.linear_r2 > 0.99
    rest = kelman.read_activations(net, np.zeros(400), lags=0, moments=1, warmup=399)
    n = rest.mean_jacobian.shape[0]
    A = rest.mean_jacobian + rest.mean_input @ np.pad(net.V, ((0, 0), (0, n - 1)))
    strongest = np.abs(np.linalg.eigvals(A)).max()
    assert np.abs(np.abs(read.poles) - strongest).min() < 0.05


def test_network_inputs_of_every_network() -> None:
    """The value before the first is the network's own prediction from its start, of the last layer in a stack."""
    z = np.arange(4.0)
    for make in (gru, lstm):
        net = make(4, i=1, o=1, start="shared").replace(inputs=("z_prev",), target="z")
        before = (net.V @ net.h0 + net.c)[0]
        np.testing.assert_allclose(kelman.network_inputs(net, z)[:, 0], [before, 0, 1, 2])
        deep = kelman.Stack([make(5, i=1, read=False).replace(inputs=("z_prev",)), net.replace(W=np.ones((len(net.b), 3)),
                                                                                              inputs=None)])  # fmt: skip
        np.testing.assert_allclose(kelman.network_inputs(deep, z)[:, 0], [before, 0, 1, 2])


def test_what_the_bridge_cannot_do_with_them_is_said() -> None:
    """No Jacobian methods, no weights, no network that sees the future."""
    net = gru(6, i=1, o=1).replace(inputs=("z",), target="z_next")
    z = np.random.default_rng(2).normal(size=200)
    with pytest.raises(KelmanError, match='method: only "behaviour" reads a network of type GRU'):
        kelman.read_dynamics(net, z=z, method="jacobian")
    with pytest.raises(KelmanError, match="expected an Elman network, got GRU"):
        kelman.to_state_space(net, Sigma=[[1.0]])
    for verb in (lambda n: kelman.read_dynamics(n, z=z), lambda n: kelman.network_inputs(n, z)):
        with pytest.raises(KelmanError, match="which sees the future"):
            verb(both(7, i=1))
    with pytest.raises(KelmanError, match=r"predictor: .* which sees the future"):
        kelman.excess_risk(both(7, i=1), MODEL)
