"""`kelman.diagnose`: each figure against an oracle, another implementation, or its own distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

import kelman
from kelman.errors import KelmanError
from kelman.identify import _auxiliary
from tests.linear.cases import data, inputs, model
from tests.linear.oracle_checks import dense
from tests.oracles import Dense
from tests.strategies import Case, cases

ROTATION = kelman.systems.rotation()


def nile() -> tuple[kelman.StateSpace, np.ndarray]:
    """The local level of the Nile."""
    return kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]]), kelman.datasets.nile().z


def dense_shocks(oracle: Dense) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t-statistics (T, m), (T, n) and how well they are determined, by generalised least squares on all of z at once."""
    T, n, m = oracle.T, oracle.n, oracle.m
    rows = np.concatenate([oracle.measured(k) for k in range(T)])
    seen = ~np.isnan(oracle.z.ravel())
    rows = rows[seen]
    e = oracle.z.ravel()[seen] - oracle.mean[rows].astype(float)
    V, X = oracle.cov[np.ix_(rows, rows)].astype(float), oracle.diffuse[rows].astype(float)
    W = np.linalg.inv(V)
    W = W - W @ X @ np.linalg.pinv(X.T @ W @ X) @ X.T @ W
    out = []
    for columns in (np.eye(T * m)[:, :].reshape(T * m, T, m), None):
        effects = columns if columns is not None else _jumps(oracle.model, T, n)
        t = np.full(effects.shape[0], np.nan)
        for i, effect in enumerate(effects.reshape(len(effects), -1)[:, seen]):
            information = effect @ W @ effect
            if information > 1e-9 * max(effect @ effect, 1e-300) * np.abs(W).max():
                t[i] = effect @ W @ e / np.sqrt(information)
        out.append(t.reshape(T, -1))
    return out[0], out[1], np.linalg.cond(V)


def _jumps(m: kelman.StateSpace, T: int, n: int) -> np.ndarray:
    """What a jump of state i at time k adds to all measurements, (T n, T, m)."""
    from tests.oracles import matrices

    out = np.zeros((T, n, T, m.dims.m))
    for k in range(T):
        x = np.eye(n)
        for later in range(k, T):
            at = matrices(m, later)
            x = at.A @ x if later > k else x
            out[k, :, later] = (at.H @ x).T
    return out.reshape(T * n, T, m.dims.m)


@settings(max_examples=60)
@given(case=cases(max_T=8, batch=False, singular=False))
def test_auxiliary_residuals_are_those_of_generalised_least_squares(case: Case) -> None:
    """The t-statistic of every shock equals that of a regression on it with the dense covariance of all measurements."""
    oracle = dense(case)[0]
    oracle.model = case.model()  # type: ignore[attr-defined]
    u = None if case.u_past is None else case.u_past[0]
    try:
        d = kelman.diagnose(case.model(), case.z[0], u)
    except KelmanError as error:
        assert "leaves no innovation" in str(error)  # noqa: PT017
        return
    outliers, breaks, condition = dense_shocks(oracle)
    assume(condition < 1e5)
    for got, expected in ((d.outliers, outliers), (d.breaks, breaks)):
        known = np.isfinite(got) & np.isfinite(expected)
        np.testing.assert_allclose(got[known], expected[known], rtol=1e-6, atol=1e-6)
        assert not (np.isfinite(expected) & ~np.isfinite(got)).any()


@settings(max_examples=40)
@given(case=cases(max_T=8, starts=("x0", "x1", "stationary"), batch=False, singular=False))
def test_standardised_innovations_are_a_cholesky_factor(case: Case) -> None:
    """They equal L^-1 (z - E z) with L the Cholesky factor of the dense covariance of all that was measured."""
    oracle = dense(case)[0]
    u = None if case.u_past is None else case.u_past[0]
    seen = ~np.isnan(case.z[0])
    assume(seen.any())
    d = kelman.diagnose(case.model(), case.z[0], u)
    rows = np.concatenate([oracle.measured(k) for k in range(oracle.T)])[seen.ravel()]
    e = case.z[0][seen] - oracle.mean[rows].astype(float)
    L = np.linalg.cholesky(oracle.cov[np.ix_(rows, rows)].astype(float))
    np.testing.assert_array_equal(np.isnan(d.innovations), ~seen)
    np.testing.assert_allclose(d.innovations[seen], np.linalg.solve(L, e), rtol=1e-6, atol=1e-6)


