"""A network online: the outputs and states of `forward`, step by step, for every kind of network."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("N", [None, 1, 11])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_short_way_is_the_long_way(name: str, N: int | None, dtype: str) -> None:
    """What needs no conversion is taken by the core, what does by Python: the same numbers, shapes, counts and states."""
    net = NETWORKS[name].astype(dtype)
    x = RNG.normal(size=(5, 2) if N is None else (5, N, 2)).astype(dtype)
    short, long = net.stepper(N), net.stepper(N)
    for k in range(5):
        y, other = short(x[k]), long(x[k].tolist())
        assert y.dtype == other.dtype
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, other)
        np.testing.assert_array_equal(short(x=x[k]), NetworkStepper.__call__(long, x[k]))
    assert short.steps == long.steps == 10
    np.testing.assert_array_equal(short.h, long.h)


def test_results_are_arrays_of_their_own() -> None:
    """An output is not changed by later steps."""
    step = NETWORKS["GRU"].stepper()
    first = step(np.ones(2))
    kept = first.copy()
    step(np.zeros(2))
    np.testing.assert_array_equal(first, kept)


def test_errors_come_from_anywhere_and_leave_the_stream_as_it_was() -> None:
    """Shapes, types, gaps and counts of arguments that do not fit, between steps that do."""
    net = NETWORKS["Stack"]
    step, other = net.stepper(2), net.stepper(2)
    good = RNG.normal(size=(2, 2))
    step(good), other(good)
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((), "missing 1 required positional argument"),
        ((good, good), "positional arguments"),
        ((np.zeros((3, 2)),), r"x: expected shape \(2, 2\), the inputs of one step, got \(3, 2\)"),
        ((np.zeros((2, 2, 1)),), r"x: expected shape \(2, 2\)"),
        ((np.zeros((2, 2), "complex128"),), "x: expected real numbers"),
        ((np.full((2, 2), "a"),), "x: expected real numbers"),
        ((np.array([[1.0, 2.0], [np.inf, 0.0]]),), r"x: a network needs every input; got inf at index \[1, 0\]"),
        ((np.array([[1.0, np.nan], [0.0, 0.0]], "f4"),), r"x: a network needs every input; got nan at index \[0, 1\]"),
        ((None,), "x: expected an array of numbers, got None"),
    ]
    for arguments, message in wrong:
        with pytest.raises((KelmanError, TypeError), match=message):
            step(*arguments)
    with pytest.raises(TypeError, match="unexpected keyword"):
        step(good, u=good)
    assert step.steps == 1
    np.testing.assert_array_equal(step(good), other(good))


def test_layouts_that_need_a_copy() -> None:
    """Strided, reversed, byte-swapped, unaligned and masked inputs are those of their values."""
    x = RNG.normal(size=(2, 2))
    unaligned = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view("f8").reshape(2, 2)
    variants = [
        np.repeat(x, 2, axis=1)[:, ::2],
        x[:, ::-1].copy()[:, ::-1],
        np.asfortranarray(x),
        x.astype(">f8"),
        unaligned,
        np.ma.masked_array(x),
    ]
    for variant in variants:
        np.testing.assert_array_equal(NETWORKS["LSTM"].stepper(2)(variant), NETWORKS["LSTM"].stepper(2)(x))


def test_an_overflow_on_the_short_way() -> None:
    """A layer above the first overflows on an array that needs no conversion: the same error, of the same step."""
    below = kelman.Elman([[0.0]], [[1.0]], None, None, None, hidden="identity")
    above = kelman.Elman([[1e200]], [[1.0]], None, [[1.0]], None, hidden="identity")
    step = kelman.Stack([below, above]).stepper()
    step(np.ones(1)), step(np.zeros(1))
    with pytest.raises(NonFiniteError, match="overflows in 1 of 1 streams at step 2, first in stream 0"):
        step(np.zeros(1))
    assert step.steps == 2
    step.restart()
    assert step.steps == 0
    assert step(np.ones(1)).tolist() == [1.0]


def test_a_subclass_may_have_a_call_of_its_own() -> None:
    """What a subclass does before and after is done."""

    class Counting(NetworkStepper):
        calls = 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return super().__call__(x)

    class Plain(NetworkStepper):
        pass

    net, x = NETWORKS["Elman"], RNG.normal(size=2)
    counting, plain, base = Counting(net), Plain(net), NetworkStepper(net)
    for _ in range(3):
        y = base(x)
        np.testing.assert_array_equal(counting(x), y)
        np.testing.assert_array_equal(plain(x), y)
    assert counting.calls == 3
    assert list(inspect.signature(base).parameters) == ["x"]


@pytest.mark.parametrize("name", ["Elman", "Stack"])
def test_one_thread_at_a_time(name: str) -> None:
    """Threads that share a stepper: each call takes one whole step or is refused, also where a step lets others run."""
    net, N = NETWORKS[name], 3000
    step, x = net.stepper(N), RNG.normal(size=(3000, 2))
    taken: list[int] = []
    refused: list[str] = []

    def work() -> None:
        for _ in range(30):
            try:
                step(x)
                taken.append(1)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) + len(refused) == 90
    assert set(refused) <= {"this stepper is in use by another thread"}
    assert step.steps == len(taken) > 0
    alone = net.stepper(N)
    for _ in taken:
        alone(x)
    np.testing.assert_array_equal(step.h, alone.h)


def test_a_restart_during_a_long_step() -> None:
    """The stepper goes on with new streams; the step that was under way ends on the old ones."""
    step, x = NETWORKS["LSTM"].stepper(20000), RNG.normal(size=(20000, 2))
    going = threading.Event()

    def work() -> None:
        while not going.is_set():
            step(x)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        step.restart()
    going.set()
    thread.join()
    step.restart()
    np.testing.assert_array_equal(step(x), NETWORKS["LSTM"].stepper(20000)(x))


def test_handles_that_do_not_fit_together() -> None:
    """The core checks what it is given to feed."""
    narrow, wide = NETWORKS["Elman"].stepper(2), NETWORKS["Elman"].stepper(3)
    with pytest.raises(ValueError, match="next: does not take what this one gives"):
        narrow._handles[0].feed(wide._handles[0])


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
