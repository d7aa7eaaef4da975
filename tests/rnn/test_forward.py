"""Outputs and states of networks over sequences."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from tests.oracles import elman_forward
from tests.rnn.networks import PAIRS, data, network


@pytest.mark.parametrize(("hidden", "output"), PAIRS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 12), (70, 3)])
def test_forward_equals_the_loop_in_numpy(hidden: str, output: str, shape: tuple[int, int]) -> None:
    """Every pair of activations gives the outputs and states of a plain loop, for one, few and many series."""
    net = network(1, hidden, output, direct=True, start="shared")
    x, _ = data(1, *shape)
    y, h = elman_forward(net, x)
    result = kelman.forward(net, x)
    np.testing.assert_allclose(result.y, y, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(result.h, h, rtol=1e-13, atol=1e-14)


@pytest.mark.torch
@pytest.mark.parametrize("hidden", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 8, 2), (8, 32, 8), (5, 140, 3)])
def test_forward_equals_torch_rnn(hidden: str, sizes: tuple[int, int, int]) -> None:
    """States and outputs equal those of torch.nn.RNN with the same weights."""
    import torch

    net = network(2, hidden, sizes=sizes)
    x, _ = data(2, 20, 50, sizes[0])
    rnn = torch.nn.RNN(sizes[0], sizes[1], nonlinearity=hidden, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_hh_l0[:] = torch.tensor(np.array(net.U))
        rnn.weight_ih_l0[:] = torch.tensor(np.array(net.W))
        rnn.bias_ih_l0[:] = torch.tensor(np.array(net.b))
        rnn.bias_hh_l0[:] = 0
        h = rnn(torch.tensor(x))[0].numpy()
    result = kelman.forward(net, x)
    np.testing.assert_allclose(result.h, h, rtol=1e-12, atol=1e-12 * np.abs(h).max())
    np.testing.assert_allclose(result.y, h @ net.V.T + net.c, rtol=1e-12, atol=1e-12 * np.abs(h).max())


def test_results_have_the_form_of_the_input() -> None:
    """One series gives (T, o), a batch (N, T, o), a list a result per series that is trimmed by indexing."""
    net = network(3, sizes=(1, 3, 2))
    x = np.random.default_rng(3).normal(size=(4, 7, 1))
    batch = kelman.forward(net, x)
    assert batch.y.shape == (4, 7, 2) and batch.h.shape == (4, 7, 3) and len(batch) == 4
    np.testing.assert_array_equal(kelman.forward(net, x[1, :, 0]).y, kelman.forward(net, x[1]).y)
    np.testing.assert_allclose(kelman.forward(net, x[1]).y, batch.y[1], rtol=1e-14)
    ragged = kelman.forward(net, [x[0, :3], x[1], x[2, :5, 0]])
    assert ragged.y.shape == (3, 7, 2) and ragged[0].y.shape == (3, 2) and ragged[-1].h.shape == (5, 3)
    assert np.isnan(ragged.y[0, 3:]).all() and np.isfinite(ragged[2].y).all()
    np.testing.assert_allclose(ragged[2].y, batch.y[2, :5], rtol=1e-14)
    np.testing.assert_allclose(kelman.forward(net, x, lengths=[3, 7, 5, 1]).y[:3], ragged.y, rtol=1e-13)
    assert "ForwardResult" in repr(ragged)


def test_going_on_from_the_last_state_equals_one_pass() -> None:
    """Two halves, the second from h0 = the last state of the first, give the numbers of one pass to the bit."""
    net = network(4, start="shared")
    x, _ = data(4, 3, 20)
    whole = kelman.forward(net, x)
    first = kelman.forward(net, x[:, :9])
    second = kelman.forward(net.replace(h0=first.h[:, -1]), x[:, 9:])
    np.testing.assert_array_equal(np.concatenate([first.y, second.y], axis=1), whole.y)


def test_threads_do_not_change_a_bit() -> None:
    """Outputs are the same to the bit for any number of threads."""
    net = network(5, sizes=(2, 20, 2))
    x, _ = data(5, 500, 40)
    one = kelman.forward(net, x, threads=1)
    for threads in (2, 4, 7):
        np.testing.assert_array_equal(kelman.forward(net, x, threads=threads).y, one.y)


def test_float32_stays_float32() -> None:
    """Float32 data and weights give float32 results near the float64 ones."""
    net = network(6)
    x, _ = data(6, 3, 30)
    narrow = kelman.forward(net.astype("float32"), x.astype("float32"))
    assert narrow.y.dtype == narrow.h.dtype == np.float32
    np.testing.assert_allclose(narrow.y, kelman.forward(net, x).y, atol=1e-5)
    assert kelman.forward(net.astype("float32"), x).y.dtype == np.float64


def test_overflow_is_reported_with_series_and_step() -> None:
    """A series that overflows is named, NaN from there on, and leaves the others as they are."""
    net = kelman.Elman([[2.0]], [[1.0]], None, [[1.0]], None, hidden="identity")
    x = np.zeros((3, 1200, 1))
    x[1, 0] = 1.0
    with pytest.raises(kelman.errors.NonFiniteError, match="1 of 3 series, first in series 1 at step 1024") as caught:
        kelman.forward(net, x)
    assert caught.value.failures == [(1, 1024)]
    result = caught.value.result
    assert result.status.tolist() == [0, 3, 0]
    assert np.isfinite(result.y[1, :1024]).all() and np.isnan(result.y[1, 1024:]).all()
    assert (result.y[[0, 2]] == 0).all()
    with pytest.warns(kelman.errors.NumericalWarning, match="unstable"):
        kelman.forward(net, x, on_error="warn")
    assert np.isnan(kelman.forward(net, x, on_error="nan").y[1, -1]).all()


def test_sizes_beyond_one_block_agree() -> None:
    """Large layers, whose products are taken in panels, equal the plain loop."""
    net = network(7, "tanh", sizes=(3, 300, 4))
    x, _ = data(7, 40, 4, 3, 4)
    np.testing.assert_allclose(kelman.forward(net, x).y, elman_forward(net, x)[0], rtol=1e-12, atol=1e-12)


def test_the_core_knows_the_words_of_the_table() -> None:
    """The activations of C++ and of Python are the same words in the same order."""
    from kelman import _core
    from kelman.models._activation import ACTIVATIONS

    assert tuple(ACTIVATIONS) == _core.activations


def test_the_table_in_numpy_equals_the_core() -> None:
    """Functions and derivatives of the NumPy table are those that the core uses."""
    from kelman.models._activation import ACTIVATIONS

    s = np.linspace(-30, 30, 601)
    for word, row in ACTIVATIONS.items():
        net = kelman.Elman([[0.0]], [[1.0]], None, [[1.0]], None, hidden=word)
        np.testing.assert_allclose(kelman.forward(net, s[:, None, None]).h[:, 0, 0], row.function(s), rtol=1e-14)
        gradient = [kelman.loss_and_grad(net, [v], [row.function(np.array([v]))[0] - 0.5])[1].b[0] for v in s]
        np.testing.assert_allclose(gradient, row.derivative(s), rtol=1e-9, atol=1e-14)


def test_memory_that_is_not_aligned_is_copied() -> None:
    """Numbers at an odd address are those of their values."""
    net, x = network(3, "tanh"), data(4, 3, 5)[0]
    odd = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view("f8").reshape(x.shape)
    assert not odd.flags.aligned
    np.testing.assert_array_equal(kelman.forward(net, odd).y, kelman.forward(net, x).y)
