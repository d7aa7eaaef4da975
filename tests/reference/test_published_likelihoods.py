"""Published maxima of likelihoods, many models of one series: what is found is never below what was printed."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from kelman import structural
from tests.reference.test_published import near, table

NONE = (0, 0, 0, 1)
# order, seasonal order, mean, number of climbs, log-likelihood printed by Stata 12's `arima wpi, ... vce(oim)` (files of
# statsmodels 0.15, results_sarimax_coverage.csv). Where one climb ends on a lower top the number of climbs says so.
STATA = [
    ((3, 0, 0), NONE, False, 1, -145.917),
    ((3, 0, 0), NONE, True, 1, -145.1327),
    ((3, 2, 0), NONE, False, 1, -135.9354),
    ((3, 0, 0), (0, 2, 0, 4), False, 1, -194.9269),
    ((0, 0, 3), NONE, True, 1, -379.8598),
    ((0, 2, 3), NONE, False, 1, -136.14),
    ((3, 0, 3), NONE, False, 10, -142.1485),
    ((3, 0, 2), NONE, True, 1, -141.6737),
    ((3, 0, 2), (0, 2, 0, 4), False, 10, -179.129),
    ((3, 2, 2), (0, 2, 0, 4), False, 1, -190.8858),
    ((0, 0, 0), (3, 0, 0, 4), False, 1, -302.9966),
    ((0, 2, 0), (3, 0, 0, 4), False, 1, -146.5967),
    ((0, 0, 0), (0, 0, 3, 4), True, 1, -407.9579),
    ((0, 2, 0), (3, 0, 2, 4), False, 1, -144.272),
    ((0, 0, 0), (3, 2, 2, 4), False, 1, -265.2458),
]


@pytest.mark.parametrize(("order", "seasonal", "mean", "starts", "printed"), STATA)
def test_stata_arima(
    order: tuple[int, int, int], seasonal: tuple[int, int, int, int], mean: bool, starts: int, printed: float
) -> None:
    """Wholesale prices 1960 to 1990, seasonal and other ARIMA models: Stata's log-likelihood, to 1e-4, or a higher one."""
    z = table("wpi1.csv")["wpi"]
    fit = kelman.fit(z, template=structural.sarima(order, seasonal, mean=mean), starts=starts)
    assert fit.converged
    assert fit.loglik > printed - 2e-4


def test_stata_estimates() -> None:
    """ARIMA(1,1,1) with drift: coefficients, standard errors (observed information) and -135.35131 of Stata."""
    fit = kelman.fit(table("wpi1.csv")["wpi"], template=structural.sarima((1, 1, 1), mean=True))
    near(fit.loglik, -135.35131, 1e-5)
    near(fit.theta, [0.8742288, -0.4120458, 0.7250436**2, 0.7498197], 1e-4)
    near(fit.std_errors[[0, 1, 3]], [0.0637705, 0.1220756, 0.2920992], 2e-3)


# Log-likelihoods of KFAS 1.x in R for quarterly unemployment of the United States (files of statsmodels, results_structural.py),
# at variances that its optimiser stopped at.
KFAS = {
    "irregular": (structural.irregular(), -653.8562525),
    "constant": (structural.level(variance=0.0), -365.5289923),
    "local level": (structural.level(), -70.97242557),
    "random walk": (structural.level() + structural.irregular(0.0), -70.96771641),
    "line": (structural.trend(level_variance=0.0, slope_variance=0.0), -370.7758666),
    "walk with drift": (structural.trend(slope_variance=0.0) + structural.irregular(0.0), -73.46798576),
    "local linear trend": (structural.trend(), -31.15640107),
    "smooth trend": (structural.trend("smooth"), -31.92261408),
    "smooth trend alone": (structural.trend("smooth") + structural.irregular(0.0), -32.05607557),
    "seasonal": (structural.irregular() + structural.seasonal(4), -655.3337155),
    "trigonometric": (structural.irregular() + structural.seasonal(5, "trigonometric"), -657.6629457),
    "trend and AR(1)": (structural.trend("smooth") + structural.arma(1) + structural.irregular(0.0), -31.15629379),
}


@pytest.mark.parametrize("name", KFAS)
def test_kfas_structural(name: str) -> None:
    """Structural models of unemployment: KFAS's exact diffuse log-likelihood, to 1e-4, or a higher one."""
    model, printed = KFAS[name]
    fit = kelman.fit(kelman.datasets.us_macro().z[:, 1], template=model)
    assert fit.loglik > printed - 1e-4
    if model.size == 1:  # a variance alone has one top
        near(fit.loglik, printed, 1e-4)


def test_kfas_regression() -> None:
    """Unemployment on the logarithm of output, a diffuse coefficient: -371.7966543."""
    data = kelman.datasets.us_macro().z
    model = structural.irregular() + structural.regression(np.log(data[:, :1]))
    near(kelman.fit(data[:, 1], template=model).loglik, -371.7966543, 1e-5)
