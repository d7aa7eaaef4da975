"""Many tracks in one `Stepper`: masks, tracks that come and go, each as if it were alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NonFiniteError
from tests.linear.cases import data, inputs, model


def alone(m: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None = None, **start: Any) -> kelman.linear.FilterResult:
    """The filter of one track from its own first step on."""
    return kelman.filter(m.replace(**start) if start else m, z, u)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initial": "diffuse"},
        {"R": np.zeros((2, 2)) + 1.0},
        {"S": 0.1 * np.ones((3, 2))},
        {"R": np.diag([0.0, 1.0])},
    ],
    ids=["plain", "diffuse", "dense", "cross", "exact"],
)
def test_a_mask_is_a_measurement_that_is_missing(changes: dict[str, Any]) -> None:
    """Tracks that were not measured at a step are predicted, whatever z holds for them."""
    m, z = model(**changes), data(N=5, T=12)
    rng = np.random.default_rng(1)
    masks = rng.random((12, 5)) < 0.6
    step = kelman.Stepper(m, 5)
    for k in range(12):
        step(z[:, k].copy(), mask=masks[k])
    missing = np.where(masks.T[:, :, None], z, np.nan)
    whole = kelman.filter(m, missing)
    np.testing.assert_allclose(step.mean, whole.mean[:, -1], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(step.cov, whole.cov[:, -1], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(step.loglik, whole.loglik, rtol=1e-11)


@pytest.mark.parametrize("initial", ["stationary", "diffuse", "x1", "x0", "shifted"])
def test_tracks_come_and_go_as_if_each_were_alone(initial: str) -> None:
    """Tracks begin and end at random; each has the moments of a filter of its own measurements."""
    rng = np.random.default_rng(5)
    base = {"x1": {"m1": [1.0, 0, 0], "P1": np.eye(3)}, "x0": {"m0": [1.0, 0, 0], "P0": np.eye(3)}}
    m = model(p=1, **base.get(initial, {"initial": "stationary" if initial == "shifted" else initial}))
    if initial == "shifted":
        m = kelman.StateSpace.from_shifted(
            **{name: getattr(m, name) for name in "AHQRBD"}, S=0.1 * np.ones((3, 2)), initial="stationary"
        )
    T = 25
    z, u = data(N=40, T=T), inputs(N=40, T=T)
    step = kelman.Stepper(m, 3)
    born = dict.fromkeys(range(3), 0)
    for k in range(T):
        if k and rng.random() < 0.5:
            gone = rng.choice(step.ids, size=min(len(step.ids), int(rng.integers(0, 3))), replace=False)
            step.drop(gone)
        if k and rng.random() < 0.6:
            born |= dict.fromkeys(step.add(int(rng.integers(1, 3))).tolist(), k)
        if rng.random() < 0.3:
            step = pickle.loads(pickle.dumps(step))
        ids = step.ids
        mean = step(z[ids, k], u[ids, k])
        assert mean.shape == (len(ids), 3)
        for row, i in enumerate(ids):
            r = alone(m, z[i, born[i] : k + 1], u[i, born[i] : k + 1])
            np.testing.assert_allclose(mean[row], r.mean[-1], rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(step.cov[row], r.cov[-1], rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(step.loglik[row], r.loglik, rtol=1e-9, atol=1e-10)


def test_tracks_begin_where_they_are_told_to() -> None:
    """Moments given for one, moments for each, states to go on from."""
    m, z = model(), data(N=8, T=6, gaps=0)
    other = kelman.Stepper(m, 2)
    for k in range(3):
        other(z[6:, k].copy())
    step = kelman.Stepper(m, 0)
    assert step(np.zeros((0, 2))).shape == (0, 3)
    assert step.add(m1=[1.0, 2.0, 3.0], P1=np.eye(3)).tolist() == [0]
    means = np.arange(6.0).reshape(2, 3)
    assert step.add(2, m1=means, P1=2 * np.eye(3)).tolist() == [1, 2]
    assert step.add(other.state).tolist() == [3, 4]
    mean = step(z[[0, 1, 2, 6, 7], 3].copy())
    expected = [
        alone(m, z[0, 3:4], m1=[1.0, 2.0, 3.0], P1=np.eye(3)).mean[0],
        alone(m, z[1, 3:4], m1=means[0], P1=2 * np.eye(3)).mean[0],
        alone(m, z[2, 3:4], m1=means[1], P1=2 * np.eye(3)).mean[0],
        *other(z[6:, 3].copy()),
    ]
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    assert step.steps == 2


def test_ids_are_never_used_again() -> None:
    """Rows move up, ids stay; a dropped id is unknown from then on."""
    step = kelman.Stepper(model(), 3)
    step(np.zeros((3, 2)))
    step.drop(1)
    assert step.ids.tolist() == [0, 2]
    assert step.add(2).tolist() == [3, 4]
    step.drop([0, 4])
    assert step.add().tolist() == [5]
    assert step.ids.tolist() == [2, 3, 5]
    with pytest.raises(KelmanError, match="ids: there is no series 4; there are 2, 3, 5"):
        step.drop(4)
    assert step.mean.shape == (3, 3)
    assert np.isnan(step.mean[1:]).all()
    assert np.isnan(step.cov[1:]).all()
    with pytest.raises(KelmanError, match="state: the series 3, 5 have been added and have taken no step yet"):
        _ = step.state
    step.drop(step.ids)
    assert step(np.zeros((0, 2))).shape == (0, 3)
    with pytest.raises(KelmanError, match="state: there are no series"):
        _ = step.state


def test_dropping_series_of_models_of_their_own() -> None:
    """With a model per series the rows of the model go with the series; there is no model for another one."""
    models = [model(R=(i + 1.0) * np.eye(2)) for i in range(4)]
    many, z = kelman.StateSpace.stack(models), data(N=4, T=6)
    step = kelman.Stepper(many)
    for k in range(3):
        step(z[:, k])
    step.drop([0, 2])
    for k in range(3, 6):
        step(z[[1, 3], k])
    step_one = kelman.Stepper(many)
    step_one.drop([0, 1, 2])
    for k in range(6):
        step_one(z[[3], k])
    for row, i in enumerate((1, 3)):
        np.testing.assert_allclose(step.mean[row], kelman.filter(models[i], z[i]).mean[-1], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(step_one.mean[0], step.mean[1], rtol=1e-12)
    with pytest.raises(KelmanError, match="add: the model is for 2 series, so there is none for another"):
        step.add()


def test_a_failure_is_named_by_its_id() -> None:
    """After others were dropped, the failing series is still called by its id."""
    wild = [kelman.StateSpace([[a]], [[1.0]], [[1.0]], [[1.0]], m1=[0.0], P1=[[1.0]]) for a in (0.5, 0.5, 2.9)]
    step = kelman.Stepper(kelman.StateSpace.stack(wild))
    step.drop(0)

    def run() -> None:
        for _ in range(400):
            step([np.nan] * len(step.ids))

    with pytest.raises(NonFiniteError, match="series 2 at time index 33"):
        run()
    step.drop(2)
    run()


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda _: kelman.Stepper(model()).add(),
            "add: this stepper has one series without a series axis; give N=1",
        ),
        (lambda _: kelman.Stepper(model()).drop(0), "drop: this stepper has one series without a series axis"),
        (lambda step: step.add(0), "tracks: expected a whole number of at least 1"),
        (lambda step: step.add("two"), "tracks: expected a whole number"),
        (lambda step: step.add(3, m1=np.zeros((2, 3)), P1=np.eye(3)), "m1, P1: hold the moments of 2 series"),
        (lambda step: step.add(m1=np.zeros(2), P1=np.eye(3)), "m1"),
        (lambda step: step.add(step.state, m1=np.zeros(3)), "m1, P1: the states to go on from are given already"),
        (lambda step: step.add(kelman.filter(model(n=2), data()).state), "start: is a state of 2 components"),
        (lambda step: step.drop(9), "ids: there is no series 9; there are 0, 1"),
        (lambda step: step.drop("a"), "ids: expected whole numbers"),
        (lambda step: step.drop([0.5]), "ids: expected whole numbers, got"),
    ],
)
def test_wrong_tracks_are_refused(use: Any, message: str) -> None:
    """The message names the argument, and the stepper stays as it was."""
    step = kelman.Stepper(model(), 2)
    step(np.zeros((2, 2)))
    with pytest.raises(KelmanError, match=message):
        use(step)
    assert step.ids.tolist() == [0, 1]
    assert step.mean.shape == (2, 3)
