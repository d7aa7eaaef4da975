"""Anything at all, given as any argument of any linear function: a KelmanError or an answer, never another error."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from tests.linear.cases import data, inputs, model


def anything() -> list[Any]:
    """Values that a careless caller may give, most of them wrong everywhere."""
    flat = np.zeros((25, 2))
    plain: list[Any] = [None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), 1j, "x", b"x", [], (), {}, {1}]
    nested: list[Any] = [
        [[]],
        [[[]]],
        [None],
        ["a"],
        [1, "a"],
        [[1, 2], [3]],
        [{}],
        [np.zeros(2), "x"],
        [flat, flat[:3]],
    ]
    scalars: list[Any] = [np.float32(1), np.int8(1), np.bool_(True), np.str_("words"), np.array(1.0), np.array("x")]
    sizes = [
        np.zeros(shape) for shape in (0, (0, 2), (2, 0), 2, (3, 3), (25, 2), (4, 25, 2), (1, 1, 1, 1, 1), (0, 0, 0))
    ]
    kinds = [flat.astype(kind) for kind in (complex, np.longdouble, object, str, "M8[s]", "m8[s]", bool, ">i2", "f2")]
    odd: list[Any] = [
        np.zeros(1, [("a", "f8")]),
        np.ma.masked_all((25, 2)),
        flat[::-1],
        np.asfortranarray(flat),
        flat.T,
    ]
    objects: list[Any] = [
        object(),
        np,
        len,
        range(3),
        iter([1]),
        decimal.Decimal(1),
        fractions.Fraction(1, 2),
        slice(1),
    ]
    objects += [dt.date(2020, 1, 1), ..., NotImplemented, type, model(), kelman.StateSpace, memoryview(b"abc")]
    objects += [np.random.default_rng(0), bytearray(b"abc"), Hostile(), kelman.filter(model(), data())]
    return [*plain, *nested, *scalars, *sizes, *kinds, *odd, *objects]


class Hostile:
    """An object that cannot be turned into an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("no array here")


def functions() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every public function of the linear models, with arguments that it takes."""
    m, z, u = model(p=2), data(), inputs(p=2)
    matrices = {"A": np.eye(2) / 2, "H": np.eye(2), "Q": np.eye(2), "R": np.eye(2)}
    many = kelman.StateSpace.stack([model()] * 2)
    moving = model(b=np.zeros((5, 3)))
    return {
        "filter": (kelman.filter, {"model": m, "z": z, "u": u}),
        "loglik": (kelman.loglik, {"model": m, "z": z, "u": u}),
        "smooth": (kelman.smooth, {"model": m, "z": z, "u": u}),
        "forecast": (kelman.forecast, {"model": m, "z": z, "u": u, "steps": 2, "u_future": np.zeros((2, 2))}),
        "simulate": (kelman.simulate, {"model": m, "T": 5, "u": np.zeros((5, 2))}),
        "steady_state": (kelman.steady_state, {"model": model()}),
        "Stepper": (kelman.Stepper, {"model": model()}),
        "step": (kelman.Stepper(m), {"z": [1.0, 2.0], "u": [1.0, 2.0]}),
        "StateSpace": (kelman.StateSpace, matrices),
        "from_shifted": (kelman.StateSpace.from_shifted, matrices),
        "stack": (kelman.StateSpace.stack, {"models": [m]}),
        "replace": (m.replace, {}),
        "window": (moving.window, {"first": 0, "stop": 1}),
        "series": (many.series, {"i": 0}),
        "astype": (m.astype, {"dtype": "f8"}),
        "interval": (kelman.forecast(model(), z, 2).interval, {}),
        "thread_count": (kelman.config.thread_count, {}),
        "backend_name": (kelman.config.backend_name, {}),
    }


def argument_names(name: str, function: Callable[..., Any]) -> list[str]:
    """The arguments of a function; for those that take matrices by name, these too."""
    shown = inspect.signature(function if name != "replace" else kelman.StateSpace).parameters.values()
    names = [each.name for each in shown if each.kind is not each.VAR_KEYWORD]
    return [*names, *"AHQRBDbcS"] if name == "step" else names


@pytest.mark.parametrize("name", functions())
def test_anything_gives_an_answer_or_a_kelman_error(name: str) -> None:
    """Each argument in turn is each of some sixty values; whatever is raised is the package's own error."""
    function, arguments = functions()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kelman.errors.KelmanWarning)
        for argument in argument_names(name, function):
            for value in anything():
                try:
                    function(**(arguments | {argument: value}))
                except KelmanError:
                    continue
                except Exception as error:
                    raise AssertionError(
                        f"{name}({argument}={value!r}) raised {type(error).__name__}: {error}"
                    ) from error
