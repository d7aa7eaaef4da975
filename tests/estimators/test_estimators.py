"""`kelman.estimators`: scikit-learn's own checks, and what they do not know about time."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks

import kelman
from kelman.errors import KelmanError
from kelman.estimators import KalmanSSM, SeriesSplit, SubspaceID, TimeSplit
from kelman.estimators._panel import Panel
from kelman.estimators._simple import principal_components

ROTATION = kelman.systems.rotation()
X = kelman.simulate(ROTATION, 500, rng=0).z
PANEL = kelman.simulate(ROTATION, 120, 8, rng=1).z
METHODS = ("auto", "subspace", "pem", "em", "mle")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@checks.parametrize_with_checks(
    [
        KalmanSSM(),
        KalmanSSM(n_states=2),
        KalmanSSM(method="subspace"),
        KalmanSSM(n_states=1, method="pem"),
        KalmanSSM(n_states=1, method="mle"),
        KalmanSSM(n_states=1, method="em"),
        SubspaceID(),
    ]
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    """Each check of `check_estimator` passes."""
    check(estimator)


class Deterministic(KalmanSSM):
    """The same without the tag that leaves out the checks which move rows, and others beside them."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags


@pytest.mark.parametrize(
    "check",
    [checks.check_transformer_general, checks.check_transformer_data_not_an_array, checks.check_pipeline_consistency],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("n_states", [None, 2])
def test_what_the_tag_leaves_out_passes_too(check: Any, n_states: int | None) -> None:
    """The checks that scikit-learn skips for the tag `non_deterministic`, but for those that move rows, pass."""
    check("Deterministic", Deterministic(n_states))


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_the_verbs(method: str) -> None:
    """transform, predict, score and forecast are the package's verbs on the model found."""
    found = KalmanSSM(2, method=method).fit(X)
    m = found.model_
    np.testing.assert_array_equal(found.transform(X), kelman.smooth(m, X).mean)
    np.testing.assert_allclose(found.predict(X), X - kelman.filter(m, X, store="all").innovation, atol=1e-12)
    assert found.score(X) == pytest.approx(float(kelman.loglik(m, X)) / X.size)
    assert found.loglik_ == pytest.approx(float(kelman.loglik(m, X)))
    mean, std = found.forecast(X, 5, return_std=True)
    f = kelman.forecast(m, X, 5)
    np.testing.assert_array_equal(mean, f.mean)
    np.testing.assert_allclose(std[:, 0], np.sqrt(f.cov[:, 0, 0]))
    for name in "AHQR":
        np.testing.assert_array_equal(getattr(found, f"{name}_"), getattr(m, name))
    assert found.converged_
    assert found.n_iter_ >= 1
    assert (found.n_states_, found.n_features_in_) == (2, 1)


def test_the_dynamics_are_found() -> None:
    """The poles of a rotation to 0.03, one-step errors as small as the true filter's to 2 %, and a model without S."""
    found = KalmanSSM(2).fit(X)
    _, distance = kelman.lti.match_poles(kelman.lti.poles(ROTATION.A), kelman.lti.poles(found.A_))
    assert distance.max() < 0.03
    best = kelman.filter(ROTATION, X, store="all").innovation
    assert np.mean((X - found.predict(X)) ** 2) < 1.02 * np.mean(best**2)
    assert found.method_ == "pem+tune"
    assert not found.S_.any()
    truth = kelman.simulate(ROTATION, 500, rng=0).x
    smoothed, filtered = found.transform(X), kelman.filter(found.model_, X).mean
    errors = [np.linalg.lstsq(s, truth, rcond=None)[1].sum() for s in (smoothed, filtered)]
    assert errors[0] < 0.95 * errors[1]  # smoothing sees the future too


@pytest.mark.parametrize("method", METHODS)
def test_the_form_of_x_comes_back(method: str) -> None:
    """An array, a list and rows with lengths give one model, and each its own form of the same numbers."""
    lengths = [120] * 8
    rows = PANEL.reshape(-1, 1)
    one, two, three = (KalmanSSM(2, method=method) for _ in range(3))
    one.fit(PANEL)
    two.fit(list(PANEL))
    three.fit(rows, lengths=lengths)
    np.testing.assert_allclose(one.A_, two.A_)
    np.testing.assert_allclose(one.A_, three.A_)
    for name in ("transform", "predict"):
        array, several, table = (
            getattr(one, name)(PANEL),
            getattr(two, name)(list(PANEL)),
            getattr(three, name)(rows, lengths=lengths),
        )
        assert array.ndim == 3
        assert isinstance(several, list)
        np.testing.assert_allclose(np.stack(several), array, atol=1e-10)
        np.testing.assert_allclose(table, array.reshape(-1, array.shape[-1]), atol=1e-10)
    assert one.score(PANEL) == pytest.approx(three.score(rows, lengths=lengths))
    assert one.forecast(PANEL, 3).shape == (8, 3, 1)
    ragged = one.transform([PANEL[0], PANEL[1, :50]])
    assert [part.shape for part in ragged] == [(120, 2), (50, 2)]


def test_inputs_are_used_everywhere() -> None:
    """A plant with inputs: its response is found, and every method asks for u."""
    data = kelman.datasets.hairdryer()
    found = KalmanSSM(3).fit(data.z[:700], u=data.u[:700])
    assert found.B_ is not None
    error = data.z[700:] - found.predict(data.z[700:], u=data.u[700:])
    assert np.sqrt(np.mean(error[20:] ** 2)) < 0.05
    assert np.abs(error[:20]).max() < 1.0  # the start knows where the inputs keep the state
    assert found.score(data.z[:700], u=data.u[:700]) > 1.5
    assert found.score(data.z[700:], u=data.u[700:]) > 1.5
    for call in (found.transform, found.predict, found.score):
        with pytest.raises(KelmanError, match="u: the model was fitted with 1 input"):
            call(data.z)
    with pytest.raises(KelmanError, match="u: the model was fitted without inputs"):
        KalmanSSM(1).fit(X).score(X, u=np.ones(500))
    ahead = found.forecast(data.z[:700], 20, u=data.u[:700], u_future=data.u[700:720])
    assert np.abs(ahead - data.z[700:720]).max() < 0.3
    drawn, states = found.sample(50, u=data.u[:50], random_state=0)
    assert (drawn.shape, states.shape) == ((50, 1), (50, 3))
    pair = [data.z[:300], data.z[300:500]], [data.u[:300], data.u[300:500]]
    both = SubspaceID(3).fit(pair[0], u=pair[1])
    assert [p.shape for p in both.predict(pair[0], u=pair[1])] == [(300, 1), (200, 1)]


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_gaps(share: float) -> None:
    """With 2 % and 30 % of the values missing the poles are found to 0.03 by EM, and no output has NaN."""
    z = kelman.simulate(ROTATION, 3000, rng=4).z.copy()
    z[np.random.default_rng(0).random(z.shape) < share] = np.nan
    found = KalmanSSM(2).fit(z)
    _, distance = kelman.lti.match_poles(kelman.lti.poles(ROTATION.A), kelman.lti.poles(found.A_))
    assert distance.max() < 0.03
    assert found.method_ == "em"
    assert found.loglik_ > float(kelman.loglik(ROTATION, z))
    assert np.isfinite(found.transform(z)).all()
    assert np.isfinite(found.predict(z)).all()
    assert np.isfinite(found.score(z))


def test_a_walk_with_gaps() -> None:
    """A walk with gaps has no stationary start, and needs none: its pole to 0.02."""
    rng = np.random.default_rng(0)
    z = np.cumsum(rng.normal(size=(2000, 1)), axis=0) + rng.normal(size=(2000, 1))
    z[rng.random(z.shape) < 0.01] = np.nan
    found = KalmanSSM(1).fit(z)
    assert abs(found.A_[0, 0] - 1) < 0.02
    assert np.isfinite(found.transform(z)).all()


@pytest.mark.parametrize("method", ["auto", "em", "mle"])
def test_gaps_and_inputs(method: str) -> None:
    """Three tenths of the values missing and inputs of mean 3: nearly as likely as the truth allows, and draws stay where the data are."""
    truth = kelman.systems.random_stable(2, 1, 1, rng=5, radius=0.8)
    u = np.random.default_rng(0).normal(3.0, 1.0, size=(1500, 1))
    z = kelman.simulate(truth, 1500, u=u, rng=0).z + 50.0
    z[np.random.default_rng(1).random(z.shape) < 0.3] = np.nan
    found = KalmanSSM(2, method=method).fit(z, u=u)
    assert found.method_ == ("em" if method == "auto" else method)
    own = truth.replace(c=[50.0])
    assert found.loglik_ > float(kelman.loglik(own, z, u)) - 8
    assert np.isfinite(found.predict(z, u=u)).all()
    drawn, _ = found.sample(1500, u=u, random_state=0)
    assert abs(drawn.mean() - np.nanmean(z)) < 0.5
    assert abs(drawn[:20].mean() - np.nanmean(z)) < 3 * np.nanstd(z)
    np.testing.assert_allclose(drawn.std(), np.nanstd(z), rtol=0.2)


@pytest.mark.parametrize("n_states", [None, 1, 3])
@pytest.mark.parametrize("estimator", [KalmanSSM, SubspaceID])
def test_tiny_and_degenerate_data(estimator: Any, n_states: int | None) -> None:
    """Two rows, a constant column, a column of NaN, almost nothing but NaN: a finite model, which says what it is."""
    rng = np.random.default_rng(0)
    holes = rng.normal(size=(40, 2))
    holes[rng.random(holes.shape) < 0.8] = np.nan
    cases = [
        rng.normal(size=(2, 2)),
        np.column_stack([np.full(30, 7.0), rng.normal(size=30)]),
        np.column_stack([np.full(30, np.nan), rng.normal(size=30)]),
        np.full((20, 1), 3.0),
        holes,
        1e8 + 1e-3 * rng.normal(size=(12, 1)),
    ]
    for z in cases:
        found = estimator(n_states).fit(z)
        assert found.n_states_ == (n_states or found.n_states_)
        assert np.isfinite(found.transform(z)).all(), found.method_
        assert np.isfinite(found.predict(z)).all()
        assert found.message_
        if found.method_.startswith("principal") and estimator is SubspaceID:
            assert not found.converged_


def test_principal_components_without_gaps_are_those_of_numpy() -> None:
    """With as many states as values the start explains z by its principal components, and A by regression on the past."""
    z = kelman.simulate(
        kelman.StateSpace([[0.9, 0.2], [0, 0.5]], np.eye(2), np.eye(2), 0.01 * np.eye(2)), 5000, rng=0
    ).z
    found = principal_components(Panel([z], None, "one"), 2)
    _, distance = kelman.lti.match_poles([0.9, 0.5], kelman.lti.poles(found.A))
    assert distance.max() < 0.03
    np.testing.assert_allclose(found.c, z.mean(0))
    np.testing.assert_allclose(found.H @ found.H.T, np.cov(z.T, bias=True), rtol=0.01)


def test_sampling() -> None:
    """Draws have the model's variance, a seed fixes them, and a walk begins at zero."""
    found = KalmanSSM(2).fit(X)
    drawn, states = found.sample(4000, random_state=0)
    assert drawn.shape == (4000, 1)
    assert states.shape == (4000, 2)
    assert drawn.std() == pytest.approx(X.std(), rel=0.2)
    np.testing.assert_array_equal(drawn, found.sample(4000, random_state=0)[0])
    walk = np.cumsum(np.random.default_rng(0).normal(size=(400, 1)), axis=0)
    found = KalmanSSM(1, offset=False).fit(walk)
    found.model_ = found.model_.replace(A=[[1.0]], initial="diffuse")
    assert np.isfinite(found.sample(30, random_state=1)[0]).all()


def test_pipeline_clone_pickle_and_grid_search() -> None:
    """A pipeline with scaling, a clone, a pickle, and searches by time and by series that find two states."""
    chain = make_pipeline(StandardScaler(), KalmanSSM(2)).fit(X)
    assert chain.transform(X).shape == (500, 2)
    assert np.isfinite(chain.score(X))
    found = KalmanSSM(2).fit(X)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.transform(X), found.transform(X))
    assert clone(found).get_params() == found.get_params()
    assert not hasattr(clone(found), "A_")
    grid = {"n_states": [1, 2]}
    assert GridSearchCV(KalmanSSM(), grid, cv=TimeSplit(3)).fit(X).best_params_ == {"n_states": 2}
    assert GridSearchCV(KalmanSSM(), grid, cv=SeriesSplit(4)).fit(PANEL).best_params_ == {"n_states": 2}
    listed = [one[: 120 - 5 * i] for i, one in enumerate(PANEL)]
    assert GridSearchCV(KalmanSSM(), grid, cv=SeriesSplit(4)).fit(listed).best_params_ == {"n_states": 2}
    assert cross_val_score(KalmanSSM(2), X, cv=TimeSplit(4)).shape == (4,)
    assert list(found.get_feature_names_out()) == ["kalmanssm0", "kalmanssm1"]


