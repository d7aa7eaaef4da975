"""`Stepper`: the short way of a call equals the long way, and a stepper is a value that can be kept."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _core
from kelman.errors import KelmanError
from tests.linear.cases import data, inputs, model
from tests.strategies import build, random_kind


def arrays(rows: np.ndarray) -> list[np.ndarray]:
    """Rows as arrays of their own: what the short way takes."""
    return [np.array(row) for row in rows]


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("p", [0, 2])
def test_the_short_way_equals_the_long_way(p: int, dtype: str) -> None:
    """Arrays as they should be go to the core at once, lists through Python: the same numbers to the bit."""
    m = model(p=p).astype(dtype)
    z, u = data(N=1)[0].astype(dtype), inputs(N=1, p=p)[0].astype(dtype)
    short, long = kelman.Stepper(m), kelman.Stepper(m)
    for k in range(len(z)):
        given = {"u": u[k]} if p else {}
        mean = short(arrays(z)[k], **given)
        assert mean.shape == (3,)
        assert mean.dtype == dtype
        np.testing.assert_array_equal(mean, long(z[k].tolist(), *([u[k].tolist()] if p else [])))
        np.testing.assert_array_equal(short.cov, long.cov)
    assert short.steps == long.steps == len(z)
    assert short.loglik == long.loglik
    np.testing.assert_allclose(
        short.loglik, kelman.loglik(m, z, u if p else None), rtol=1e-11 if dtype == "f8" else 1e-5
    )


def test_every_way_to_write_the_arguments() -> None:
    """z, u and mask by place and by name, in any mixture."""
    m, z, u = model(p=1), data(N=2, gaps=0), inputs(N=2)
    masks = np.array([True, False])
    calls = (
        lambda step, k: step(z[:, k].copy(), u[:, k].copy(), masks),
        lambda step, k: step(z[:, k].copy(), u[:, k].copy(), mask=masks),
        lambda step, k: step(z[:, k].copy(), mask=masks, u=u[:, k].copy()),
        lambda step, k: step(z=z[:, k].copy(), mask=masks.tolist(), u=u[:, k].copy()),
        lambda step, k: step(np.where(masks[:, None], z[:, k], np.nan), u[:, k], None),
    )
    steppers = [kelman.Stepper(m, 2) for _ in calls]
    for k in range(6):
        means = [call(step, k) for call, step in zip(calls, steppers, strict=True)]
        for mean in means[1:]:
            np.testing.assert_array_equal(mean, means[0])
    for step in steppers[1:]:
        np.testing.assert_array_equal(step.loglik, steppers[0].loglik)


@pytest.mark.parametrize("shape", ["number", "vector"])
def test_a_number_takes_the_short_way(shape: str) -> None:
    """m = 1: a Python float is as good as an array; an infinity in it is refused."""
    m = model(m=1)
    step, other = kelman.Stepper(m), kelman.Stepper(m)
    for value in (0.5, float("nan"), -1.25):
        np.testing.assert_array_equal(step(value), other(np.array([value]) if shape == "vector" else [value]))
    with pytest.raises(KelmanError, match="z: infinite value"):
        step(float("inf"))
    assert step.steps == 3


def test_errors_of_the_short_way_are_those_of_the_long_way() -> None:
    """After the first step too, wrong arguments are named and leave the stepper as it was."""
    step = kelman.Stepper(model(p=1), 2)
    z, u = np.zeros((2, 2)), np.zeros((2, 1))
    step(z, u)
    wrong: list[tuple[Any, str]] = [
        ((), "missing 1 required positional argument"),
        ((z,), "u: the model has p = 1"),
        ((np.zeros((3, 2)), u), r"z: expected shape \(2, 2\)"),
        ((np.full((2, 2), np.inf), u), "z: infinite value"),
        ((z, np.full((2, 1), np.nan)), "u: every entry must be finite"),
        ((z, u, [1, 0]), "mask: expected booleans of shape"),
        ((z, u, [True]), "mask: expected booleans of shape"),
        ((z, u, None, 3), "positional arguments"),
    ]
    for arguments, message in wrong:
        with pytest.raises((KelmanError, TypeError), match=message):
            step(*arguments)
    with pytest.raises(KelmanError, match="W: unknown"):
        step(z, u, W=1)
    with pytest.raises(TypeError, match="multiple values"):
        step(z, u, z=z)
    assert step.steps == 1


def test_layouts_that_need_a_copy() -> None:
    """Strided, reversed, byte-swapped, integer and masked measurements are those of their values."""
    m = model()
    z = data(N=1, gaps=0)[0]
    variants: list[Any] = [
        np.repeat(z, 2, axis=1)[:, ::2],
        z[:, ::-1].copy()[:, ::-1],
        z.astype(">f8"),
        np.ma.masked_array(z),
        z.astype("f4").astype("f8"),
    ]
    for variant in variants:
        step, plain = kelman.Stepper(m), kelman.Stepper(m)
        for k in range(4):
            np.testing.assert_array_equal(step(variant[k]), plain(np.array(variant[k], dtype="f8")))


def test_a_subclass_may_have_a_call_of_its_own() -> None:
    """What a subclass does before and after is done."""

    class Counting(kelman.Stepper):
        calls = 0

        def __call__(self, z: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().__call__(z, *args, **kwargs)

    class Plain(kelman.Stepper):
        pass

    z = data(N=1, gaps=0)[0]
    counting, plain, base = Counting(model()), Plain(model()), kelman.Stepper(model())
    for row in arrays(z[:3]):
        mean = base(row)
        np.testing.assert_array_equal(counting(row), mean)
        np.testing.assert_array_equal(plain(row), mean)
    assert counting.calls == 3


def test_help_knows_the_call() -> None:
    """The call has a signature and a text, though it is short."""
    step = kelman.Stepper(model())
    assert list(inspect.signature(step).parameters) == ["z", "u", "mask", "matrices"]
    assert "time passes" in (kelman.Stepper.__call__.__doc__ or "").lower()


@pytest.mark.parametrize("seed", range(40))
def test_a_copy_goes_on_to_the_bit(seed: int) -> None:
    """Pickled, copied and deep-copied steppers of any model go on as the stepper itself does, and apart from it."""
    case = build(random_kind(seed, T=8))
    m, z, u = case.model(), case.z, case.u_past
    step = kelman.Stepper(m, len(z), on_error="nan")
    for k in range(8):
        copies = [pickle.loads(pickle.dumps(step)), copy.copy(step), copy.deepcopy(step)]
        mean = step(z[:, k], None if u is None else u[:, k])
        for each in copies:
            np.testing.assert_array_equal(each(z[:, k], None if u is None else u[:, k]), mean)
            np.testing.assert_array_equal(each.cov, step.cov)
            np.testing.assert_allclose(each.loglik, step.loglik, rtol=1e-15, atol=1e-14)
            assert each.steps == step.steps
            assert repr(each) == repr(step)


def test_what_is_attached_is_a_handle() -> None:
    """The core checks what it is given to call."""
    step = kelman.Stepper(model())
    with pytest.raises(TypeError, match="handle: expected a LinearStepper, a NetworkStepper or None"):
        _core.native().attach(step, 3, False)
    with pytest.raises(TypeError, match="stepper: expected a StepperBase"):
        _core.native().attach(3, None, False)
