"""`ElmanRNN`, `GRURegressor`, `LSTMRegressor`: scikit-learn's own checks, the package's verbs, and the dynamics behind them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks

import kelman
from kelman.errors import KelmanError
from kelman.estimators import ElmanRNN, GRURegressor, KalmanSSM, LSTMRegressor, SeriesSplit, TimeSplit

ROTATION = kelman.systems.rotation()
POLES = kelman.lti.poles(ROTATION.A)
Z = kelman.simulate(ROTATION, 4001, rng=0).z
X, Y = Z[:-1], Z[1:]
PANEL = kelman.simulate(ROTATION, 121, 8, rng=1).z
CLASSES = (ElmanRNN, GRURegressor, LSTMRegressor)
SMALL = [cls(2, max_iter=20) for cls in CLASSES]


def distance(found: Any) -> float:
    """Largest distance of the poles that were read from the true ones."""
    return float(kelman.lti.match_poles(POLES, found.poles)[1].max())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@checks.parametrize_with_checks([*SMALL, ElmanRNN(2, hidden="identity"), ElmanRNN(2, method="adam", max_iter=5)])
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    """Each check of `check_estimator` passes."""
    check(estimator)


class Deterministic(ElmanRNN):
    """The same without the tag that leaves out the checks which move rows, and another beside them."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        return tags


def test_what_the_tag_leaves_out_passes_too() -> None:
    """The check that scikit-learn skips for the tag `non_deterministic`, but for those that move rows, passes."""
    checks.check_pipeline_consistency("Deterministic", Deterministic(2, max_iter=5))


@pytest.mark.parametrize("estimator", SMALL, ids=lambda e: type(e).__name__)
def test_fit_and_predict_are_the_verbs(estimator: Any) -> None:
    """`fit` is `kelman.train` with random_state as its seed, `predict` is `kelman.forward`, `score` is R^2."""
    net = (
        clone(estimator)
        .set_params(n_hidden=3, direct=True, l2=1e-4, warmup=5, inputs=("z",), target="z_next")
        .fit(X, Y)
    )
    cell = {ElmanRNN: "elman", GRURegressor: "gru", LSTMRegressor: "lstm"}[type(estimator)]
    same = kelman.train(
        3, X, Y, cell=cell, direct=True, l2=1e-4, warmup=5, max_iterations=20, rng=0, progress=False,
        inputs=("z",), target="z_next",
    )  # fmt: skip
    assert type(net.rnn_) is type(same.rnn)
    for name, value in same.rnn.weights.items():
        np.testing.assert_array_equal(net.rnn_.weights[name], value)
    np.testing.assert_array_equal(net.predict(X), kelman.forward(same.rnn, X).y)
    assert net.score(X, Y) == pytest.approx(r2_score(Y, net.predict(X)))
    assert (net.loss_, net.method_, net.message_) == (same.loss, same.method, same.message)
    assert net.converged_ == same.converged
    assert net.n_iter_ == len(same.history)
    assert (net.n_features_in_, net.n_outputs_) == (1, 1)
    assert (net.rnn_.inputs, net.rnn_.target) == (("z",), "z_next")