def test_inputs_are_routed() -> None:
    """With metadata routing a search splits u as it splits X."""
    data = kelman.datasets.hairdryer()
    with sklearn.config_context(enable_metadata_routing=True):
        asked = KalmanSSM(2).set_fit_request(u=True).set_score_request(u=True)
        search = GridSearchCV(asked, {"n_states": [1, 3]}, cv=TimeSplit(2)).fit(data.z, u=data.u)
        assert search.best_params_ == {"n_states": 3}
        steps = make_pipeline(
            StandardScaler(), SubspaceID(3).set_fit_request(u=True).set_transform_request(u=True)
        )  # fmt: skip
        assert steps.fit(data.z, u=data.u).transform(data.z, u=data.u).shape == (1000, 3)


def test_splits_by_time() -> None:
    """Train is always before test, test covers all but the first stretch once, gap and max_train are kept."""
    splits = list(TimeSplit(4, gap=3, max_train=20).split(np.zeros((53, 2))))
    assert len(splits) == TimeSplit(4).get_n_splits() == 4
    for train, test in splits:
        assert test[0] - train[-1] == 4
        assert len(train) <= 20
        np.testing.assert_array_equal(np.diff(train), 1)
    covered = np.concatenate([test for _, test in splits])
    np.testing.assert_array_equal(covered, np.arange(covered[0], 53))


