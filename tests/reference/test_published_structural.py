"""Published fits of structural models and ARIMA processes: figure, source and tolerance beside each other."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman import Free, Template, structural
from tests.reference.test_published import near, table


def estimates(fit: object) -> dict[str, float]:
    """Parameters by name."""
    return dict(zip(fit.names, fit.theta, strict=True))


def errors(fit: object) -> dict[str, float]:
    """Standard errors by name."""
    return dict(zip(fit.names, fit.std_errors, strict=True))


def test_case_2_nile_variances() -> None:
    """H = 15099, Q = 1469.1 (Durbin and Koopman 2.10; R's StructTS 15099, 1469), to 0.05 per cent."""
    fit = kelman.fit(kelman.datasets.nile().z, template=structural.level(), method="mle")
    assert fit.converged
    found = estimates(fit)
    near(found["irregular.variance"] / 15099, 1.0, 5e-4)
    near(found["level.variance"] / 1469.1, 1.0, 5e-4)
    near(fit.loglik, -632.5456251, 1e-6)


def test_case_9_uk_drivers_deterministic_level() -> None:
    """Log of drivers, a constant: loglik/n 0.3297597, variance 0.029353 (Commandeur and Koopman 2.1); 1e-6."""
    z = np.log(kelman.datasets.uk_drivers().z)
    fit = kelman.fit(z, template=structural.level(variance=0.0), method="mle")
    near(fit.loglik / 192, 0.3297597, 1e-6)
    near(fit.theta, [0.029353], 1e-6)


def test_case_22_clark_from_components() -> None:
    """Clark's model is trend + AR(2) without irregular: 578.520887 (Kim and Nelson, GAUSS; 1e-5) from their start."""
    z = np.log(table("clark1987.csv")["gdp"])
    sigma_v, sigma_e, sigma_w, phi_1, phi_2 = 0.005539, 0.006164, 0.000184, 1.531659, -0.585422
    clark = structural.trend() + structural.arma(2) + structural.irregular(0.0)
    model = clark.model([sigma_v**2, sigma_w**2, phi_1, phi_2, sigma_e**2])
    A = np.array(
        [[1.0, 0, 0, 1], [0, phi_1, phi_2, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    )  # trend, cycle, cycle before, drift
    ours = np.array(
        [[1.0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, phi_2, 0]]
    )  # trend, drift, cycle, phi_2 cycle before
    start = ours @ A @ (100 * np.eye(4)) @ A.T @ ours.T
    r = kelman.filter(model.replace(m1=np.zeros(4), P1=start, P1_inf=None), z)
    near(r.loglik_obs[20:].sum(), 578.520887, 1e-5)
    near(r.mean[-1, :3], [8.618016, 0.00647, 0.002564], 2e-5)


def test_case_25_hormone_ar1_and_ar3() -> None:
    """lh, AR(1) and AR(3) with mean, as printed by R's ?arima: coefficients and logliks; 1e-6 on the computed logliks."""
    z = table("lh.csv")["value"]
    one = kelman.fit(z, template=structural.arma(1, mean=True), method="mle")
    near(one.loglik, -29.38, 5e-3)  # as printed
    near(one.loglik, -29.3791623874, 1e-6)  # R
    found, error = estimates(one), errors(one)
    near([found["arma.ar1"], found["arma.mean"], found["arma.variance"]], [0.5739, 2.4133, 0.1975], 1e-4)
    near([error["arma.ar1"], error["arma.mean"]], [0.1161, 0.1466], 1e-3)
    three = kelman.fit(z, template=structural.arma(3, mean=True), method="mle")
    near(three.loglik, -27.09, 5e-3)
    near(three.loglik, -27.092411066, 1e-6)
    names = ("ar1", "ar2", "ar3", "mean", "variance")
    near([estimates(three)[f"arma.{name}"] for name in names], [0.6448, -0.0634, -0.2198, 2.3931, 0.1787], 1e-4)


def test_case_26_presidents_with_gaps() -> None:
    """Approval ratings, AR(3) with mean, 6 of 120 missing: -414.08 and coefficients of R's ?arima; 1e-5 on the loglik."""
    fit = kelman.fit(table("presidents.csv")["value"], template=structural.arma(3, mean=True), method="mle")
    near(fit.loglik, -414.08, 5e-3)
    near(fit.loglik, -414.081930378, 1e-5)  # statsmodels; R -414.081931422
    found = estimates(fit)
    near([found[f"arma.ar{i}"] for i in (1, 2, 3)], [0.7496, 0.2523, -0.1890], 1e-4)
    near(found["arma.mean"], 56.2236, 1e-2)  # R stops 0.007 short of the maximum along the mean
    near(found["arma.variance"], 81.12, 1e-2)


def test_case_28_airline_model() -> None:
    """(0,1,1)(0,1,1)_12 of the log of the airline data: 244.6965, -.4018, -.5569, .001348 (Stata 244.69651); 1e-4."""
    z = np.log(kelman.datasets.airline().z)
    airline = structural.sarima((0, 1, 1), (0, 1, 1, 12))
    fit = kelman.fit(z, template=airline, method="mle")
    near(fit.loglik, 244.6965, 1e-4)
    near(fit.theta, [-0.4018, -0.5569, 0.001348], 1e-4)
    # the series as it is, from 13 exactly diffuse states, has the likelihood of the differenced one
    stationary = structural.sarima((0, 0, 1), (0, 0, 1, 12))
    w = np.diff(z[12:] - z[:-12], axis=0)
    near(kelman.loglik(stationary.model(fit.theta), w), fit.loglik, 1e-8)


def test_case_39_johnson_and_johnson() -> None:
    """Growing trend and quarterly seasonal: phi 1.035, sigma .1397, .2209, 0 (Shumway and Stoffer, chapter 6); 1e-3."""
    z = table("johnson_johnson.csv")["value"]
    A = [[Free(1.03, name="phi"), 0, 0, 0], [0, -1, -1, -1], [0, 1, 0, 0], [0, 0, 1, 0]]
    Q = [[Free(0.1**2, name="trend"), 0, 0, 0], [0, Free(0.1**2, name="season"), 0, 0], [0] * 4, [0] * 4]
    template = Template(A, [[1, 1, 0, 0]], Q, [[Free(name="noise")]], m0=[0.7, 0, 0, 0], P0=0.04 * np.eye(4))
    fit = kelman.fit(z, template=template, method="mle")
    found, error = estimates(fit), errors(fit)
    near(found["phi"], 1.0350835, 1e-4)
    sigma = np.sqrt([found["trend"], found["season"], found["noise"]])
    near(sigma, [0.1397052, 0.2208703, 0.0], 1e-3)
    near(-(fit.loglik + 0.5 * len(z) * np.log(2 * np.pi)), -33.0994903, 1e-4)
    near(error["phi"], 0.0026, 3e-4)
    near([error["trend"] / (2 * sigma[0]), error["season"] / (2 * sigma[1])], [0.0215, 0.0235], 2e-3)


TRIG = structural.seasonal(12, "trigonometric")
FIXED_TRIG = structural.seasonal(12, "trigonometric", deterministic=True)
STILL = structural.level(variance=0.0)


@pytest.mark.parametrize(
    ("section", "model", "variables", "loglik", "variances"),
    [
        ("2.2", structural.level(), "", 0.6451960, {"level": 0.011866, "irregular": 0.00222157}),
        ("3.1", structural.trend(), "", 0.6247935, {"trend.level": 0.012128, "irregular": 0.0021181}),
        ("4.1", STILL + FIXED_TRIG, "", 0.4174873, {"irregular": 0.0175885}),
        ("4.2", structural.level() + TRIG, "", 0.9369063, {}),
        (
            "4.2, fixed pattern",
            structural.level() + FIXED_TRIG,
            "",
            None,
            {"level": 0.000945723, "irregular": 0.00351385},
        ),
        ("5.2", structural.level(), "petrol", 0.6456361, {"level": 0.0116673}),
        ("6.2", structural.level(), "law", 0.6630851, {}),
        ("7.1", STILL + FIXED_TRIG, "petrol law", 0.8023778, {"irregular": 0.00740223}),
        (
            "7.2",
            structural.level() + TRIG,
            "petrol law",
            0.9825225,
            {"level": 0.000267632, "irregular": 0.00378629, "seasonal(12)": 0.0000011622},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_uk_drivers_through_the_book(
    section: str, model: structural.Structural, variables: str, loglik: float | None, variances: dict[str, float]
) -> None:
    """Commandeur and Koopman (2007), sections 2.2 to 7.2: loglik/n as printed (1e-6) and variances (5e-4 of each).

    The variances are printed in the book and quoted by github.com/sinhrks/stan-statespace.
    """
    data = kelman.datasets.uk_drivers()
    columns = {"petrol": np.log(data.u[:, 0]), "law": data.u[:, 1]}
    names = variables.split()
    if names:
        model = model + structural.regression(np.column_stack([columns[name] for name in names]), names=names)
    z = np.log(data.z)
    fit = kelman.fit(z, template=model, method="mle")
    assert fit.converged
    if loglik is not None:
        near(fit.loglik / 192, loglik, 1e-6)
    found = estimates(fit)
    for name, value in variances.items():
        wanted = f"{name}_variance" if "." in name else f"{name}.variance"
        near(found[wanted] / value, 1.0, 5e-4)


def test_uk_drivers_coefficients_of_the_book() -> None:
    """Commandeur and Koopman (2007): 5.2 petrol -.26105, 6.2 law -.3785, 7.1 law -.19714 and petrol -.45213, as printed."""
    data = kelman.datasets.uk_drivers()
    z, petrol, law = np.log(data.z), np.log(data.u[:, 0]), data.u[:, 1]

    def coefficients(model: structural.Structural) -> list[float]:
        c = structural.components(kelman.fit(z, template=model, method="mle"), z)
        return [float(c[name].mean[0, 0]) for name in c if name.endswith("coefficient")]

    near(coefficients(structural.level() + structural.regression(petrol)), [-0.26105], 5e-5)
    near(coefficients(structural.level() + structural.regression(law)), [-0.3785], 5e-5)
    both = structural.regression(np.column_stack([petrol, law]))
    near(coefficients(STILL + FIXED_TRIG + both), [-0.45213, -0.19714], 5e-5)


def test_uk_seat_belts_end_to_end() -> None:
    """Level, seasonal, petrol price and the law: statsmodels gives the same coefficients, errors and no higher likelihood."""
    sm = pytest.importorskip("statsmodels.tsa.api")
    data = kelman.datasets.uk_drivers()
    z, X = np.log(data.z[:, 0]), np.column_stack([np.log(data.u[:, 0]), data.u[:, 1]])
    model = structural.level() + structural.seasonal(12) + structural.regression(X, names=["petrol", "law"])
    fit = kelman.fit(z, template=model, method="mle")
    c = structural.components(fit, z)
    petrol, law = c["regression petrol coefficient"], c["regression law coefficient"]
    theirs = sm.UnobservedComponents(z, "llevel", seasonal=12, exog=X, mle_regression=False, use_exact_diffuse=True)
    found = estimates(fit)
    same = [found["irregular.variance"], found["level.variance"], found["seasonal(12).variance"]]
    there = theirs.smooth(same)
    near(fit.loglik, there.llf + 14 * 0.5 * np.log(2 * np.pi), 1e-6)
    near([petrol.mean[-1, 0], law.mean[-1, 0]], there.smoothed_state[-2:, -1], 1e-7)
    near([petrol.std[-1, 0], law.std[-1, 0]], np.sqrt(np.diagonal(there.smoothed_state_cov[-2:, -2:, -1])), 1e-7)
    best = theirs.fit(same, disp=False, method="powell").llf
    assert best < there.llf + 1e-4
    # belts saved a fifth of the drivers: about 24 per cent in logarithms, five standard errors from nothing
    assert law.mean[-1, 0] == pytest.approx(-0.2376, abs=1e-4)
    assert abs(law.mean[-1, 0]) > 5 * law.std[-1, 0]


def test_us_trend_and_cycle_end_to_end() -> None:
    """Log output by a smooth trend and a damped cycle: the cycle lasts some years and statsmodels finds nothing better."""
    sm = pytest.importorskip("statsmodels.tsa.api")
    z = 100 * np.log(kelman.datasets.us_macro().z[:, 0])
    model = structural.trend("smooth") + structural.cycle((6, 48))
    fit = kelman.fit(z, template=model + structural.irregular(0.0), method="mle")
    found = estimates(fit)
    assert 12 < 2 * np.pi / found["cycle.frequency"] < 48
    theirs = sm.UnobservedComponents(
        z,
        "rtrend",
        cycle=True,
        stochastic_cycle=True,
        damped_cycle=True,
        cycle_period_bounds=(6, 48),
        use_exact_diffuse=True,
    )
    order = ["trend.slope_variance", "cycle.variance", "cycle.frequency", "cycle.damping"]
    from statsmodels.tsa.statespace.initialization import Initialization

    start = Initialization(4)
    start.set((0, 2), "diffuse")
    start.set((2, 4), "stationary")  # statsmodels itself would start the damped cycle diffuse
    theirs.initialize_default = lambda **_: setattr(theirs.ssm, "initialization", start)
    theirs.ssm.initialization = start
    theirs.loglikelihood_burn = 0
    at = np.array([found[name] for name in order])
    near(fit.loglik, theirs.loglike(at, transformed=True) + 2 * 0.5 * np.log(2 * np.pi), 1e-6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        near_by = at * np.exp(0.05 * rng.normal(size=4))
        near_by[3] = min(near_by[3], 0.999)
        assert theirs.loglike(near_by, transformed=True) < theirs.loglike(at, transformed=True)
