"""Wrong arguments of StateSpace, one by one: the error names the argument and says what was expected."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError

I2, H1, R1 = np.eye(2), np.array([[1.0, 0.0]]), np.array([[1.0]])
GOOD: dict[str, Any] = {
    "A": I2 / 2, "H": H1, "Q": I2, "R": R1, "B": np.ones((2, 3)), "D": np.ones((1, 3)), "b": np.ones(2), "c": np.ones(1),
    "S": np.zeros((2, 1)),
}  # fmt: skip
STARTS: dict[str, dict[str, Any]] = {
    "m0": {"m0": np.zeros(2), "P0": I2}, "P0": {"m0": np.zeros(2), "P0": I2}, "m1": {"m1": np.zeros(2), "P1": I2},
    "P1": {"m1": np.zeros(2), "P1": I2}, "P1_inf": {"m1": np.zeros(2), "P1": I2, "P1_inf": I2},
}  # fmt: skip
NAMES = (*GOOD, *STARTS)
COVARIANCES = ("Q", "R", "P0", "P1", "P1_inf")


def build(name: str, value: Any) -> kelman.StateSpace:
    """A model with one argument changed."""
    return kelman.StateSpace(**(GOOD | STARTS.get(name, {}) | {name: value}))


def right(name: str) -> np.ndarray:
    """The right value of an argument."""
    return np.asarray((GOOD | STARTS.get(name, {}))[name], dtype=float)


WRONG_KIND: dict[str, Any] = {
    "complex": lambda a: a.astype(complex),
    "longdouble": lambda a: a.astype(np.longdouble),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "dates": lambda a: a.astype("datetime64[s]"),
    "one word": lambda _: "abc",
    "ragged list": lambda _: [[1.0, 2.0], [1.0]],
    "nan": lambda a: a * np.nan,
    "infinite": lambda a: a + np.inf,
    "masked": lambda a: np.ma.masked_array(a, True),
    "a number": lambda _: 1.0,
    "zero size": lambda a: a[:0],
    "too many axes": lambda a: a[None, None, None],
    "a dictionary": lambda _: {"a": 1},
    "a function": lambda _: np.sin,
    "a set": lambda _: {1.0},
}


@pytest.mark.parametrize("kind", WRONG_KIND)
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_kind_of_value_is_refused_by_name(name: str, kind: str) -> None:
    """Each argument, given each kind of value that it cannot be, is named in the error."""
    with pytest.raises(KelmanError, match=rf"^{name}: "):
        build(name, WRONG_KIND[kind](right(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_size_is_refused_by_name(name: str) -> None:
    """One more row, or one more column, than the other arrays have."""
    value = right(name)
    longer = np.concatenate([value, value[:1]])
    refused = {name} if name != "A" else {"A", "H", "Q", "B", "b", "S"}
    if name in ("H", "D", "c"):
        refused |= {"R", "H", "D", "c", "S"}
    with pytest.raises(KelmanError) as caught:
        build(name, longer)
    assert str(caught.value).split(":")[0] in refused
    if value.ndim == 2:
        wider = np.concatenate([value, value[:, :1]], axis=1)
        with pytest.raises(KelmanError) as caught:
            build(name, wider)
        assert str(caught.value).split(":")[0] in refused | {"H", "D", "B"}


@pytest.mark.parametrize("name", COVARIANCES)
def test_an_asymmetric_covariance_is_refused(name: str) -> None:
    """The two entries that differ are shown."""
    if name == "R":
        with pytest.raises(KelmanError, match=r"R: must be symmetric.*entry \[0, 1\] is 0.5 and entry \[1, 0\] is 0"):
            kelman.StateSpace(I2, I2, I2, [[1, 0.5], [0, 1]])
        return
    with pytest.raises(KelmanError, match=rf"{name}: must be symmetric.*entry \[0, 1\] is 0.5 and entry \[1, 0\] is 0"):
        build(name, [[1.0, 0.5], [0.0, 1.0]])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", COVARIANCES)
def test_an_indefinite_covariance_is_refused_at_any_scale(name: str, scale: float) -> None:
    """The eigenvalue below zero is shown."""
    value = scale * np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(
        KelmanError, match=rf"{name}: must be positive semi-definite.*eigenvalue is {re.escape(f'{-scale:.6g}')}"
    ):
        kelman.StateSpace(I2, I2, I2, value) if name == "R" else build(name, value)


def test_a_small_negative_variance_beside_a_big_one_is_refused() -> None:
    """Badly scaled states do not hide an indefinite covariance."""
    with pytest.raises(KelmanError, match="Q: must be positive semi-definite"):
        build("Q", np.diag([1e12, -1.0]))


def test_the_place_of_a_bad_covariance_is_named() -> None:
    """Series and time of the first indefinite matrix are in the message."""
    Q = np.broadcast_to(I2, (4, 5, 2, 2)).copy()
    Q[2, 3] = [[1, 2], [2, 1]]
    with pytest.raises(KelmanError, match=r"\(at series 2, time 3\)"):
        build("Q", Q)


def test_a_joint_covariance_that_cannot_be_is_refused() -> None:
    """S too big for Q and R: the joint matrix and its eigenvalue are named."""
    with pytest.raises(KelmanError, match=r"S: the joint covariance .* smallest eigenvalue is -0.5"):
        build("S", [[1.5], [0.0]])
    with pytest.raises(KelmanError, match="S: the joint covariance"):
        kelman.StateSpace(I2, H1, 0 * I2, R1, S=[[1e-3], [0]])


@pytest.mark.parametrize("name", ["A", "H", "Q", "R", "B", "D", "b", "c", "S"])
def test_two_time_axes_of_different_lengths_show_the_cure(name: str) -> None:
    """A leading axis that is neither 1 nor T is refused, with the index expression for one matrix per series."""
    other = "Q" if name != "Q" else "A"
    value = {other: np.stack([right(other)] * 7), name: np.stack([right(name)] * 3)}
    late = name if list(GOOD).index(name) > list(GOOD).index(other) else other
    with pytest.raises(KelmanError, match=rf"^{late}: its time axis has length .* {late}\[:, None\]"):
        kelman.StateSpace(**(GOOD | value))


def test_two_series_axes_of_different_lengths_are_refused() -> None:
    """The error names both arrays and both numbers of series."""
    with pytest.raises(KelmanError, match="H: is for 4 series, but A is for 3"):
        kelman.StateSpace(np.stack([I2] * 3)[:, None], np.stack([H1] * 4)[:, None], I2, R1)
    with pytest.raises(KelmanError, match="m1: is for 4 series, but A is for 3"):
        kelman.StateSpace(np.stack([I2] * 3)[:, None], H1, I2, R1, m1=np.zeros((4, 2)), P1=I2)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"m0": [0, 0]}, "m0 was given without P0"),
        ({"P0": I2}, "P0 was given without m0"),
        ({"m1": [0, 0]}, "m1 was given without P1"),
        ({"P1": I2}, "P1 was given without m1"),
        ({"m0": [0, 0], "P0": I2, "m1": [0, 0], "P1": I2}, "given in two ways, m0 and P0"),
        ({"m0": [0, 0], "P1": I2}, "given in two ways, m0 .* and P1"),
        ({"m0": [0, 0], "P0": I2, "P1_inf": I2}, "given in two ways"),
        ({"m0": [0, 0], "P0": I2, "initial": "diffuse"}, "given in two ways, m0 and P0 and initial='diffuse'"),
        ({"m1": [0, 0], "P1": I2, "initial": "stationary"}, "given in two ways, m1 and P1 and initial='stationary'"),
        ({"initial": "x0"}, "initial: 'x0' needs m0 and P0"),
        ({"initial": "x1"}, "initial: 'x1' needs m1 and P1"),
        ({"initial": "zero"}, "initial: expected one of 'stationary', 'diffuse', 'auto'"),
        ({"initial": None}, "initial: expected one of"),
        ({"input_lag": 2}, "input_lag: expected 0 or 1, got 2"),
        ({"m0": [0, 0], "P0": I2, "input_lag": 1}, "m0, P0: a model with input_lag=1 starts at the first measurement"),
    ],
)
def test_the_start_is_given_in_one_way_at_a_time(start: dict[str, Any], message: str) -> None:
    """Two starts, or half a start, are refused with the names of what was given."""
    with pytest.raises(KelmanError, match=message):
        kelman.StateSpace(I2 / 2, H1, I2, R1, **start)


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("A", 0.5, r"write \[\[0.5\]\]"),
        ("b", 0.5, r"write \[0.5\]"),
        ("H", [1.0, 0.0], r"H\[None, :\]"),
        ("B", [1.0, 0.0], r"B\[:, None\]"),
        ("H", [[1.0], [0.0]], "looks transposed"),
        ("B", np.ones((3, 2)), "looks transposed|n = 2 in A"),
        ("A", np.ones((2, 3)), "square"),
    ],
)
def test_common_slips_come_with_a_cure(name: str, value: Any, cure: str) -> None:
    """Scalars, vectors and transposed matrices are met with what to write instead."""
    with pytest.raises(KelmanError, match=cure):
        build(name, value)


def test_no_arguments_of_the_required_ones_may_be_none() -> None:
    """A, H, Q and R are needed; None is named."""
    for name in "AHQR":
        with pytest.raises(KelmanError, match=rf"^{name}: expected an array of numbers, got None"):
            build(name, None)


def test_zero_inputs_are_no_inputs() -> None:
    """B of shape (n, 0) is allowed and means that there are none."""
    held = kelman.StateSpace(I2 / 2, H1, I2, R1, B=np.zeros((2, 0)))
    assert held.dims.p == 0
    assert kelman.filter(held, [1.0, 2.0]).mean.shape == (2, 2)
