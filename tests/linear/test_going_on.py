"""Filtering in parts, by `start=` and by `Stepper`, equals filtering in one pass."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from tests.linear.cases import data, inputs, model
from tests.strategies import build, random_kind

SEEDS = range(60)


def shifted(p: int = 1, **changes: Any) -> kelman.StateSpace:
    """A model in the shifted form, with inputs and correlated noise."""
    base = model(p=p)
    arrays = {name: getattr(base, name) for name in "AHQRBD"}
    return kelman.StateSpace.from_shifted(**arrays, S=0.1 * np.ones((3, 2)), initial="stationary", **changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_parts_equal_one_pass_to_the_bit(seed: int) -> None:
    """A model of any kind: the second part, started from the pickled state of the first, gives the same bits."""
    case = build(random_kind(seed, T=8))
    m, z, u = case.model(), case.z, case.u_past
    careful: Any = {"on_error": "nan", "form": "univariate"}
    whole = kelman.filter(m, z, u, store="all", **careful)
    for cut in (1, 5):
        first = kelman.filter(m.window(0, cut), z[:, :cut], None if u is None else u[:, :cut], **careful)
        state = pickle.loads(pickle.dumps(first.state))
        rest = kelman.filter(
            m.window(cut, 8), z[:, cut:], None if u is None else u[:, cut:], start=state, store="all", **careful
        )
        for name in ("mean", "cov", "predicted_mean", "predicted_cov", "innovation", "loglik_obs"):
            np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name)[:, cut:])
        np.testing.assert_allclose(first.loglik + rest.loglik, whole.loglik, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stepper_equals_one_pass(seed: int) -> None:
    """A model of any kind, also varying in time: after each step the moments are those of the whole pass."""
    case = build(random_kind(seed, T=6))
    m, z, u = case.model(), case.z, case.u_past
    whole = kelman.filter(m, z, u, on_error="nan", form="univariate")
    step = kelman.Stepper(m, len(z), on_error="nan")
    for k in range(6):
        mean = step(z[:, k], None if u is None else u[:, k])
        np.testing.assert_allclose(mean, whole.mean[:, k], rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(step.cov, whole.cov[:, k], rtol=1e-10, atol=1e-11)
    assert step.steps == 6
    np.testing.assert_allclose(step.loglik, whole.loglik, rtol=1e-12, atol=1e-12)


def test_a_state_starts_the_other_verbs() -> None:
    """smooth, loglik and forecast go on from a state as filter does, and so does a stepper."""
    m, z, u = shifted(), data(gaps=0), inputs()
    first = kelman.filter(m, z[:, :10], u[:, :10])
    rest = (z[:, 10:], u[:, 10:])
    on = kelman.filter(m, *rest, start=first.state)
    np.testing.assert_array_equal(kelman.loglik(m, *rest, start=first.state), on.loglik)
    s = kelman.smooth(m, *rest, start=first.state)
    np.testing.assert_allclose(s.mean[:, -1], on.mean[:, -1], rtol=1e-12)
    whole = kelman.smooth(m, z, u)
    np.testing.assert_allclose(s.mean, whole.mean[:, 10:], rtol=1e-9, atol=1e-10)
    future = inputs(T=3)
    np.testing.assert_allclose(
        kelman.forecast(m, rest[0], 3, rest[1], future, start=first.state).mean,
        kelman.forecast(m, z, 3, u, future).mean,
        rtol=1e-12,
    )
    step = kelman.Stepper(m, 4, start=first.state)
    np.testing.assert_allclose(step(z[:, 10], u[:, 10]), on.mean[:, 0], rtol=1e-12)


def test_the_steppers_state_starts_a_filter() -> None:
    """`.state` of a stepper is a state like that of a result."""
    m, z = model(), data(N=1)[0]
    step = kelman.Stepper(m)
    for row in z[:9]:
        step(row)
    on = kelman.filter(m, z[9:], start=step.state, form="univariate")
    np.testing.assert_allclose(on.mean, kelman.filter(m, z).mean[9:], rtol=1e-12)


def test_the_stepper_takes_numbers_where_one_value_is_measured() -> None:
    """m = 1: a bare number, (1,), and (N,) for N series; p = 1 likewise."""
    m = model(m=1, p=1)
    step, many = kelman.Stepper(m), kelman.Stepper(m, 3)
    assert step(0.5, 1.0).shape == (3,)
    assert step([0.5], [1.0]).shape == (3,)
    assert many([0.1, 0.2, np.nan], [1.0, 2.0, 3.0]).shape == (3, 3)
    shared = kelman.Stepper(m, 3)([0.1, 0.2, np.nan], [2.0])
    np.testing.assert_array_equal(shared, kelman.Stepper(m, 3)([0.1, 0.2, np.nan], [[2.0]] * 3))
    assert many.cov.shape == (3, 3, 3)
    assert "3 series, 3 states, after 1 steps" in repr(many)


def test_matrices_given_with_a_step_take_the_place_of_the_models() -> None:
    """Matrices by call give what a time-varying model gives; those beyond a model's end must be given."""
    rng = np.random.default_rng(3)
    z = data(N=1, T=5)[0]
    H, R = rng.normal(size=(5, 2, 3)), np.stack([np.eye(2) * (k + 1) for k in range(5)])
    varying, fixed = model(H=H, R=R), model()
    step = kelman.Stepper(fixed)
    means = [step(z[k], H=H[k], R=R[k]) for k in range(5)]
    np.testing.assert_allclose(means, kelman.filter(varying, z).mean, rtol=1e-12)
    ending = kelman.Stepper(model(H=H[:2]))
    ending(z[0])
    ending(z[1])
    with pytest.raises(
        KelmanError, match=r"H: the model varies over 2 steps, and all have been taken.*step\(z, H=\.\.\.\)"
    ):
        ending(z[2])
    whole = kelman.filter(model(H=H[:3]), z[:3], form="univariate")
    np.testing.assert_allclose(ending(z[2], H=H[2]), whole.mean[-1], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda step: step([1.0]), r"z: expected shape \(2,\), one step at a time, got \(1,\)"),
        (lambda step: step(np.zeros((4, 2))), r"z: expected shape \(2,\)"),
        (lambda step: step([1.0, np.inf]), "z: infinite value"),
        (lambda step: step(["a", "b"]), "z: expected real numbers"),
        (lambda step: step([1.0, 1j]), "z: expected real numbers .*complex128"),
        (lambda step: step([1.0, 2.0], [1.0]), "u: the model has no inputs"),
        (lambda step: step([1.0, 2.0], H=np.eye(3)), r"H: expected shape \(2, 3\)"),
        (lambda step: step([1.0, 2.0], R=-np.eye(2)), "R: must be positive semi-definite"),
        (lambda step: step([1.0, 2.0], Q=np.nan * np.eye(3)), "Q: every entry must be finite"),
        (lambda step: step([1.0, 2.0], W=1), "W: unknown; a step may be given A, H"),
    ],
)
def test_a_step_names_what_is_wrong(call: Any, message: str) -> None:
    """Wrong arguments of one step are refused by name, and the stepper stays as it was."""
    step = kelman.Stepper(model())
    with pytest.raises(KelmanError, match=message):
        call(step)
    assert step.steps == 0
    with pytest.raises(KelmanError, match="no step has been taken yet"):
        _ = step.mean


