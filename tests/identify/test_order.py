"""`kelman.identify.select_order`, and subspace fits of data with gaps and of many short series."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman import lti, systems
from kelman.errors import KelmanError, NoSteadyStateError
from kelman.identify import _subspace, select_order
from kelman.identify._data import assemble, read, read_series
from tests.identify.test_fit import excess, simulate

ROTATION = systems.rotation()


def pair_of_rotations() -> kelman.StateSpace:
    """Two oscillations, four states, one measured value."""
    A = np.zeros((4, 4))
    A[:2, :2] = 0.95 * np.array([[0.6, -0.8], [0.8, 0.6]])
    A[2:, 2:] = 0.8 * np.array([[-0.6, -0.8], [0.8, -0.6]])
    return kelman.StateSpace(A, [[1, 0, 1, 0]], np.eye(4), [[0.2]])


def gappy(T: int, seed: int) -> np.ndarray:
    """A series of the rotation with a long gap and a missing value every 101 steps."""
    z = simulate(ROTATION, T, seed)
    z[::101] = np.nan
    z[T // 3 : T // 3 + 150] = np.nan
    return z


def test_all_rules_find_the_order_of_simulated_data() -> None:
    """Two and four states: singular values, BIC and held-out likelihood agree at T = 20,000."""
    for model, n in ((ROTATION, 2), (pair_of_rotations(), 4)):
        found = select_order(simulate(model, 20_000, 0))
        assert (found.by_singular_values, found.by_bic, found.by_holdout) == (n, n, n), found.summary()
        assert found.order == n
        assert found.rule == "bic"


@pytest.mark.parametrize("seed", range(5))
def test_bic_is_what_fit_does(seed: int) -> None:
    """`fit` without n_states takes ``by_bic``, and the BIC of that order is the fit's own up to the refit of its start."""
    z = simulate(pair_of_rotations(), 1500, seed)
    found, fit = select_order(z), kelman.fit(z, method="subspace", x1="zero")
    assert found.order == found.by_bic == fit.order
    np.testing.assert_allclose(found.correlations, fit.singular_values)
    np.testing.assert_allclose(found.bic[fit.order - 1], fit.bic, rtol=1e-9)


def test_held_out_likelihood_is_that_of_the_filter() -> None:
    """The value of each order is the filter's likelihood of the last part, by a model fitted to the first, in the user's units."""
    z = 100 * simulate(ROTATION, 3000, 1) + 7000
    found = select_order(z, max_order=3, block_rows=8)
    assert found.heldout_values == 750
    one = kelman.fit(z[:2250], n_states=2, method="subspace", block_rows=8, x1="zero")
    each = kelman.filter(one.model, z, store="filtered").loglik_obs
    np.testing.assert_allclose(found.heldout[1], each[2250:].mean(), atol=2e-4)
    first = kelman.fit(z[:2250], n_states=1, method="subspace", block_rows=8, x1="zero")
    other = kelman.filter(first.model, z, store="filtered").loglik_obs
    expected = np.sqrt(750 * np.var(each[2250:] - other[2250:])) / 750
    np.testing.assert_allclose(found.heldout_error[0], expected, rtol=0.01)
    assert found.heldout_error[np.argmax(found.heldout)] == 0


def test_units_and_levels_change_nothing_but_constants() -> None:
    """Scaled, shifted data: the same orders, BIC and likelihood moved by the logarithm of the scale."""
    data = kelman.datasets.hairdryer()
    for weighting in ("cca", "moesp"):
        one = select_order(data.z, data.u, weighting=weighting, offset=True)
        two = select_order(1000 * data.z - 40, 0.01 * data.u + 3, weighting=weighting, offset=True)
        np.testing.assert_allclose(two.bic, one.bic + 2 * 1000 * np.log(1000), rtol=1e-7)
        np.testing.assert_allclose(two.heldout, one.heldout - np.log(1000), rtol=1e-6)
        assert (two.by_bic, two.by_holdout) == (one.by_bic, one.by_holdout)


def test_series_are_held_out_where_there_are_many() -> None:
    """A quarter of 80 series, evenly spread; of three series the last quarter of each."""
    many = [simulate(ROTATION, 60, seed) for seed in range(80)]
    found = select_order(many)
    assert found.heldout_values == 20 * 60
    assert found.order == 2
    few = select_order([simulate(ROTATION, T, seed) for seed, T in enumerate((801, 600, 400))])
    assert few.heldout_values == 201 + 150 + 100
    assert few.by_bic == 2


