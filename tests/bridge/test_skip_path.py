"""What the bridge makes of Elman networks with a linear skip path or without a readout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.bridge._jacobian import linearised
from kelman.bridge._layout import layout_of
from kelman.errors import KelmanError

SIGMA = [[2.0]]


def _net() -> kelman.Elman:
    model = kelman.StateSpace([[0.9, 0.2], [-0.1, 0.8]], [[1.0, 0.5]], np.diag([0.2, 0.1]), [[1.0]])
    return kelman.to_elman(model)


def _skipped(net: kelman.Elman, **options: Any) -> kelman.Elman:
    """The same linear map with half of its weights on the skip path."""
    A, B = 0.5 * net.U + 0.1, 0.25 * net.W
    return net.replace(U=net.U - A, W=net.W - B, A=A, B=B, **options)


def test_a_linear_network_with_a_skip_path_is_the_model_of_the_sum() -> None:
    """to_state_space, read_dynamics, compare, reduce and excess_risk see U + A and W + B."""
    net = _net()
    skipped = _skipped(net)
    assert skipped.is_linear
    one, two = (kelman.to_state_space(each, Sigma=SIGMA) for each in (net, skipped))
    for name in ("A", "H", "Q", "R", "S"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=0, atol=1e-14)
    np.testing.assert_allclose(kelman.read_dynamics(skipped).poles, kelman.read_dynamics(net).poles, rtol=0, atol=1e-10)
    assert kelman.compare(net, skipped).markov_error < 1e-12
    np.testing.assert_allclose(kelman.reduce(skipped, 1).U, kelman.reduce(net, 1).U, atol=1e-10)
    model = kelman.StateSpace([[0.9, 0.2], [-0.1, 0.8]], [[1.0, 0.5]], np.diag([0.2, 0.1]), [[1.0]])
    assert float(kelman.excess_risk(skipped, model)) == pytest.approx(float(kelman.excess_risk(net, model)), abs=1e-12)


def test_one_part_of_the_skip_path_alone_is_folded_too() -> None:
    """Only A, or only B."""
    net = _net()
    for name, array in (("A", 0.3 * net.U), ("B", 0.3 * net.W)):
        weight = {"A": "U", "B": "W"}[name]
        part = net.replace(**{name: array, weight: getattr(net, weight) - array})
        back = kelman.to_state_space(part, Sigma=SIGMA)
        np.testing.assert_allclose(back.A, kelman.to_state_space(net, Sigma=SIGMA).A, atol=1e-14)


def test_without_a_readout_the_state_is_the_prediction() -> None:
    """V = None counts as V = I."""
    bare = kelman.Elman([[0.4]], [[0.5]], None, None, None, hidden="identity", inputs=("z",), target="z_next")
    full = bare.replace(V=[[1.0]], c=[0.0])
    one, two = (kelman.to_state_space(net, Sigma=SIGMA) for net in (bare, full))
    np.testing.assert_array_equal(one.A, two.A)
    np.testing.assert_array_equal(one.H, two.H)
    z = np.random.default_rng(0).normal(size=50)
    np.testing.assert_array_equal(kelman.network_inputs(bare, z), kelman.network_inputs(full, z))


def test_a_curved_network_with_a_skip_path_is_read_by_behaviour() -> None:
    """It is no linear map; a ReLU split with a skip path is no split."""
    curved = _skipped(_net(), hidden="tanh")
    with pytest.raises(KelmanError, match="no linear map"):
        kelman.to_state_space(curved, Sigma=SIGMA)
    split = kelman.to_elman(kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]]), hidden="relu")
    with pytest.raises(KelmanError, match="no linear map"):
        kelman.to_state_space(split.replace(A=0.1 * np.eye(2)), Sigma=SIGMA)


def test_jacobians_hold_the_skip_path() -> None:
    """At the free-running fixed point F = A + diag(s') U and W = B + diag(s') W, by central differences."""
    rng = np.random.default_rng(1)
    net = kelman.Elman(
        0.4 * rng.normal(size=(3, 3)), rng.normal(size=(3, 1)), 0.5 * rng.normal(size=3), 0.5 * rng.normal(size=(1, 3)),
        [0.2], A=0.2 * rng.normal(size=(3, 3)), B=0.3 * rng.normal(size=(3, 1)), inputs=("z",), target="z_next",
    )  # fmt: skip
    layout = layout_of(net.inputs, net.target, 1, 1)
    found = linearised(net, layout, [np.zeros((1, 1))], [np.zeros((1, 0))], "jacobian")

    def step(h: np.ndarray, x: np.ndarray) -> np.ndarray:
        return net.A @ h + net.B @ x + np.tanh(net.U @ h + net.W @ x + net.b)

    h = np.zeros(3)
    for _ in range(2000):
        h = step(h, net.V @ h + net.c)
    x = net.V @ h + net.c
    F = np.array([(step(h + e, x) - step(h - e, x)) / 2e-6 for e in 1e-6 * np.eye(3)]).T
    W = (step(h, x + 1e-6) - step(h, x - 1e-6)) / 2e-6
    np.testing.assert_allclose(found.U, F, atol=1e-8)
    np.testing.assert_allclose(found.W[:, 0], W, atol=1e-8)


def test_the_average_jacobian_holds_the_skip_path() -> None:
    """Averages of the slopes along the network's own states."""
    rng = np.random.default_rng(2)
    net = kelman.Elman([[0.5]], [[0.7]], [0.1], [[1.0]], None, A=[[0.3]], B=[[0.2]], inputs=("z",), target="z_next")
    z = rng.normal(size=(400, 1))
    found = linearised(net, layout_of(net.inputs, net.target, 1, 1), [z], [np.zeros((400, 0))], "average_jacobian")
    h, slopes = 0.0, []
    for value in z[:, 0]:
        a = 0.5 * h + 0.7 * value + 0.1
        slopes.append(1 - np.tanh(a) ** 2)
        h = 0.3 * h + 0.2 * value + np.tanh(a)
    mean = np.mean(slopes[100:])
    assert found.U[0, 0] == pytest.approx(0.3 + 0.5 * mean, rel=1e-12)
    assert found.W[0, 0] == pytest.approx(0.2 + 0.7 * mean, rel=1e-12)