@pytest.mark.parametrize("estimator", SMALL, ids=lambda e: type(e).__name__)
def test_the_form_of_the_series_comes_back(estimator: Any) -> None:
    """An array, a list and rows with lengths give one network, and each its own form of the same numbers."""
    x, y = PANEL[:, :-1], PANEL[:, 1:]
    rows, lengths = x.reshape(-1, 1), [120] * 8
    array = clone(estimator).fit(x, y)
    listed = clone(estimator).fit(list(x), list(y))
    table = clone(estimator).fit(rows, y.reshape(-1, 1), lengths=lengths)
    want = array.predict(x)
    assert want.shape == (8, 120, 1)
    assert isinstance(listed.predict(list(x)), list)
    np.testing.assert_allclose(np.stack(listed.predict(list(x))), want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(table.predict(rows, lengths=lengths).reshape(want.shape), want, rtol=1e-10, atol=1e-12)
    scores = array.score(x, y), listed.score(list(x), list(y)), table.score(rows, y.reshape(-1, 1), lengths=lengths)
    np.testing.assert_allclose(scores, r2_score(y.ravel(), want.ravel()))
    flat = clone(estimator).fit(x, y[..., 0])
    np.testing.assert_array_equal(flat.predict(x), want[..., 0])
    ragged = [x[0], x[1, :20]]
    one = clone(estimator).fit(ragged, [y[0, :, 0], y[1, :20, 0]])
    assert [part.shape for part in one.predict(ragged)] == [(120,), (20,)]
    np.testing.assert_allclose(one.predict(ragged)[1], one.predict(ragged[1]), rtol=1e-12)


def test_targets_that_are_missing_are_not_counted() -> None:
    """NaN in y changes neither the training on the rest (its values do not matter) nor the score of the rest."""
    y = np.column_stack([Y[:500, 0], X[:500, 0]])
    y[::7, 0] = np.nan
    net = ElmanRNN(2, hidden="identity").fit(X[:500], y)
    assert np.isfinite(net.predict(X[:500])).all()
    known = np.isfinite(y[:, 0])
    hat = net.predict(X[:500])
    want = (r2_score(y[known, 0], hat[known, 0]) + r2_score(y[:, 1], hat[:, 1])) / 2
    assert net.score(X[:500], y) == pytest.approx(want)
    weight = np.random.default_rng(0).random(500)
    want = r2_score(Y[:500], hat[:, :1], sample_weight=weight)
    assert ElmanRNN.score(net, X[:500], np.column_stack([Y[:500, 0], hat[:, 1]]), weight) == pytest.approx(
        (want + 1) / 2
    )
    with pytest.raises(KelmanError, match="sample_weight: expected one finite weight"):
        net.score(X[:500], y, -weight)
    with pytest.raises(KelmanError, match="sample_weight: expected 500 rows"):
        net.score(X[:500], y, weight[1:])
    y[:, 0] = np.nan
    with pytest.raises(KelmanError, match="y: every value of an output is missing"):
        net.score(X[:500], y)


def test_partial_fit_goes_on_from_the_present_weights() -> None:
    """Pass by pass the held-out score rises to nearly that of `fit`; a pass never raises the loss of its own data."""
    z = kelman.simulate(ROTATION, 20_001, rng=2).z
    bound = ElmanRNN(2, hidden="identity").fit(X, Y).score(X, Y)
    net, scores = ElmanRNN(2, hidden="identity", random_state=1), []
    for k in range(0, 20_000, 1000):
        x, y = z[k : k + 1000], z[k + 1 : k + 1001]
        before = None if k == 0 else np.mean((net.predict(x)[100:] - y[100:]) ** 2)
        net.partial_fit(x, y)
        after = np.mean((net.predict(x)[100:] - y[100:]) ** 2)
        assert before is None or after <= before * 1.001
        scores.append(net.score(X, Y))
    assert scores[-1] > bound - 0.02
    assert scores[-1] > scores[0] + 0.005
    assert (net.n_iter_, net.converged_, net.method_) == (20, False, "adam")


@pytest.mark.parametrize("cls", CLASSES)
def test_partial_fit_after_fit_and_on_little(cls: Any) -> None:
    """After `fit` it keeps what is known; one row, and a panel, are data too; random_state makes it repeatable."""
    nets = [cls(2, max_iter=30).fit(X, Y) for _ in range(2)]
    score, passes = nets[0].score(X, Y), nets[0].n_iter_
    for net in nets:
        net.partial_fit(X[:1], Y[:1]).partial_fit(PANEL[:, :-1], PANEL[:, 1:])
    assert nets[0].n_iter_ == passes + 2
    assert nets[0].score(X, Y) > score - 0.05
    for name, value in nets[1].rnn_.weights.items():
        np.testing.assert_array_equal(nets[0].rnn_.weights[name], value)


def test_random_state_is_the_seed() -> None:
    """The same state the same network, another one another, None fresh ones."""
    one, two, other = (ElmanRNN(2, method="adam", start="random", max_iter=3, random_state=s) for s in (5, 5, 6))
    fits = [e.fit(X[:200], Y[:200]).rnn_.U for e in (one, two, other)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])
    fresh = ElmanRNN(2, method="adam", start="random", max_iter=3, random_state=None)
    assert not np.array_equal(fresh.fit(X[:200], Y[:200]).rnn_.U, fresh.fit(X[:200], Y[:200]).rnn_.U)


