"""One series, or few, are computed by other kernels than many: the numbers must not tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from tests.rnn.cells import CELLS, both

ENDS = np.array([40, 1, 17, 39])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("h", [3, 16, 37])
@pytest.mark.parametrize("kind", CELLS)
def test_a_series_alone_has_the_bits_that_it_has_among_others(kind: str, h: int, dtype: str) -> None:
    """Outputs, states and memories of 1, 2 and 4 series, complete and ragged, with and without states and a readout."""
    for read, direct in ((True, True), (False, False)):
        net = CELLS[kind](1, h=h, read=read, direct=direct, start="shared").astype(dtype)
        x = np.random.default_rng(h).normal(size=(40, 40, 2)).astype(dtype)
        many = kelman.forward(net, x)
        for count in (1, 2, 4):
            few = kelman.forward(net, x[:count])
            np.testing.assert_array_equal(few.y, many.y[:count])
            np.testing.assert_array_equal(few.h, many.h[:count])
            if many.c is not None:
                np.testing.assert_array_equal(few.c, many.c[:count])
            np.testing.assert_array_equal(kelman.forward(net, x[:count], store="outputs", threads=3).y, many.y[:count])
            ragged = kelman.forward(net, x[:count], lengths=ENDS[:count])
            for n in range(count):
                np.testing.assert_array_equal(ragged.y[n, : ENDS[n]], many.y[n, : ENDS[n]])
                assert np.isnan(ragged.y[n, ENDS[n] :]).all() and np.isnan(ragged.h[n, ENDS[n] :]).all()
        np.testing.assert_array_equal(kelman.forward(net, x[0]).y, many.y[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("h", [3, 37])
def test_starts_and_strides_of_few_series(h: int, dtype: str) -> None:
    """A start for each series; inputs that are every other step of a longer array."""
    net = CELLS["lstm with peepholes"](2, h=h, start=2).astype(dtype)
    x = np.random.default_rng(1).normal(size=(2, 80, 2)).astype(dtype)[:, ::2]
    both_ = kelman.forward(net, x)
    for n in range(2):
        alone = kelman.forward(net.replace(h0=net.h0[n], c0=net.c0[n]), x[n])
        np.testing.assert_array_equal(alone.y, both_.y[n])
        np.testing.assert_array_equal(alone.c, both_.c[n])
    many = kelman.forward(net.replace(h0=np.repeat(net.h0, 20, 0), c0=np.repeat(net.c0, 20, 0)), np.repeat(x, 20, 0))
    np.testing.assert_array_equal(many.h[::20], both_.h)


@pytest.mark.parametrize("hidden", ["identity", "relu"])
def test_an_overflow_of_one_series_is_named(hidden: Any) -> None:
    """As of many: the step at which it happens, NaN from there on; an input that is not finite is refused first."""
    h = 40
    net = kelman.Elman(2 * np.eye(h), np.ones((h, 1)), None, np.ones((1, h)), None, hidden=hidden, output="tanh")
    x = np.zeros((1, 1200, 1))
    x[0, 0] = 1.0
    one, many = (kelman.forward(net, given, on_error="nan") for given in (x, np.repeat(x, 30, 0)))
    assert one.status.tolist() == [3] and many.status.tolist() == [3] * 30
    np.testing.assert_array_equal(one.y, many.y[:1])
    np.testing.assert_array_equal(one.h, many.h[:1])
    with pytest.raises(kelman.errors.NonFiniteError, match="series 0 at step 1024"):
        kelman.forward(net, x[0])
    for bad in (np.nan, np.inf):
        x[0, 700] = bad
        with pytest.raises(kelman.errors.KelmanError, match=f"got {bad} in series 0, step 700, column 0"):
            kelman.forward(net, x[0], on_error="nan")


def test_both_directions_of_one_series() -> None:
    """A bidirectional network of one series is that of many."""
    net = both(1, h=30)
    x = np.random.default_rng(3).normal(size=(40, 50, 2))
    np.testing.assert_array_equal(kelman.forward(net, x[7]).h, kelman.forward(net, x).h[7])


def test_a_long_series_alone() -> None:
    """After 100,000 steps of one series the bits are still those of a batch."""
    net = CELLS["gru"](4, h=16)
    x = np.random.default_rng(5).normal(size=(100_000, 2))
    np.testing.assert_array_equal(
        kelman.forward(net, x).y, kelman.forward(net, np.stack([x] * 9), store="outputs").y[4]
    )