def test_figures_equal_those_of_statsmodels() -> None:
    """Ljung-Box, Jarque-Bera, H and the smoothed disturbances of statsmodels, two series with a trend; 1e-8."""
    sm = pytest.importorskip("statsmodels.api")
    z = np.log(np.column_stack([kelman.datasets.nile().z, kelman.datasets.nile().z[::-1] ** 1.2]))
    A, H = np.array([[1.0, 1.0, 0.0], [0, 1, 0], [0, 0, 1]]), np.array([[1.0, 0, 0], [0.5, 0, 1.0]])
    Q, R = np.diag([0.002, 1e-4, 0.003]), np.array([[0.01, 0.002], [0.002, 0.02]])
    P1 = np.eye(3)
    theirs = sm.tsa.statespace.MLEModel(z, k_states=3, k_posdef=3)
    for name, value in (("transition", A), ("design", H), ("state_cov", Q), ("obs_cov", R), ("selection", np.eye(3))):
        theirs[name] = value
    theirs.ssm.tolerance = 0  # no constant gains, which would cost digits
    theirs.ssm.initialize_known(np.array([7.0, 0, 5.0]), P1)
    result = theirs.smooth([], cov_type="none")
    d = kelman.diagnose(kelman.StateSpace(A, H, Q, R, m1=[7.0, 0, 5.0], P1=P1), z, lags=12)
    serial = result.test_serial_correlation("ljungbox", lags=12)[:, :, -1]
    np.testing.assert_allclose(d.serial_correlation.statistic, serial[:, 0], rtol=1e-8)
    np.testing.assert_allclose(d.serial_correlation.p_value, serial[:, 1], rtol=1e-8)
    normal = result.test_normality("jarquebera")
    np.testing.assert_allclose(d.normality.statistic, normal[:, 0], rtol=1e-8)
    np.testing.assert_allclose(d.normality.p_value, normal[:, 1], rtol=1e-8)
    np.testing.assert_allclose(d.normality.details["kurtosis"], normal[:, 3] - 3, rtol=1e-8)
    breaks = result.test_heteroskedasticity("breakvar")
    np.testing.assert_allclose(d.heteroscedasticity.statistic, breaks[:, 0], rtol=1e-8)
    np.testing.assert_allclose(d.heteroscedasticity.p_value, breaks[:, 1], rtol=1e-8)
    s = result.smoother_results
    for i in range(3):
        eta, cov = s.smoothed_state_disturbance[i, :-2], s.smoothed_state_disturbance_cov[i, i, :-2]
        np.testing.assert_allclose(d.breaks[1:-1, i], eta / np.sqrt(Q[i, i] - cov), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_the_tests_have_their_size(gaps: float) -> None:
    """On 600 series from the model (seed 0) each test rejects 5 % within 4 standard errors, with gaps and without."""
    z = kelman.simulate(ROTATION, 200, 600, rng=0).z.copy()
    z[np.random.default_rng(1).random(z.shape) < gaps] = np.nan
    d = kelman.diagnose(ROTATION, z)
    error = np.sqrt(0.05 * 0.95 / 600)
    for test in (d.mean, d.serial_correlation, d.normality, d.heteroscedasticity):
        assert abs((test.p_value < 0.05).mean() - 0.05) < 4 * error, test.name
    outside = (d.nis.average < d.nis.average_lower) | (d.nis.average > d.nis.average_upper)
    assert abs(outside.mean() - 0.05) < 4 * error
    assert abs(d.nis.inside - 0.95) < 0.005
    assert d.passed
    t = np.concatenate([d.outliers.ravel(), d.breaks.ravel()])
    t = t[np.isfinite(t)]
    assert abs(t.std() - 1) < 0.01
    assert abs(t.mean()) < 0.01


def test_nees_lies_in_its_band() -> None:
    """With the true states of 400 series (seed 0) the average NEES is 1, and its band holds 90 to 99 % of the series."""
    sim = kelman.simulate(ROTATION, 200, 400, rng=0)
    d = kelman.diagnose(ROTATION, sim.z, states=sim.x)
    assert d.nees is not None
    assert d.nees.consistent
    assert abs(d.nees.overall - 1) < 0.02
    held = (d.nees.average >= d.nees.average_lower) & (d.nees.average <= d.nees.average_upper)
    assert 0.90 <= held.mean() <= 0.99
    proud = kelman.diagnose(ROTATION.replace(Q=ROTATION.Q / 9), sim.z, states=sim.x)
    assert proud.nees is not None
    assert proud.nees.overall > proud.nees.overall_upper
    assert "too small" in proud.summary()
    assert not proud.passed


def test_what_is_wrong_with_a_model_is_said() -> None:
    """A missing offset, missing dynamics, changed variance and wrong noise each show in their own line."""
    sim = kelman.simulate(ROTATION, 400, rng=2)
    assert "offset" in kelman.diagnose(ROTATION, sim.z + 1.0).summary()
    white = kelman.StateSpace([[0.0]], [[1.0]], [[1.0]], [[1.0]])
    assert "dynamics are missing" in kelman.diagnose(white, sim.z).summary()
    loud = sim.z * np.linspace(0.3, 2, 400)[:, None]
    assert "variance changes" in kelman.diagnose(ROTATION, loud).summary()
    assert "trusts itself too much" in kelman.diagnose(ROTATION, 2 * sim.z).summary()
    assert "too large" in kelman.diagnose(ROTATION, sim.z / 2).summary()


def long_cases() -> dict[str, tuple[kelman.StateSpace, Any, Any]]:
    """Models and series of many steps, which are gone through in blocks of time."""
    rng = np.random.default_rng(0)
    two = kelman.systems.random_stable(3, 2, 1, rng=2, radius=0.95)
    u = rng.normal(size=(4, 777, 1))
    z = kelman.simulate(two, 777, 4, u=u, rng=0).z
    z[rng.random(z.shape) < 0.1] = np.nan
    z[1, 300:420] = np.nan
    level, _ = nile()
    walk = np.cumsum(rng.normal(size=(2, 1001)) * 38, axis=1)[..., None] + 122 * rng.normal(size=(2, 1001, 1))
    angle = np.linspace(0.2, 0.6, 530)
    turn = np.moveaxis(np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]), -1, 0)
    timed = ROTATION.replace(A=0.97 * turn, m1=[0.0, 0.0], P1=np.eye(2))
    cross = ROTATION.replace(S=0.3 * np.ones((2, 1)) * np.sqrt(ROTATION.R[0, 0] * ROTATION.Q[0, 0]))
    ragged = [one[:length] for one, length in zip(z, (777, 500, 640, 33), strict=True)]
    return {
        "gaps": (two, z, u),
        "ragged": (two, ragged, [one[: len(part)] for one, part in zip(u, ragged, strict=True)]),
        "diffuse": (level, walk, None),
        "diffuse gap": (level, np.where(np.arange(1001)[:, None] % 400 < 30, np.nan, walk[0]), None),
        "timed": (timed, kelman.simulate(timed, 530, rng=1).z, None),
        "cross": (cross, kelman.simulate(cross, 600, 2, rng=1).z, None),
        "per series": (kelman.StateSpace.stack([level, level.replace(Q=[[400.0]])]), walk, None),
    }


