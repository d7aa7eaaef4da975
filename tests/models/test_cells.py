"""GRU, LSTM, Elman with a skip path, Stack and Bidirectional as values."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.models import Cell, NetworkDims
from tests.rnn.cells import CELLS, COMPOSED, both, elman, gru, lstm


def _arrays(net: Any) -> list[np.ndarray]:
    """All arrays of a network, in the order of the vector of parameters, and its starts."""
    if isinstance(net, kelman.Stack):
        return [array for layer in net.layers for array in _arrays(layer)]
    if isinstance(net, kelman.Bidirectional):
        return [*_arrays(net.forward), *_arrays(net.backward), *net.weights.values()]
    starts = [getattr(net, name) for name in net.STARTS]
    return [*net.weights.values(), *(start for start in starts if start is not None)]


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_keeps_what_it_was_given(kind: str) -> None:
    """Sizes, precision and arrays come back; arrays are read-only; fields are frozen; pickles and copies are equal."""
    net = CELLS[kind](1, direct=True, start="shared")
    assert net.dims == NetworkDims(3, 2, 2, None)
    assert net.dtype == np.float64
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), net.replace()):
        assert type(twin) is type(net) and repr(twin) == repr(net)
        for one, two in zip(_arrays(twin), _arrays(net), strict=True):
            np.testing.assert_array_equal(one, two)
            assert not one.flags.writeable
    with pytest.raises(FrozenInstanceError):
        net.U = net.U
    assert net.replace(h0=np.zeros((5, 3)), **({"c0": None} if kind.startswith("lstm") else {})).dims.N == 5
    narrow = net.astype("float32")
    assert narrow.dtype == np.float32 and all(array.dtype == np.float32 for array in _arrays(narrow))
    assert narrow.astype(np.float32) is narrow
    with pytest.raises(KelmanError, match="dtype: expected float32 or float64, got int64"):
        net.astype(int)


@pytest.mark.parametrize("kind", COMPOSED)
def test_networks_of_several_cells_are_values_too(kind: str) -> None:
    """Sizes and precision of the whole; pickles and copies are equal."""
    net = COMPOSED[kind](1)
    assert net.dims.inputs == 2 and net.dtype == np.float64
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), net.replace()):
        assert repr(twin) == repr(net) and twin.dims == net.dims
        for one, two in zip(_arrays(twin), _arrays(net), strict=True):
            np.testing.assert_array_equal(one, two)
    narrow = net.astype("float32")
    assert narrow.dtype == np.float32 and all(array.dtype == np.float32 for array in _arrays(narrow))
    assert narrow.astype("float32") is narrow
    with pytest.raises(KelmanError, match="replace: no field 'U'"):
        net.replace(U=np.eye(2))


def test_a_person_can_read_what_a_network_is() -> None:
    """repr names sizes, options and words."""
    assert repr(gru(1, reset="before", read=False)) == "GRU(2 -> 3, reset='before', float64)"
    net = lstm(1, peepholes=True, start=4, direct=True).replace(inputs=("z", "u"), target="z_next")
    assert repr(net) == (
        "LSTM(2 -> 3 -> 2 identity, peepholes P, direct term D, h0 for 4 series, c0 for 4 series, inputs=('z', 'u'), "
        "target='z_next', float64)"
    )
    assert repr(elman(1, skip="AB")) == "Elman(2 -> 3 tanh -> 2 identity, skip path A, B, float64)"
    assert repr(both(1)) == "Bidirectional(GRU 2 -> 3 + 4 -> 2 identity, float64)"
    assert repr(kelman.Stack([gru(1, read=False), lstm(1, i=3)])) == "Stack(GRU 2 -> 3, LSTM 3 -> 3 -> 2, float64)"


def test_what_is_left_out_is_zero_or_not_there() -> None:
    """b, c and (reset after) d are zeros; D, P, h0, c0, A, B are None."""
    one = kelman.GRU(np.ones((6, 2)), np.ones((6, 1)), V=[[1.0, 2.0]])
    assert one.b.tolist() == [0] * 6 and one.c.tolist() == [0] and one.d.tolist() == [0, 0]
    assert one.D is None and one.h0 is None and one.output == "identity"
    assert kelman.GRU(np.ones((6, 2)), np.ones((6, 1)), reset="before").d is None
    two = kelman.LSTM(np.ones((8, 2)), np.ones((8, 1)))
    assert two.P is None and two.c0 is None and two.V is None and two.c is None and two.dims.outputs == 2
    three = kelman.Elman([[1.0]], [[1.0]], None, None, None)
    assert three.A is None and three.B is None and three.V is None and three.dims.outputs == 1
    assert three.astype("float32").c is None
    assert isinstance(three, Cell) and list(three.weights) == ["U", "W", "b"]


GRU = {"U": np.ones((6, 2)), "W": np.ones((6, 1))}
LSTM = {"U": np.ones((8, 2)), "W": np.ones((8, 1))}
ELMAN = {"U": np.eye(2), "W": np.ones((2, 1)), "b": None, "V": np.ones((1, 2)), "c": None}


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (kelman.GRU, {**GRU, "U": np.ones((5, 2))}, r"U: expected shape \(6, 2\) for 2 hidden units .columns of U."),
        (kelman.GRU, {**GRU, "W": np.ones((4, 1))}, r"W: expected shape \(6, 1\) .* 3 blocks of rows, one per gate"),
        (kelman.GRU, {**GRU, "U": np.ones(6)}, r"U: expected a matrix of shape \(3 h, h\), got shape \(6,\); use U"),
        (kelman.GRU, {**GRU, "d": [1.0]}, r"d: expected shape \(2,\)"),
        (kelman.GRU, {**GRU, "d": [1.0, 2.0], "reset": "before"}, 'd: with reset="before" there is no offset'),
        (kelman.GRU, {**GRU, "reset": "never"}, "reset: expected one of 'after', 'before', got 'never'"),
        (kelman.GRU, {**GRU, "c": [1.0]}, "c: without V the state is the output"),
        (kelman.GRU, {**GRU, "output": "tanh"}, "output: without V the state is the output"),
        (kelman.LSTM, {**LSTM, "P": np.ones((2, 2))}, r"P: expected shape \(3, 2\)"),
        (
            kelman.LSTM,
            {**LSTM, "h0": np.ones((3, 2)), "c0": np.ones((4, 2))},
            r"c0: expected starts for as many series",
        ),
        (kelman.LSTM, {**LSTM, "c0": [np.nan, 0]}, "c0: every entry must be finite"),
        (kelman.LSTM, {**LSTM, "U": None}, "U: a network needs this weight matrix, got None"),
        (kelman.Elman, {**ELMAN, "A": np.eye(3)}, r"A: expected shape \(2, 2\)"),
        (kelman.Elman, {**ELMAN, "B": np.eye(2)}, r"B: expected shape \(2, 1\)"),
        (kelman.Elman, {**ELMAN, "V": None, "D": [[1.0]]}, "D: without V the state is the output"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(make: Any, given: dict[str, Any], message: str) -> None:
    """The message names the argument and what was expected."""
    with pytest.raises(KelmanError, match=message):
        make(**given)


def test_cells_that_do_not_fit_together_are_refused() -> None:
    """Stack and Bidirectional say which part is wrong."""
    bare, read = gru(1, read=False), gru(1)
    for layers, message in (
        ([], "layers: expected at least one"),
        (bare, "layers: expected a sequence of networks, got one"),
        (3, "layers: expected a sequence of networks, got a int"),
        ([bare, 3], r"layers\[1\]: expected an Elman"),
        ([read, lstm(1, i=3)], r"layers\[0\]: only the last layer may have a readout"),
        ([bare, lstm(1, i=4)], r"layers\[1\]: expected 3 inputs, the units of the layer below, got 4"),
        ([gru(1, read=False, start=2), lstm(1, i=3, start=3)], r"layers: expected starts for one number of series"),
    ):
        with pytest.raises(KelmanError, match=message):
            kelman.Stack(layers)  # type: ignore[arg-type]
    for parts, options, message in (
        ((bare, 3), {}, "backward: expected an Elman, GRU or LSTM network"),
        ((read, bare), {}, r"forward: expected a cell without a readout \(V=None\)"),
        ((bare, lstm(1, read=False)), {}, "backward: expected GRU as forward is, got LSTM"),
        ((bare, gru(1, i=3, read=False)), {}, "backward: expected 2 inputs, got 3"),
        ((bare, bare), {"V": np.ones((1, 5))}, r"V: expected shape \(o, 6\)"),
        ((bare, bare), {"V": np.ones((1, 6)), "D": np.ones((1, 3))}, r"D: expected shape \(1, 2\)"),
        ((bare, bare), {"c": [1.0]}, "c: without V"),
    ):
        with pytest.raises(KelmanError, match=message):
            kelman.Bidirectional(*parts, **options)


def test_mixed_precision_becomes_float64() -> None:
    """One float64 cell makes all of a network float64."""
    narrow = gru(1, read=False).astype("float32")
    assert kelman.Stack([narrow, narrow.replace(W=np.ones((9, 3), np.float32))]).dtype == np.float32
    mixed = kelman.Stack([narrow, lstm(1, i=3)])
    assert mixed.dtype == np.float64 and mixed.layers[0].dtype == np.float64
    assert kelman.Bidirectional(narrow, narrow, np.ones((1, 6))).forward.dtype == np.float64


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("kind", [*CELLS, *COMPOSED])
def test_packing_and_unpacking_are_inverse(kind: str, learn_h0: bool) -> None:
    """The vector holds every array in the stated order, and goes back into the same network."""
    net = CELLS[kind](3, start="shared", direct=True) if kind in CELLS else COMPOSED[kind](3)
    if kind not in CELLS and learn_h0:
        vector = kelman.rnn.pack(net, learn_h0=True)
        assert np.isfinite(kelman.forward(kelman.rnn.unpack(net, vector, learn_h0=True), np.ones((4, 2))).y).all()
        return
    expected = _arrays(net) if learn_h0 or kind not in CELLS else list(net.weights.values())
    vector = kelman.rnn.pack(net, learn_h0=learn_h0)
    np.testing.assert_array_equal(vector, np.concatenate([array.ravel() for array in expected]))
    again = kelman.rnn.unpack(net, 2 * vector, learn_h0=learn_h0)
    np.testing.assert_array_equal(kelman.rnn.pack(again, learn_h0=learn_h0), 2 * vector)
    assert repr(again) == repr(net)
    with pytest.raises(KelmanError, match=r"vector: expected shape"):
        kelman.rnn.unpack(net, vector[1:], learn_h0=learn_h0)