def test_pipeline_clone_pickle_and_grid_search() -> None:
    """A pipeline with scaling, a clone, a pickle, and searches by time and by series that find two units."""
    chain = make_pipeline(StandardScaler(), ElmanRNN(2, hidden="identity")).fit(X, Y)
    assert chain.predict(X).shape == (4000, 1)
    assert chain.score(X, Y) > 0.28
    scaled = TransformedTargetRegressor(ElmanRNN(2, hidden="identity"), transformer=StandardScaler()).fit(X, Y)
    assert scaled.predict(X).shape == (4000, 1)
    assert scaled.score(X, Y) > 0.28
    for cls in CLASSES:
        net = cls(2, max_iter=5).fit(X, Y)
        again = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
        assert clone(net).get_params() == net.get_params()
        assert not hasattr(clone(net), "rnn_")
    grid = {"n_hidden": [1, 2]}
    linear = ElmanRNN(hidden="identity")
    assert GridSearchCV(linear, grid, cv=TimeSplit(3)).fit(X, Y).best_params_ == {"n_hidden": 2}
    x, y = PANEL[:, :-1], PANEL[:, 1:]
    assert GridSearchCV(linear, grid, cv=SeriesSplit(4)).fit(x, y).best_params_ == {"n_hidden": 2}
    cut = [120 - 5 * i for i in range(8)]
    listed = [[one[:t] for one, t in zip(part, cut, strict=True)] for part in (x, y)]
    assert GridSearchCV(linear, grid, cv=SeriesSplit(4)).fit(*listed).best_params_ == {"n_hidden": 2}
    assert cross_val_score(GRURegressor(2, max_iter=5), X, Y, cv=TimeSplit(3)).shape == (3,)


def test_lengths_are_routed() -> None:
    """With metadata routing a pipeline hands the lengths on."""
    rows, targets, lengths = PANEL[:, :-1].reshape(-1, 1), PANEL[:, 1:].reshape(-1, 1), [120] * 8
    asked = ElmanRNN(2, hidden="identity", learn_h0=True)
    direct = clone(asked).fit(rows, targets, lengths=lengths)
    with sklearn.config_context(enable_metadata_routing=True):
        step = asked.set_fit_request(lengths=True).set_predict_request(lengths=True).set_score_request(lengths=True)
        chain = make_pipeline(step).fit(rows, targets, lengths=lengths)
        np.testing.assert_array_equal(chain.predict(rows, lengths=lengths), direct.predict(rows, lengths=lengths))
        assert chain.score(rows, targets, lengths=lengths) == direct.score(rows, targets, lengths=lengths)
        assert direct.set_partial_fit_request(lengths=True).get_metadata_routing().partial_fit.requests == {
            "lengths": True
        }
    assert not np.array_equal(direct.predict(rows), direct.predict(rows, lengths=lengths))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ElmanRNN(2, hidden="identity").fit(X, Y),
        lambda: ElmanRNN(2).fit(X, Y),
        lambda: GRURegressor(2).fit(X, Y),
        lambda: LSTMRegressor(2).fit(X, Y[:, 0]),
        lambda: make_pipeline(StandardScaler(), ElmanRNN(2, hidden="identity")).fit(X, Y),
        lambda: GridSearchCV(ElmanRNN(hidden="identity"), {"n_hidden": [1, 2]}, cv=TimeSplit(2)).fit(X, Y),
        lambda: KalmanSSM(2).fit(Z),
    ],
    ids=["linear", "tanh", "gru", "lstm", "pipeline", "search", "model"],
)
def test_the_dynamics_behind_an_estimator_are_read(make: Any) -> None:
    """The poles of the system come out of what was fitted to its data, to four standard deviations of such a record."""
    found = kelman.read_dynamics(predictor=make(), z=Z, order=2)
    assert found.n_samples > 3900
    assert distance(found) < 0.03, found.poles
    assert found.linear_r2 > 0.97


