"""StateSpace as a value: what it holds, what it refuses to be, what can be made of it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, ModelTypeError, ModelWarning

I2 = np.eye(2)
H1 = np.array([[1.0, 0.0]])
R1 = np.array([[1.0]])


def model(**changes: Any) -> kelman.StateSpace:
    """A model of two states and one measured value."""
    return kelman.StateSpace(**({"A": I2 / 2, "H": H1, "Q": I2, "R": R1} | changes))


def test_arrays_are_read_only_and_do_not_follow_the_users_array() -> None:
    """Writing to what was given changes nothing, and writing to what is held is refused."""
    A = np.eye(2) / 2
    held = model(A=A)
    A[0, 0] = 7.0
    assert held.A[0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        held.A[0, 0] = 7.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        held.A = A


def test_a_read_only_array_is_kept_without_a_copy() -> None:
    """An array that nobody can write to is shared, also a read-only view of one; a view of a writeable one is copied."""
    A = np.eye(2) / 2
    A.flags.writeable = False
    assert np.shares_memory(model(A=A).A, A)
    assert np.shares_memory(model(A=A[:]).A, A)
    base = np.eye(2) / 2
    view = base[:]
    view.flags.writeable = False
    assert not np.shares_memory(model(A=view).A, base)


def test_a_broadcast_array_stays_broadcast() -> None:
    """A stride of zero survives, so that a constant given for 10^6 steps takes no memory."""
    held = model(A=np.broadcast_to(I2 / 2, (1_000_000, 2, 2)))
    assert held.A.shape == (1_000_000, 2, 2)
    assert held.A.strides[0] == 0
    assert held.astype(np.float32).A.strides[0] == 0


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.float64, np.float64), np.float64),
        ((np.float32, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.int64, np.float32), np.float64),
        ((bool, np.int8), np.float64),
        ((">f8", "<f8"), np.float64),
        ((">f4", "<f4"), np.float32),
        ((np.float16, np.float32), np.float32),
    ],
)
def test_one_dtype_for_all_arrays(dtypes: tuple[Any, Any], expected: Any) -> None:
    """float32 only if all are; integers and booleans count as float64; byte order does not matter."""
    a, b = dtypes
    held = kelman.StateSpace(I2.astype(a), H1.astype(a), I2.astype(b), R1.astype(b))
    assert held.dtype == expected
    assert held.dtype.isnative
    assert {array.dtype for array in (held.A, held.H, held.Q, held.R)} == {np.dtype(expected)}
    assert held.A.tolist() == I2.tolist()


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", ["fortran", "negative", "strided", "unaligned", "matrix", "list", "masked"])
def test_any_memory_layout_gives_the_same_numbers(kind: str) -> None:
    """Fortran order, negative strides, gaps, unaligned memory and array-likes all become the same C-ordered array."""
    wanted = np.arange(4.0).reshape(2, 2) / 8
    raw = bytearray(b"x" + wanted.tobytes())
    given: Any = {
        "fortran": lambda: np.asfortranarray(wanted),
        "negative": lambda: wanted[::-1, ::-1].copy()[::-1, ::-1],
        "strided": lambda: np.repeat(np.repeat(wanted, 2, 0), 3, 1)[::2, ::3],
        "unaligned": lambda: np.frombuffer(raw, dtype=np.float64, offset=1).reshape(2, 2),
        "matrix": lambda: np.asmatrix(wanted),
        "list": lambda: wanted.tolist(),
        "masked": lambda: np.ma.masked_array(wanted, False),
    }[kind]()
    held = model(A=given).A
    np.testing.assert_array_equal(held, wanted)
    assert type(held) is np.ndarray
    assert held.flags.c_contiguous
    assert held.flags.aligned


def test_dims_say_what_varies() -> None:
    """N and T come from whichever array has them, and are None when none has."""
    assert model().dims == (2, 1, 0, None, None)
    assert model().is_constant
    assert model(Q=np.stack([I2] * 5)).dims.T == 5
    assert model(Q=np.stack([I2] * 5)[:, None]).dims == (2, 1, 0, 5, None)
    assert model(R=np.ones((3, 4, 1, 1)), B=np.ones((4, 2, 2))).dims == (2, 1, 2, 3, 4)
    assert model(m1=np.zeros((6, 2)), P1=I2).dims.N == 6
    assert model(b=np.zeros((4, 2))).dims.T == 4
    assert not model(b=np.zeros((4, 2))).is_constant


def test_singular_and_zero_covariances_are_models() -> None:
    """Q = 0, R = 0 and rank-one covariances computed in floating point pass the check for positive semi-definiteness."""
    g = np.array([[1e-5], [3e4]])
    for Q in (np.zeros((2, 2)), g @ g.T, g @ [[0.1]] @ g.T):
        assert model(Q=Q, R=[[0.0]]).Q.shape == (2, 2)


def test_rounding_in_a_covariance_is_forgiven_and_mirrored() -> None:
    """A covariance asymmetric by rounding is stored exactly symmetric."""
    Q = np.array([[2.0, 1.0], [1.0 + 1e-15, 2.0]])
    held = model(Q=Q).Q
    assert held[0, 1] == held[1, 0]


def test_the_innovation_form_is_a_model() -> None:
    """[[K S K', K S], [S K', S]] has rank m only, and still counts as a joint covariance, at any scale."""
    rng = np.random.default_rng(0)
    for scale in (1e-12, 1.0, 1e12):
        K, root = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
        Sigma = scale * root @ root.T
        held = kelman.StateSpace.from_shifted(np.eye(3) / 2, np.ones((2, 3)), K @ Sigma @ K.T, Sigma, S=K @ Sigma)
        assert held.input_lag == 1


def test_from_shifted_rolls_what_varies_in_time() -> None:
    """The stored A[k], B[k], b[k] lead into x_k; H, Q, S and what is constant stay where they are."""
    A = np.arange(1.0, 4.0)[:, None, None] * I2 / 4
    b, B, Q = np.arange(6.0).reshape(3, 2), np.ones((2, 1)), np.stack([I2, 2 * I2, 3 * I2])
    held = kelman.StateSpace.from_shifted(A, H1, Q, R1, B=B, b=b)
    np.testing.assert_array_equal(held.A, A[[2, 0, 1]])
    np.testing.assert_array_equal(held.b, b[[2, 0, 1]])
    np.testing.assert_array_equal(held.Q, Q)
    np.testing.assert_array_equal(held.B, B)


def test_stack_gives_each_series_its_model() -> None:
    """Model i of the stack is series i again, with zeros for the offsets that it lacks."""
    one = model(b=[1.0, 2.0], m0=[0, 0], P0=I2)
    two = model(A=I2 / 4, Q=np.stack([I2] * 3), m0=[1, 1], P0=2 * I2)
    both = kelman.StateSpace.stack([one, two])
    assert both.dims == (2, 1, 0, 2, 3)
    assert both.initial == "x0"
    np.testing.assert_array_equal(both.series(0).b, one.b)
    np.testing.assert_array_equal(both.series(1).b, [0, 0])
    np.testing.assert_array_equal(both.series(1).A, two.A)
    np.testing.assert_array_equal(both.series(1).P0, two.P0)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "models: the list is empty"),
        ([kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]])], r"models\[1\]: has n = 1, but models\[0\] has n = 2"),
        ([model(initial="diffuse")], r"models\[1\]: has initial = 'diffuse', but models\[0\] has 'auto'"),
        ([kelman.StateSpace.from_shifted(I2, H1, I2, R1)], "input_lag"),
        ([model(Q=np.stack([I2] * 3)[:, None])], r"models\[1\]: has a series axis already"),
        (["no model"], r"models\[1\]: expected a StateSpace, got str"),
    ],
)
def test_stack_refuses_models_that_do_not_fit(others: list[Any], message: str) -> None:
    """The error names the model in the list and what differs."""
    with pytest.raises(KelmanError, match=message):
        kelman.StateSpace.stack([model(), *others] if others else [])


def test_stack_refuses_time_axes_of_different_lengths() -> None:
    """Two models that vary in time must vary over the same steps."""
    with pytest.raises(KelmanError, match=r"models\[1\]: varies over 4 steps, but models\[0\] over 3"):
        kelman.StateSpace.stack([model(Q=np.stack([I2] * 3)), model(Q=np.stack([I2] * 4))])


def test_replace_checks_anew_and_keeps_the_rest() -> None:
    """A changed copy passes the same checks; the start of another kind takes the place of the old one."""
    held = kelman.StateSpace.from_shifted(I2 / 2, H1, I2, R1, m1=[1, 2], P1=I2)
    changed = held.replace(R=[[4.0]])
    assert (changed.input_lag, changed.initial, changed.R[0, 0]) == (1, "x1", 4.0)
    assert held.replace(P1=3 * I2).m1.tolist() == [1, 2]
    assert held.replace(initial="diffuse").m1 is None
    assert held.replace(P1_inf=I2).initial == "x1"
    assert model(m0=[0, 0], P0=I2).replace(m1=[1, 1], P1=I2).m0 is None
    assert model(m0=[0, 0], P0=I2).replace(m0=None, P0=None).initial == "auto"
    with pytest.raises(KelmanError, match="R: must be positive semi-definite"):
        held.replace(R=[[-1.0]])
    with pytest.raises(KelmanError, match="no argument 'r'"):
        held.replace(r=1)


def test_dataclasses_replace_works_too() -> None:
    """The standard library's replace gives the same as the method, with the lag and the start."""
    held = kelman.StateSpace.from_shifted(I2 / 2, H1, I2, R1, m1=[1, 2], P1=I2)
    changed = dataclasses.replace(held, R=[[4.0]])
    assert (changed.input_lag, changed.initial, changed.m1.tolist()) == (1, "x1", [1, 2])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles_are_the_same_read_only_value(copied: Any) -> None:
    """A round trip keeps numbers, start, lag and read-only flags."""
    held = kelman.StateSpace.from_shifted(I2 / 2, H1, I2, R1, m1=[1, 2], P1=I2, b=np.ones((3, 2)))
    kelman.filter(held, np.zeros(3))  # fills the model's private memory
    other = copied(held)
    assert (other.dims, other.initial, other.input_lag, other.dtype) == (
        held.dims,
        held.initial,
        held.input_lag,
        held.dtype,
    )
    for name in ("A", "H", "Q", "R", "b", "m1", "P1"):
        np.testing.assert_array_equal(getattr(other, name), getattr(held, name))
        assert not getattr(other, name).flags.writeable
    assert other != held  # values without equality: arrays have none