@pytest.mark.parametrize("name", list(long_cases()))
def test_blocks_of_time_are_the_whole_series(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recursion back in time over blocks side by side gives what one block does, and shocks are the same."""
    model, z, u = long_cases()[name]
    found = kelman.diagnose(model, z, u)
    monkeypatch.setattr(_auxiliary, "_MANY", 1)
    whole = kelman.diagnose(model, z, u)
    for figure in ("outliers", "breaks", "outlier_sizes", "break_sizes"):
        expected = getattr(whole, figure)
        np.testing.assert_allclose(
            getattr(found, figure), expected, rtol=1e-8, atol=1e-8 * np.nanmax(np.abs(expected)), equal_nan=True
        )
    assert [(f.kind, f.series, f.time, f.component) for f in found.flags] == [
        (f.kind, f.series, f.time, f.component) for f in whole.flags
    ]


def test_fits_diagnose_themselves() -> None:
    """`fit.diagnose()` is `diagnose` of its model and data: one series, several, and of a `Fit` the data given."""
    level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    fit = kelman.fit(kelman.datasets.nile().z, template=level)
    d = fit.diagnose(level=0.9)
    assert d.level == 0.9
    np.testing.assert_array_equal(d.innovations, kelman.diagnose(fit.model, kelman.datasets.nile().z).innovations)
    z = kelman.simulate(ROTATION, 200, 3, rng=0).z
    template = kelman.Template(ROTATION.A, ROTATION.H, kelman.Free(0.1 * np.eye(2)), [[kelman.Free(1.0)]])
    assert kelman.fit(z, template=template).diagnose().innovations.shape == (3, 200, 1)
    found = kelman.fit(z, n_states=2)
    expected = kelman.diagnose(found.model, z).innovations
    np.testing.assert_array_equal(found.diagnose(z).innovations, expected)
    np.testing.assert_allclose(found.diagnose().innovations[:, 60:], expected[:, 60:], atol=1e-3)
    dryer = kelman.datasets.hairdryer()
    fit = kelman.fit(dryer.z, dryer.u, n_states=4)
    one = fit.diagnose()
    assert one.loglik == pytest.approx(fit.loglik, abs=1e-6)  # from the first state that was fitted
    assert one.nis.overall == pytest.approx(1, abs=1e-9)


def test_planted_shocks_are_found_without_their_echoes() -> None:
    """An outlier of 8 and a level shift of 15 are flagged with place and size; what is left is what chance gives."""
    m = kelman.StateSpace([[1, 1], [0, 1]], [[1, 0], [0.3, 0]], np.diag([0.3, 0.05]), np.diag([1.0, 2.0]))
    z = kelman.simulate(m.replace(m1=[0, 0], P1=np.eye(2)), 150, 3, rng=1).z.copy()
    z[0, 60, 0] += 8
    z[0, 100:] += [15, 4.5]
    z[2, 20:30, 1] = np.nan
    d = kelman.diagnose(m, z, threshold=4.0)
    assert [(f.kind, f.series, f.time, f.component) for f in d.flags] == [("break", 0, 100, 0), ("outlier", 0, 60, 0)]
    assert abs(d.flags[0].size - 15) < 4
    assert abs(d.flags[1].size - 8) < 3
    assert d.flags[0].t == pytest.approx(d.breaks[0, 100, 0])
    assert d.flags[0].size == pytest.approx(d.break_sizes[0, 100, 0])
    assert "break of x[0] at series 0, time 100" in d.summary()


def test_the_break_of_the_nile() -> None:
    """The shift of 1899 (t = -3.2) and the outlier of 1913 (t = -3.0) of Durbin and Koopman (2012), fig. 2.8, are flagged."""
    d = kelman.diagnose(*nile())
    assert [(f.kind, f.time) for f in d.flags] == [("break", 28), ("outlier", 42)]


def test_series_are_taken_one_by_one_too() -> None:
    """A batch gives for each series what the series gives alone, ragged or not, with models of their own too."""
    own = kelman.StateSpace.stack([model(seed=s, p=1) for s in range(3)])
    z, u = data(3, 40), inputs(3, 40)
    many = kelman.diagnose(own, z, u)
    for i in range(3):
        one = kelman.diagnose(own.series(i), z[i], u[i])
        np.testing.assert_allclose(many.innovations[i], one.innovations, atol=1e-10)
        np.testing.assert_allclose(many.breaks[i], one.breaks, atol=1e-8)
        np.testing.assert_allclose(many.serial_correlation.statistic[i], one.serial_correlation.statistic)
        np.testing.assert_allclose(many.nis.average[i], one.nis.average)
        np.testing.assert_allclose(many.heteroscedasticity.p_value[i], one.heteroscedasticity.p_value)
    ragged = kelman.diagnose(model(), [z[0], z[1, :25]], lags=4)
    short = kelman.diagnose(model(), z[1, :25], lags=4)
    np.testing.assert_allclose(ragged.normality.statistic[1], short.normality.statistic)
    np.testing.assert_allclose(ragged.heteroscedasticity.statistic[1], short.heteroscedasticity.statistic)
    assert np.isnan(ragged.innovations[1, 25:]).all()
    np.testing.assert_allclose(ragged.outliers[1, :25], short.outliers, atol=1e-10)


def test_structure_is_told() -> None:
    """A state that is not measured and one that no noise moves are counted; nearly equal components are seen."""
    A = np.diag([0.9, 0.5, 0.2])
    m = kelman.StateSpace(A, [[1.0, 1.0, 0.0]], np.diag([1.0, 0.0, 1.0]), [[1.0]], B=[[0.0], [1.0], [0.0]])
    d = kelman.diagnose(m, data(1, 50, 1)[0], np.zeros(50))
    assert (d.observability.rank, d.noise_reach.rank, d.input_reach and d.input_reach.rank) == (2, 2, 1)
    assert np.isinf(d.observability.condition)
    assert "see 2 of 3 directions" in d.summary()
    hilbert = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]])
    assert kelman.diagnose(hilbert, data(1, 30, 1)[0]).observability.condition == 1.0
    twin = kelman.StateSpace([[0.5]], [[1.0], [1.0]], [[1.0]], 1e-12 * np.eye(2))
    d = kelman.diagnose(twin, kelman.simulate(twin, 50, rng=0).z)
    assert d.condition > 1e11
    assert "predict each other" in d.summary()


def test_units_of_the_states_do_not_matter() -> None:
    """Condition numbers are the same after states are measured in other units."""
    m, T = model(), np.diag([1e4, 1.0, 1e-5])
    back = np.linalg.inv(T)
    other = kelman.StateSpace(T @ m.A @ back, m.H @ back, T @ m.Q @ T.T, m.R)
    one, two = (kelman.diagnose(x, data(1, 30)[0]) for x in (m, other))
    np.testing.assert_allclose(one.observability.condition, two.observability.condition, rtol=1e-6)
    np.testing.assert_allclose(one.noise_reach.condition, two.noise_reach.condition, rtol=1e-6)


def test_fitted_parameters_take_degrees_of_freedom() -> None:
    """`fitted` is taken off the degrees of freedom of Ljung and Box, which get no p-value when none are left."""
    one, two = kelman.diagnose(*nile(), lags=9), kelman.diagnose(*nile(), lags=9, fitted=1)
    assert (one.serial_correlation.dof[0], two.serial_correlation.dof[0]) == (9, 8)
    assert two.serial_correlation.p_value[0] < one.serial_correlation.p_value[0]
    none = kelman.diagnose(*nile(), lags=2, fitted=2)
    assert np.isnan(none.serial_correlation.p_value[0])
    assert "too few" in none.summary()


def test_the_figure_shows_the_chosen_series() -> None:
    """Six panels; the first shows the innovations of the chosen series and component."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    d = kelman.diagnose(model(), data(3, 30))
    fig = d.plot(series=1, component=1)
    assert len(fig.axes) == 6
    shown = next(line for line in fig.axes[0].lines if len(line.get_xdata()) == 30)
    np.testing.assert_array_equal(shown.get_ydata(), d.innovations[1, :, 1])
    with pytest.raises(KelmanError, match="series"):
        d.plot(series=3)
    with pytest.raises(KelmanError, match="component"):
        d.plot(component=2)
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "level: expected a number between 0 and 1, got 1.0"),
        ({"lags": 0}, "lags: expected a whole number"),
        ({"fitted": -1}, "fitted: expected a whole number of at least 0"),
        ({"threshold": 0}, "threshold: expected a number above 0"),
        ({"states": np.zeros((3, 3))}, r"states: expected the true states, shape \(12, 3\), got \(3, 3\)"),
        ({"z": np.full((5, 2), np.nan)}, "z: leaves no innovation"),
        ({"model": None}, "model: diagnose expects a StateSpace, got None"),
        ({"z": np.zeros((5, 3))}, "z: expected shape"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    """Each wrong argument is refused by name."""
    arguments: dict[str, Any] = {"model": model(), "z": data(1, 12)[0]} | change
    with pytest.raises(KelmanError, match=message):
        kelman.diagnose(**arguments)