def test_what_cannot_be_read() -> None:
    """An estimator before `fit`, and a pipeline whose predictions are in units of its last step."""
    with pytest.raises(NotFittedError):
        kelman.read_dynamics(ElmanRNN(2), z=Z)
    with pytest.raises(KelmanError, match="last step, a state-space estimator"):
        kelman.read_dynamics(make_pipeline(StandardScaler(), KalmanSSM(2)).fit(Z), z=Z)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ElmanRNN(0).fit(X, Y), "n_hidden: expected a whole number"),
        (lambda: ElmanRNN(max_iter=0).fit(X, Y), "max_iter: expected a whole number"),
        (lambda: ElmanRNN(hidden="step").fit(X, Y), "hidden: expected one of"),
        (lambda: GRURegressor(method="magic").fit(X, Y), "method: expected one of"),
        (lambda: LSTMRegressor(start="given").fit(X, Y), 'start: "given" needs a network'),
        (lambda: ElmanRNN().fit(X, Y[:-1]), "y: expected 4000 rows as in X, got 3999"),
        (lambda: ElmanRNN().fit(X[:1], Y[:1]), "1 sample"),
        (lambda: ElmanRNN().fit(np.full((5, 1), np.nan), np.zeros(5)), "Input X contains NaN"),
        (lambda: ElmanRNN().fit(np.full((2, 5, 1), np.nan), np.zeros((2, 5))), "X contains NaN"),
        (lambda: ElmanRNN().fit([np.full((5, 1), np.nan)], [np.zeros(5)]), r"Input X\[0\] contains NaN"),
        (lambda: ElmanRNN().fit(np.zeros((5, 1)), np.full(5, np.inf)), "Input y contains infinity"),
        (lambda: ElmanRNN().fit(np.zeros((5, 1)), np.full(5, np.nan)), "y: nothing is left to count"),
        (lambda: ElmanRNN().fit(PANEL, PANEL[:3]), "y: expected those of 8 series as in X, got 3"),
        (lambda: ElmanRNN().fit(PANEL, PANEL[:, :5]), r"y\[0\]: expected 121 rows as in X, got 5"),
        (lambda: ElmanRNN().fit(PANEL, PANEL, lengths=[121] * 8), "lengths: go with rows .* give a list for a 3-D X"),
        (lambda: ElmanRNN().fit([X, X], [Y, Y[:, 0]]), "y: expected shape"),
        (lambda: ElmanRNN().fit([X, X], [Y, np.hstack([Y, Y])]), "y: every series must have the same number"),
        (lambda: ElmanRNN(1).fit(X[:50], Y[:50]).score(X, np.hstack([Y, Y])), "y: expected 1 targets in each row"),
        (lambda: ElmanRNN(1).fit(X[:50], Y[:50]).predict(np.zeros((4, 2))), "X has 2 features, but ElmanRNN is"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    """Each wrong argument is refused by name."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("panel", [False, True])
def test_passes_over_the_same_data_are_one_run_of_adam(cls: Any, panel: bool) -> None:
    """Five calls of `partial_fit` equal five epochs of one run of Adam to the bit: running means, batches and scaling go on."""
    z = kelman.simulate(ROTATION, 2_001, rng=3).z
    x, y = (z[:2_000].reshape(25, 80, 1), z[1:].reshape(25, 80, 1)) if panel else (z[:-1], z[1:])
    net = cls(2, random_state=4, window=50)
    losses = [net.partial_fit(x, y).loss_ for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    copy = pickle.loads(pickle.dumps(net))
    batch = 2_000 // (8 * 50)
    whole = kelman.train(
        (1, 2, 1), x, y, cell=cls.CELL, method="adam", start="subspace", shrinkage=0, offsets=True, window=50, batch=batch,
        validation=0, schedule="constant", max_iterations=5, rng=4,
    )  # fmt: skip
    for name, value in whole.rnn.weights.items():
        np.testing.assert_array_equal(net.rnn_.weights[name], value)
    fresh = cls(2, random_state=4, window=50)
    fresh.rnn_, fresh.n_iter_, fresh.n_features_in_, fresh.n_outputs_ = (
        getattr(net, a) for a in ("rnn_", "n_iter_", "n_features_in_", "n_outputs_")
    )
    net.partial_fit(x, y), copy.partial_fit(x, y), fresh.partial_fit(x, y)
    np.testing.assert_array_equal(copy.rnn_.U, net.rnn_.U)
    assert (fresh.rnn_.U != net.rnn_.U).any()


def test_a_pass_that_overflows_keeps_the_last_good_weights() -> None:
    """A wild rate on a rectified network ends at finite weights, and says so."""
    net = ElmanRNN(3, hidden="relu", window=20).partial_fit(X[:400], Y[:400])
    good = net.rnn_
    net.set_params(learning_rate=1e200).partial_fit(X[:400], Y[:400])
    assert "last good weights" in net.message_
    np.testing.assert_array_equal(net.rnn_.U, good.U)
    net.set_params(learning_rate=1e-3).partial_fit(X[:400], Y[:400])
    assert (net.rnn_.U != good.U).any() and np.isfinite(net.loss_) and np.isfinite(net.predict(X)).all()