def test_astype_converts_every_array() -> None:
    """astype gives all arrays in the wanted dtype, itself if there is nothing to do, and refuses others."""
    held = model(m0=[0.0, 1.0], P0=I2)
    small = held.astype("float32")
    assert {small.A.dtype, small.m0.dtype, small.P0.dtype} == {np.dtype(np.float32)}
    assert held.astype(float) is held
    assert held.astype(np.float32) is small
    for wrong in (np.longdouble, int, complex, "no dtype", ">f8"):
        with pytest.raises(KelmanError, match="dtype: expected float64 or float32"):
            held.astype(wrong)


def test_what_float32_cannot_hold_is_refused() -> None:
    """1e300 has no float32: the array is named."""
    with pytest.raises(KelmanError, match=r"Q: every entry must be finite, got inf .* what float32 makes of it"):
        model(Q=1e300 * I2).astype("f4")


def test_window_cuts_the_time_axes() -> None:
    """The steps from first up to stop, of whatever varies; a constant model is its own window."""
    held = model(Q=np.arange(1.0, 6.0)[:, None, None] * I2, b=np.ones((1, 1, 2)))
    assert held.window(1, 4).Q[:, 0, 0].tolist() == [2, 3, 4]
    assert model().window(3, 9).dims == model().dims
    for first, stop in ((0, 6), (3, 3), (-1, 2), (2, 1)):
        with pytest.raises(KelmanError, match=r"window|first|stop"):
            held.window(first, stop)