def test_rules_and_summary() -> None:
    """Each rule gives its own order; the table has a line for each; without held-out data there is no opinion."""
    data = kelman.datasets.hairdryer()
    for rule, name in (("bic", "by_bic"), ("holdout", "by_holdout"), ("singular values", "by_singular_values")):
        found = select_order(data.z, data.u, rule=rule)
        assert found.order == getattr(found, name)
    lines = found.summary().splitlines()
    assert len(lines) == 4 + len(found.orders)
    assert f"Order {found.order} by singular values" in lines[0]
    none = select_order(data.z, data.u, holdout=0, max_order=6)
    assert none.by_holdout is None
    assert np.isnan(none.heldout).all()
    assert len(none.orders) == 6
    with pytest.raises(ValueError, match="read-only"):
        none.bic[0] = 0


def test_gaps_and_missing_components_in_the_held_out_part() -> None:
    """Two values, one of them missing at places: values are counted one by one, and the order is found."""
    model = kelman.StateSpace(ROTATION.A, [[1.0, 0.0], [0.0, 1.0]], ROTATION.Q, np.eye(2))
    z = simulate(model, 4000, 0)
    z[3500, 0] = z[3600] = z[100, 1] = np.nan
    found = select_order(z)
    assert found.heldout_values == 2000 - 3
    assert found.order == 2


BAD = {
    "rule": (lambda: select_order(gappy(600, 0), rule="aic"), "rule"),
    "holdout": (lambda: select_order(gappy(600, 0), holdout=1.0), "holdout"),
    "holdout none": (lambda: select_order(gappy(600, 0), holdout=0, rule="holdout"), "holdout"),
    "holdout much": (lambda: select_order(gappy(600, 0)[:60], holdout=0.95), "holdout: of what is left to fit, z"),
    "max_order": (lambda: select_order(gappy(600, 0), max_order=0), "max_order"),
    "max_order high": (lambda: select_order(gappy(900, 0), max_order=9, block_rows=5), "max_order: 5 block rows"),
    "all missing": (lambda: select_order(np.full(50, np.nan)), "no step"),
    "infinite": (lambda: select_order(np.where(np.arange(90) == 3, np.inf, 1.0)), "infinite"),
    "gap in u": (lambda: select_order(np.ones(9), np.full(9, np.nan)), "u: 9 entries"),
    "windows": (
        lambda: kelman.fit(
            np.where(np.arange(300) % 5 == 4, np.nan, np.sin(np.arange(300))),
            n_states=1,
            method="subspace",
            block_rows=3,
        ),
        (
            r"240 steps without a gap \(60 have one\) in 60 stretches \(the longest of 4\) give 0 whole windows of 6 steps, but "
            r"block_rows=3 needs at least 6; .*method='mle' or 'em'"
        ),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_is_refused_by_name(case: str) -> None:
    """Each malformed argument raises KelmanError and the message says which, and what to do."""
    call, words = BAD[case]
    with pytest.raises(KelmanError, match=words):
        call()


def test_windows_with_a_gap_are_left_out() -> None:
    """The LQ factor has the moments of exactly those windows that are whole, found one by one."""
    z = np.random.default_rng(0).normal(size=(400, 2))
    u = np.random.default_rng(1).normal(size=(400, 1))
    z[[3, 50, 51, 52, 120, 300, 305], [0, 1, 0, 1, 1, 0, 1]] = np.nan
    rows = 4
    columns = []
    for k in range(400 - 2 * rows + 1):
        zw, uw = z[k : k + 2 * rows], u[k : k + 2 * rows]
        if np.isfinite(zw).all():
            columns.append(np.concatenate([uw[rows:].ravel(), uw[:rows].ravel(), zw[:rows].ravel(), zw[rows:].ravel()]))
    X = np.array(columns)
    factor = _subspace.lq_factor(read(z, u, gaps=True), rows)
    assert factor.columns == len(columns)
    np.testing.assert_allclose(factor.L @ factor.L.T, X.T @ X, atol=1e-9)


@pytest.mark.parametrize("weighting", ["cca", "n4sid", "moesp"])
def test_gaps_equal_the_pieces_and_no_gap_equals_the_record(weighting: str) -> None:
    """A record with gaps is fitted as its stretches in a list, to the last digit; `gaps` does nothing where there are none."""
    z = gappy(3000, 0)
    options = {"n_states": 2, "method": "subspace", "weighting": weighting, "block_rows": 6, "offset": False}
    one = kelman.fit(z, **options)
    whole = np.isfinite(z[:, 0])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], whole, [0]]))).reshape(-1, 2)
    two = kelman.fit([z[a:b] for a, b in edges if b - a >= 12], **options)
    np.testing.assert_array_equal(one.poles, two.poles)
    np.testing.assert_array_equal(one.Sigma, two.Sigma)
    assert one.nobs + one.unused == 3000
    assert "not used" in one.summary()
    full = simulate(ROTATION, 500, 0)
    same = assemble(*read_series(full, None, gaps=True))
    np.testing.assert_array_equal(same.z, read(full, None).z)
    assert same.missing == 0


