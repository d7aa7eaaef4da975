"""A network online: the outputs and states of `forward`, step by step, for every kind of network."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, ModelTypeError, NonFiniteError
from kelman.rnn import NetworkStepper

RNG = np.random.default_rng(3)


def weights(gates: int, h: int = 5, i: int = 2, o: int = 3) -> dict[str, Any]:
    """Random weights of a cell with that many gates."""
    small = {"U": (gates * h, h), "W": (gates * h, i), "b": (gates * h,), "V": (o, h), "c": (o,)}
    return {name: 0.4 * RNG.normal(size=shape) for name, shape in small.items()}


def below(gates: int) -> dict[str, Any]:
    """Weights of a layer whose state is the output."""
    return weights(gates) | {"V": None, "c": None}


NETWORKS = {
    "Elman": kelman.Elman(**weights(1)),
    "Elman with a linear path": kelman.Elman(**weights(1), A=0.3 * np.eye(5), B=RNG.normal(size=(5, 2))),
    "Elman without readout": kelman.Elman(**below(1)),
    "GRU": kelman.GRU(**weights(3), d=RNG.normal(size=5)),
    "GRU, reset before": kelman.GRU(**weights(3), reset="before", h0=RNG.normal(size=5)),
    "LSTM": kelman.LSTM(**weights(4), P=RNG.normal(size=(3, 5)), c0=RNG.normal(size=5)),
    "Stack": kelman.Stack([kelman.LSTM(**below(4)), kelman.GRU(**weights(3, i=5), d=RNG.normal(size=5))]),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("N", [None, 1, 11])
@pytest.mark.parametrize("name", NETWORKS)
def test_is_forward_to_the_bit(name: str, N: int | None, dtype: str) -> None:
    """Outputs of every step, and the states after the last."""
    net = NETWORKS[name].astype(dtype)
    x = RNG.normal(size=(6, 2) if N is None else (N, 6, 2)).astype(dtype)
    whole = kelman.forward(net, x)
    step = net.stepper(N)
    assert isinstance(step, NetworkStepper)
    for k in range(6):
        y = step(x[..., k, :])
        assert y.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(y, whole.y[..., k, :])
    np.testing.assert_array_equal(step.h, whole.h[..., -1, :])
    assert step.steps == 6
    step.restart()
    np.testing.assert_array_equal(step(x[..., 0, :]), whole.y[..., 0, :])


def test_starts_of_its_own_for_each_stream() -> None:
    """A network with a start per series has as many streams."""
    net = NETWORKS["LSTM"].replace(h0=RNG.normal(size=(4, 5)), c0=RNG.normal(size=(4, 5)))
    x = RNG.normal(size=(4, 3, 2))
    step = net.stepper()
    for k in range(3):
        np.testing.assert_array_equal(step(x[:, k]), kelman.forward(net, x).y[:, k])
    assert step.c.shape == (4, 5)
    with pytest.raises(KelmanError, match="N: is 3, but the network has starts for 4 streams"):
        net.stepper(3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_goes_on_alone(name: str) -> None:
    """Pickled and copied steppers have the state of the moment, and live their own lives."""
    step = NETWORKS[name].stepper(2)
    x = RNG.normal(size=(4, 2, 2))
    step(x[0])
    others = [copy.deepcopy(step), pickle.loads(pickle.dumps(step))]
    expected = [step(x[1]), step(x[2])]
    for other in others:
        assert other.steps == 1
        for k in (1, 2):
            np.testing.assert_array_equal(other(x[k]), expected[k - 1])


def test_a_gap_is_refused_and_nothing_is_lost() -> None:
    """NaN in an input names its place; the step is not taken, and the stream goes on."""
    net = NETWORKS["GRU"]
    step, other = net.stepper(3), net.stepper(3)
    good, bad = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    bad[1, 0] = np.nan
    step(good), other(good)
    with pytest.raises(
        KelmanError, match=r"x: a network needs every input; got nan at index \[1, 0\]. No step was taken"
    ):
        step(bad)
    assert step.steps == 1
    np.testing.assert_array_equal(step(good), other(good))


def test_overflow_names_stream_and_step() -> None:
    """An unstable linear network: the error says where, and restart begins again."""
    net = kelman.Elman([[1e200]], [[1.0]], None, [[1.0]], None, hidden="identity")
    step = net.stepper(2)
    step([[0.0], [1.0]])
    step([[0.0], [0.0]])
    with pytest.raises(NonFiniteError, match="overflows in 1 of 2 streams at step 2, first in stream 1") as caught:
        step([[0.0], [0.0]])
    assert caught.value.failures == [(1, 2)]
    step.restart()
    assert step([[1.0], [1.0]]).tolist() == [[1.0], [1.0]]


def test_what_forward_would_take_is_converted() -> None:
    """Lists, other number types, and arrays that are not contiguous."""
    net = kelman.Elman([[0.5]], [[1.0, 2.0]], None, [[1.0]], None, hidden="identity")
    assert net.stepper()([1, 2]).tolist() == [5.0]
    assert net.stepper()(np.array([9.0, 1.0, 9.0, 2.0])[1::2]).tolist() == [5.0]
    assert net.stepper(2)(np.array([[1, 3], [2, 4]], dtype=np.float32).T).tolist() == [[5.0], [11.0]]


def test_wrong_arguments_are_refused() -> None:
    """Shapes, networks without single steps, memories that are not there."""
    net = NETWORKS["GRU"]
    with pytest.raises(KelmanError, match=r"x: expected shape \(2,\), the inputs of one step, got \(3,\)"):
        net.stepper()([1.0, 2.0, 3.0])
    with pytest.raises(KelmanError, match=r"x: expected shape \(2, 2\)"):
        net.stepper(2)(np.zeros(2))
    with pytest.raises(KelmanError, match="N: expected a whole number of at least 1"):
        net.stepper(0)
    with pytest.raises(KelmanError, match="c: only an LSTM has a memory, and the last cell is GRU"):
        _ = net.stepper().c
    pair = kelman.Bidirectional(kelman.GRU(**below(3)), kelman.GRU(**below(3)))
    with pytest.raises(KelmanError, match="rnn: a Bidirectional layer reads the series backward"):
        kelman.Stack([pair]).stepper()
    with pytest.raises(ModelTypeError, match="rnn: expected an Elman"):
        NetworkStepper("net")  # type: ignore[arg-type]
    assert repr(net.stepper(2)).startswith("NetworkStepper(GRU(")
