"""The Elman network as a value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError

GOOD: dict[str, Any] = {
    "U": [[0.5, 0.1], [0.0, 0.4]],
    "W": [[1.0], [2.0]],
    "b": [0.1, 0.2],
    "V": [[1.0, -1.0]],
    "c": [0.3],
    "h0": [0.0, 1.0],
    "D": [[0.7]],
}


def test_a_network_keeps_what_it_was_given() -> None:
    """Weights, words and sizes come back as given, and missing offsets are zeros."""
    net = kelman.Elman(**GOOD, hidden="relu", output="sigmoid", inputs=["z"], target="z_next")
    for name, value in GOOD.items():
        np.testing.assert_array_equal(getattr(net, name), value)
    assert net.dims == (2, 1, 1, None) and net.dtype == np.float64 and not net.is_linear
    assert (net.hidden, net.output, net.inputs, net.target) == ("relu", "sigmoid", ("z",), "z_next")
    bare = kelman.Elman(GOOD["U"], GOOD["W"], None, GOOD["V"], None)
    assert bare.b.tolist() == [0, 0] and bare.c.tolist() == [0] and bare.h0 is None and bare.D is None
    assert bare.replace(h0=np.zeros((5, 2))).dims.N == 5


def test_nothing_can_change_a_network() -> None:
    """Fields are frozen, arrays read-only, and the user's writeable arrays are copied, read-only ones are not."""
    U = np.array(GOOD["U"])
    net = kelman.Elman(**{**GOOD, "U": U})
    U[0, 0] = 9.0
    assert net.U[0, 0] == 0.5
    with pytest.raises(FrozenInstanceError):
        net.U = U  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        net.U[0, 0] = 1.0
    again = kelman.Elman(**{**GOOD, "U": net.U})
    assert np.shares_memory(again.U, net.U)


def test_copies_and_pickles_are_equal_and_read_only() -> None:
    """Pickling and deep copies keep every field and the protection."""
    net = kelman.Elman(**GOOD, hidden="softplus", inputs=("u",), target="z")
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copy.copy(net)):
        for name in GOOD:
            np.testing.assert_array_equal(getattr(twin, name), getattr(net, name))
            assert not getattr(twin, name).flags.writeable
        assert (twin.hidden, twin.inputs, twin.target) == ("softplus", ("u",), "z")
    assert net != pickle.loads(pickle.dumps(net)), "networks are compared by identity, not by content"
    assert hash(net) == hash(net)


def test_dtype_follows_the_weights() -> None:
    """Float32 stays, one float64 makes all float64, integers and booleans become float64; astype converts all."""
    narrow = {name: np.float32(value) for name, value in GOOD.items()}
    assert kelman.Elman(**narrow).dtype == np.float32
    assert kelman.Elman(**{**narrow, "b": np.array([0.1, 0.2])}).dtype == np.float64
    assert kelman.Elman([[1]], [[True]], [0], [[2]], None).dtype == np.float64
    net = kelman.Elman(**GOOD, inputs=("z",))
    assert net.astype("float32").D.dtype == np.float32 and net.astype("float32").inputs == ("z",)
    assert net.astype(np.float64) is net
    for wrong in ("int64", "float16", "complex128"):
        with pytest.raises(KelmanError, match="dtype: expected float32 or float64"):
            net.astype(wrong)


def test_replace_checks_like_a_new_network() -> None:
    """A changed copy is checked as a whole, and unknown fields are refused with the list of known ones."""
    net = kelman.Elman(**GOOD)
    assert net.replace(hidden="identity").hidden == "identity" and net.hidden == "tanh"
    assert net.replace(D=None).D is None
    with pytest.raises(KelmanError, match="b: expected shape"):
        net.replace(b=[1.0])
    with pytest.raises(KelmanError, match="no field 'weights'; the fields are U"):
        net.replace(weights=1)


def test_repr_can_be_read() -> None:
    """One line says sizes, activations, and what else there is."""
    net = kelman.Elman(**GOOD, inputs=("z",), target="z_next")
    assert repr(net) == ("Elman(1 -> 2 tanh -> 1 identity, direct term D, h0, inputs=('z',), target='z_next', float64)")
    assert "h0 for 3 series" in repr(net.replace(h0=np.zeros((3, 2))))


WRONG = {
    "U not square": ({"U": [[1.0, 2.0]]}, r"U: expected shape \(1, 1\)"),
    "U a vector": ({"U": [1.0, 2.0]}, r"U: expected a matrix of shape \(h, h\), got shape \(2,\)"),
    "W a vector": ({"W": [1.0, 2.0]}, r"use W\[:, None\]"),
    "W of other rows": ({"W": [[1.0]]}, r"W: expected shape \(2, 1\)"),
    "b of other size": ({"b": [1.0]}, r"b: expected shape \(2,\)"),
    "b a column": ({"b": [[1.0], [2.0]]}, r"b: expected shape \(2,\)"),
    "V of other columns": ({"V": [[1.0]]}, r"V: expected shape \(1, 2\)"),
    "c of other size": ({"c": [1.0, 2.0]}, r"c: expected shape \(1,\)"),
    "D of other shape": ({"D": [[1.0, 2.0]]}, r"D: expected shape \(1, 1\)"),
    "h0 of other size": ({"h0": [1.0]}, r"h0: expected shape \(2,\) or \(N, 2\)"),
    "h0 for no series": ({"h0": np.zeros((0, 2))}, r"h0: expected shape"),
    "no units": ({"U": np.zeros((0, 0))}, "U: expected at least one row"),
    "no U": ({"U": None}, "U: a network needs"),
    "nan": ({"W": [[1.0], [np.nan]]}, r"W: every entry must be finite, got nan at index \[1, 0\]"),
    "infinity": ({"c": [np.inf]}, "c: every entry must be finite"),
    "complex": ({"U": np.eye(2) * 1j}, "U: expected real numbers"),
    "longdouble": ({"U": np.eye(2, dtype=np.longdouble)}, "U: expected real numbers"),
    "objects": ({"V": np.array([[None, 1]])}, "V: expected real numbers"),
    "strings": ({"V": [["a", "b"]]}, "V: expected real numbers"),
    "ragged": ({"U": [[1.0, 2.0], [1.0]]}, "U: cannot be read"),
    "hidden": ({"hidden": "cosine"}, "hidden: expected one of 'identity', 'tanh'"),
    "output": ({"output": None}, "output: expected one of"),
    "inputs as text": ({"inputs": "z"}, "inputs: expected one word per input column"),
    "too many inputs": ({"inputs": ("z", "u")}, "inputs: expected 1 words"),
    "unknown input": ({"inputs": ("y",)}, "inputs: expected words out of 'z', 'u', 'z_prev', 'u_prev', got 'y'"),
    "inputs a number": ({"inputs": 3}, "inputs: expected a tuple"),
    "unknown target": ({"target": "y"}, "target: expected None or one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_weights_are_refused_by_name(case: str) -> None:
    """Every wrong weight or word raises an error that names it and says what was expected."""
    change, words = WRONG[case]
    with pytest.raises(KelmanError, match=words):
        kelman.Elman(**{**GOOD, **change})