def test_series_gives_one_models_arrays() -> None:
    """Without a series axis; a shared model is the model of every series."""
    held = model(Q=np.stack([I2, 2 * I2])[:, None], m1=np.zeros((2, 2)), P1=I2)
    assert held.series(1).Q.tolist() == (2 * I2).tolist()
    assert held.series(1).dims.N is None
    with pytest.raises(KelmanError, match="i: series 2 of 2"):
        held.series(2)


def test_repr_can_be_read() -> None:
    """The sizes on one line, then each small array; big ones by their shape."""
    shown = repr(model(m0=[0, 0], P0=I2))
    assert shown.startswith("StateSpace(2 states, 1 measured, 0 inputs, float64, start x0)")
    assert "  H      = [[1. 0.]]" in shown
    big = kelman.StateSpace(np.eye(9) / 2, np.ones((1, 9)), np.eye(9), [[1.0]])
    assert "A      = array of shape (9, 9)" in repr(big)


def test_models_are_not_compared_but_can_be_keys() -> None:
    """eq=False: identity, so that a model can be a dictionary key and `==` never compares arrays."""
    held = model()
    assert held == held  # noqa: PLR0124
    assert held != model()
    assert {held: 1}[held] == 1


def test_a_continuous_time_transition_is_suspected() -> None:
    """An eigenvalue far outside the unit circle warns of a forgotten discretisation; a mildly unstable one does not."""
    with pytest.warns(ModelWarning, match="continuous-time"):
        model(A=[[0.0, 1.0], [-20.0, -9.0]])
    model(A=1.2 * I2)


def test_float32_with_a_huge_start_is_suspected() -> None:
    """A start variance beyond float32's resolution beside R warns, and names P1_inf."""
    with pytest.warns(ModelWarning, match="P1_inf"):
        kelman.StateSpace(
            np.float32([[1]]), np.float32([[1]]), np.float32([[1]]), np.float32([[1]]),
            m1=np.float32([0]), P1=np.float32([[1e7]]),
        )  # fmt: skip


def test_a_class_that_is_not_a_model_is_named() -> None:
    """Verbs name what they accept and what came."""
    with pytest.raises(ModelTypeError, match="model: filter expects a StateSpace, got the class StateSpace"):
        kelman.filter(kelman.StateSpace, [1.0])
