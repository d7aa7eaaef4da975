# SPDX-License-Identifier: BSD-3-Clause
"""`loglik_and_grad` where the measurements hardly see a diffuse direction, or not at first: against 60 digits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import kelman
from tests.linear.gradient_cases import check
from tests.oracles import Dense, Numbers

EXACT = Numbers("mpmath")
STEP = EXACT.array(1e-18)[()]


def trend(dt: float, order: int) -> kelman.StateSpace:
    """Position, speed (and acceleration) at time steps of `dt`: the first positions see the others by dt and dt²/2."""
    A = np.array([[1.0, dt, dt * dt / 2], [0.0, 1.0, dt], [0.0, 0.0, 1.0]])[:order, :order]
    return kelman.StateSpace(A, np.eye(1, order), 0.1 * np.eye(order), [[1.0]], initial="diffuse")


def exact_gradient(model: kelman.StateSpace, z: np.ndarray, name: str) -> np.ndarray:
    """d loglik by the entries of one array: differences of the dense likelihood in numbers of 60 digits."""
    numbers = {key: EXACT.array(getattr(model, key)) for key in ("A", "H", "Q", "R")}
    others = dict.fromkeys(("B", "D", "b", "c", "S"))
    same = {"dims": model.dims, "initial": model.initial, "input_lag": model.input_lag}
    out = np.zeros(getattr(model, name).shape)
    for index in np.ndindex(*out.shape):

        def at(step: Any, index: tuple[int, ...] = index) -> Any:
            moved = numbers[name].copy()
            moved[index] = moved[index] + step
            if name == "Q" and index[0] != index[1]:
                moved[index[::-1]] = moved[index[::-1]] + step
            dense: Any = Dense(SimpleNamespace(**(numbers | {name: moved}), **others, **same), z, numbers=EXACT,
                               support=1e-40)  # fmt: skip
            return dense.given(dense.T, dense.x(0)[:0]).loglik

        out[index] = float((at(STEP) - at(-STEP)) / (2 * STEP)) / (2 if name == "Q" and index[0] != index[1] else 1)
    return out


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize(("dt", "order"), [(1.0, 3), (1e-2, 3), (1e-3, 3), (1e-4, 3), (1e-6, 2)])
def test_directions_that_are_hardly_seen_or_late(dt: float, order: int, gap: int) -> None:
    """A weak direction is known to eps / |V'h|, and so are the derivatives; one series, or many that share the model."""
    model = trend(dt, order)
    z = np.random.default_rng(order).normal(size=(5 + gap, 1))
    z[:gap] = np.nan
    seen = dt ** (order - 1)  # acceleration by position, speed by position
    _, one = kelman.loglik_and_grad(model, z)
    _, many = kelman.loglik_and_grad(model, np.stack([z] * 20))
    for name in ("A", "H", "Q"):
        expected = exact_gradient(model, z, name)
        allowed = 200 * np.finfo(float).eps / seen * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(one[name], expected, rtol=0, atol=allowed, err_msg=name)
        np.testing.assert_allclose(many[name] / 20, expected, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("N", [1, 20])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_a_transition_that_forgets_diffuse_directions(gap: int, N: int) -> None:
    """A of rank 2 and 1 leads three diffuse directions on to two and one before anything is seen."""
    A = [[1.0, 0.3, 0.2], [0.0, 0.0, 0.7], [0.0, 0.0, 0.0]]
    model = kelman.StateSpace(A, [[1.0, 0.4, 0.3]], 0.3 * np.eye(3), [[1.0]], initial="diffuse")
    z = np.random.default_rng(gap).normal(size=(N, 9, 1))
    z[:, :gap] = np.nan
    check(model, z, None, names=("H", "Q", "R"))