def test_splits_by_series() -> None:
    """Each series is in one test fold, never beside itself in train; shuffling deals them otherwise."""
    splits = list(SeriesSplit(3).split([np.zeros((4, 1))] * 7))
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(7))
    for train, test in splits:
        assert not set(train) & set(test)
        assert len(train) + len(test) == 7
    dealt = [test.tolist() for _, test in SeriesSplit(3, shuffle=True, random_state=0).split(np.zeros((7, 4, 1)))]
    assert dealt != [test.tolist() for _, test in splits]
    assert "SeriesSplit(n_splits=3" in repr(SeriesSplit(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KalmanSSM(2, method="magic").fit(X), "method: expected one of"),
        (lambda: KalmanSSM(0).fit(X), "n_states: expected a whole number"),
        (lambda: KalmanSSM(offset="yes").fit(X), "offset: expected"),
        (lambda: KalmanSSM().fit(X[:1]), "1 sample"),
        (lambda: KalmanSSM().fit(np.full((5, 1), np.inf)), "infinity"),
        (lambda: KalmanSSM().fit(X, lengths=[100, 100]), "lengths: add up to 200, but X has 500 rows"),
        (lambda: KalmanSSM().fit(X, lengths=[0, 500]), "lengths: expected whole numbers"),
        (lambda: KalmanSSM().fit(PANEL, lengths=[8]), "lengths: go with rows"),
        (lambda: KalmanSSM().fit(list(PANEL), lengths=[8]), "lengths: a list of series has its own"),
        (lambda: KalmanSSM().fit(X, u=np.ones((3, 1))), "u: expected 500 rows as in X, got 3"),
        (lambda: KalmanSSM().fit(PANEL, u=[np.ones(120)] * 2), "u: expected the inputs of 8 series"),
        (lambda: KalmanSSM().fit([X, np.zeros((9, 2))]), "X: every series must have the same number"),
        (lambda: KalmanSSM(1).fit(X).score(np.full((4, 1), np.nan)), "X: every value is missing"),
        (lambda: KalmanSSM(1).fit(X).transform(np.zeros((2, 5, 3))), "X has 3 features, but KalmanSSM is expecting 1"),
        (lambda: SubspaceID(weighting="best").fit(X), "weighting: expected one of"),
        (lambda: TimeSplit(0), "n_splits: expected a whole number"),
        (lambda: list(TimeSplit(5).split(X[:8])), "X: 8 rows are too few"),
        (lambda: list(TimeSplit(5).split(PANEL)), "X: TimeSplit cuts one series"),
        (lambda: list(SeriesSplit(9).split(PANEL)), "X: 8 series cannot be dealt into 9 folds"),
        (lambda: list(SeriesSplit(2).split(X)), "X: SeriesSplit deals series"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    """Each wrong argument is refused by name."""
    with pytest.raises(ValueError, match=message):
        make()