def test_a_step_needs_the_inputs_that_the_model_has() -> None:
    """A missing or non-finite input is named."""
    step = kelman.Stepper(model(p=2))
    with pytest.raises(KelmanError, match="u: the model has p = 2"):
        step([1.0, 2.0])
    with pytest.raises(KelmanError, match="u: every entry must be finite"):
        step([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(KelmanError, match=r"u: expected shape \(2,\)"):
        step([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "state", "start: expected the .state of a filter's result, got str"),
        (lambda _: kelman.filter(model(), data()), r"got FilterResult; give its \.state"),
        (
            lambda _: kelman.filter(model(n=2), data()).state,
            "start: is a state of 2 components, but the model has n = 3",
        ),
        (lambda state: state.series(0), "start: is the state of 1 series, but z holds 4"),
        (lambda _: kelman.filter(shifted(), data(), inputs()).state, "input_lag=1, but this model has input_lag=0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    """The error says what differs between the state and the model or data."""
    state = kelman.filter(model(), data()).state
    with pytest.raises(KelmanError, match=message):
        kelman.filter(model(), data(), start=change(state))


def test_a_state_without_the_last_inputs_is_refused() -> None:
    """A shifted model with inputs cannot go on from a state of one that had none."""
    without = kelman.StateSpace.from_shifted(np.eye(3) / 2, np.ones((2, 3)), np.eye(3), np.eye(2))
    state = kelman.filter(without, data()).state
    with pytest.raises(KelmanError, match="start: comes from a model with 0 inputs, but this model has p = 1"):
        kelman.filter(shifted(), data(), inputs(), start=state)


def test_states_speak() -> None:
    """repr names sizes and whether something is still diffuse."""
    assert repr(kelman.filter(model(), data()).state) == "FilterState(4 series, 3 states, float64)"
    state = kelman.filter(model(initial="diffuse"), [[1.0, np.nan]]).state
    assert repr(state) == "FilterState(one series, 3 states, float64, partly diffuse)"
    assert state.N is None


def test_steps_with_and_without_own_matrices_may_alternate() -> None:
    """The two ways a step is taken hand over to each other without a difference, in a time-varying model too."""
    rng = np.random.default_rng(3)
    z, u = data(N=2, T=9), inputs(N=2, T=9)
    H = rng.normal(size=(9, 2, 3))
    m = model(p=1, H=H, S=0.1 * np.ones((3, 2)), m0=np.zeros(3), P0=np.eye(3))
    whole = kelman.filter(m, z, u)
    step = kelman.Stepper(m, 2)
    for k in range(9):
        given = {"H": H[k]} if k % 3 == 1 else {}
        np.testing.assert_allclose(step(z[:, k], u[:, k], **given), whole.mean[:, k], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(step.cov, whole.cov[:, k], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(step.loglik, whole.loglik, rtol=1e-13)
    again = kelman.Stepper(m.window(4, 9), 2, start=kelman.filter(m.window(0, 4), z[:, :4], u[:, :4]).state)
    np.testing.assert_allclose(again(z[:, 4], u[:, 4]), whole.mean[:, 4], rtol=1e-12)


def test_what_a_stepper_gave_does_not_change_later() -> None:
    """Means, covariances, states and log-likelihoods are values, not windows into the stepper."""
    step, z = kelman.Stepper(model(), 2), data(N=2, T=3)
    step(z[:, 0])
    kept = step.mean, step.cov, step.loglik, step.state._mean
    copies = [np.array(each) for each in kept]
    step(z[:, 1])
    for each, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(each, copy)


def test_what_float32_cannot_hold_is_refused() -> None:
    """Numbers beyond float32 given to a float32 model: the argument is named, as an infinity is."""
    m = model(p=1).astype("f4")
    step = kelman.Stepper(m)
    with pytest.raises(KelmanError, match="z: infinite value"):
        step([1e300, 0.0], [0.0])
    with pytest.raises(KelmanError, match="u: every entry must be finite"):
        step([0.0, 0.0], [1e300])
    with pytest.raises(KelmanError, match="R: every entry must be finite"):
        step([0.0, 0.0], [0.0], R=1e300 * np.eye(2))
    with pytest.raises(KelmanError, match="u: every entry must be finite"):
        kelman.loglik(m, data().astype("f4"), 1e300 * inputs())