def test_gaps_do_not_bias() -> None:
    """Over 20 seeds, nearly half of the windows lost: poles within 1.5 Cramer-Rao deviations, and efficient for the windows left."""
    truth = 0.95 * np.exp(0.3j)
    moduli, angles, scores = [], [], []
    for seed in range(20):
        fit = kelman.fit(gappy(5000, seed), n_states=2, method="subspace")
        modulus, angle = fit.pole_std()
        pole = fit.poles[np.argmax(fit.poles.imag)]
        moduli.append((abs(pole) - abs(truth)) / modulus[0])
        angles.append((np.angle(pole) - np.angle(truth)) / angle[0])
        assert fit.windows < 0.6 * 5000
        scores.append(fit.windows * excess(fit, ROTATION))
    for errors in (moduli, angles):
        assert np.sqrt(np.mean(np.square(errors))) < 1.5, errors
        assert abs(np.mean(errors)) < 3 / np.sqrt(20), errors
    assert 2.1 < np.mean(scores) < 5.9, scores  # an efficient method has 4 with a deviation of 0.63


def test_gaps_with_inputs() -> None:
    """With inputs, a level and gaps: the response to the inputs within 4 reported deviations."""
    model = systems.random_stable(2, 1, 1, rng=5, radius=0.8)
    u = np.random.default_rng(0).normal(size=(4000, 1))
    z = simulate(model, 4000, 0, u) + 30.0
    z[np.random.default_rng(2).random(4000) < 0.01] = np.nan
    fit = kelman.fit(z, u, n_states=2, method="subspace")
    value, std = fit.impulse(6)
    assert (np.abs(value - lti.impulse(model, 6)) < 4 * std).all()
    assert abs(fit.model.c[0] - 30.0) < 0.3
    assert fit.unused > 40


def test_many_short_series_are_pooled() -> None:
    """4,000 series of 12 steps by shift invariance, which needs no long past: the pole within 4 Cramer-Rao deviations."""
    z = np.stack([simulate(ROTATION, 12, seed) for seed in range(4000)])
    fit = kelman.fit(z, n_states=2, method="subspace", weighting="moesp", block_rows=5)
    assert fit.windows == 4000 * 3
    modulus, angle = fit.pole_std()
    pole = fit.poles[np.argmax(fit.poles.imag)]
    assert abs(abs(pole) - 0.95) < 4 * modulus[0]
    assert abs(np.angle(pole) - 0.3) < 4 * angle[0]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_unstable_regression_gain_gives_way_to_the_riccati_equation(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences of white noise: the regression's A - K H is unstable, the model's is not, by the equation and by nothing else."""
    e = np.random.default_rng(155).normal(size=31)
    z = e[1:] - e[:-1]
    factor = _subspace.lq_factor(read(z, None), 4)
    space = _subspace.decompose(factor, "cca")
    found = _subspace.realise(factor, space, order, "cca", False)
    raw = np.linalg.lstsq(found.R, found.S.T, rcond=None)[0].T
    assert lti.spectral_radius(found.A - raw @ found.H) > 1
    assert found.gain_from == "riccati"
    assert lti.spectral_radius(found.A - found.K @ found.H) < 1
    ss = lti.dare(found.A, found.H, found.Q, found.R, found.S)
    np.testing.assert_allclose(found.K, ss.K, atol=1e-8)
    np.testing.assert_allclose(found.Sigma, ss.Sigma, atol=1e-8)
    fit = kelman.fit(z, n_states=order, method="subspace", block_rows=4, offset=False)
    assert lti.spectral_radius(fit.model.A - fit.K @ fit.model.H) < 1
    assert (np.abs(fit.K) > 1e-3).any()

    def none(*_: object) -> None:
        raise NoSteadyStateError("no solution")

    monkeypatch.setattr(_subspace, "dare", none)
    without = _subspace.realise(factor, space, order, "cca", False)
    assert without.gain_from == "none (open loop)"
    assert not without.K.any()


def test_a_fit_of_data_with_gaps_is_diagnosed_on_its_stretches() -> None:
    """`diagnose` without data takes the stretches that were used, each from its own first state."""
    fit = kelman.fit(gappy(3000, 0), n_states=2, method="subspace")
    d = fit.diagnose()
    assert np.sum(np.isfinite(d.innovations)) == fit.nobs == 3000 - fit.unused
    assert len(fit.x1) == len(d.innovations)
