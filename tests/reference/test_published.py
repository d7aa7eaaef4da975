"""Published numbers: each test shows the figure, where it was printed, what computed it, and the tolerance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import kelman
from tests.oracles import Dense

DATA = Path(__file__).parent / "data"


def table(name: str) -> dict[str, np.ndarray]:
    """Columns of a file in `data/` (see `extract.py`); NA is NaN."""
    return _columns((DATA / name).read_text(encoding="ascii").splitlines()[1:])


def _columns(lines: list[str]) -> dict[str, np.ndarray]:
    rows = [line.split(",") for line in lines]
    numbers = np.array([[math.nan if cell == "NA" else float(cell) for cell in row] for row in rows[1:]])
    return dict(zip(rows[0], numbers.T, strict=True))


def near(got: object, published: object, tolerance: float) -> None:
    """Equal to an absolute tolerance."""
    np.testing.assert_allclose(np.asarray(got, dtype=float), published, rtol=0, atol=tolerance)


@pytest.fixture(params=["core", pytest.param("torch", marks=pytest.mark.torch)])
def backend(request: pytest.FixtureRequest) -> str:
    """Both backends reproduce the same figures."""
    return str(request.param)


def nile_model() -> kelman.StateSpace:
    """Local level for the Nile with the variances of Durbin and Koopman (2012), eq. 2.10, and an exactly diffuse start."""
    return kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]], initial="diffuse")


def test_case_1_nile_likelihood(backend: str) -> None:
    """The exact diffuse log-likelihood is that of KFAS; statsmodels' keeps one more 2-pi term; a large kappa drops one."""
    z = kelman.datasets.nile().z
    # KFAS: -632.545625116; dense generalised least squares: -632.5456251157; tolerance 1e-6
    near(kelman.loglik(nile_model(), z, backend=backend), -632.545625116, 1e-6)
    # statsmodels, exact diffuse: -633.464563649; tolerance 1e-6
    near(kelman.loglik(nile_model(), z, diffuse_constant="statsmodels", backend=backend), -633.464563649, 1e-6)
    # StateSpaceModels.jl prints -632.5442 for kappa = 1e7 without the first term: -632.544212278; tolerance 1e-6
    big = nile_model().replace(initial="auto", m1=[0.0], P1=[[1e7]])
    near(kelman.filter(big, z, backend=backend).loglik_obs[1:].sum(), -632.544212278, 1e-6)


def test_case_3_nile_smoothed_level(backend: str) -> None:
    """Smoothed level and variance at t = 1, 2, 50, 100: KFAS and statsmodels (Durbin and Koopman, fig. 2.2); 1e-6."""
    s = kelman.smooth(nile_model(), kelman.datasets.nile().z, backend=backend)
    at = [0, 1, 49, 99]
    near(s.mean[at, 0], [1111.66831913, 1110.85766462, 834.763259104, 798.370292608], 1e-6)
    near(s.cov[at, 0, 0], [4032.15794181, 3242.93007322, 2326.75686981, 4032.15794181], 1e-6)


def test_case_5_nile_residual_checks() -> None:
    """Skewness, excess kurtosis, H(33) and Q(9) of e_2..e_100: Durbin and Koopman (2012), section 2.12; tolerance 0.005."""
    d = kelman.diagnose(nile_model(), kelman.datasets.nile().z)
    assert np.isfinite(d.innovations).sum() == 99
    # printed: -0.03, 0.09, 0.61, 8.84; computed to more digits: -0.03055, 0.08734, 0.61296, 8.84332
    near(d.normality.details["skewness"], [-0.03055], 0.00001)
    near(d.normality.details["kurtosis"], [0.08734], 0.00001)
    near(d.heteroscedasticity.statistic, [0.61296], 0.00001)
    near(d.serial_correlation.statistic, [8.84332], 0.00001)
    near([d.normality.details["skewness"][0], d.normality.details["kurtosis"][0]], [-0.03, 0.09], 0.005)
    near([d.heteroscedasticity.statistic[0], d.serial_correlation.statistic[0]], [0.61, 8.84], 0.005)
    assert (d.heteroscedasticity.details["h"][0], d.serial_correlation.dof[0]) == (33, 9)


def test_case_6_nile_with_gaps(backend: str) -> None:
    """Years 21..40 and 61..80 missing: likelihood, smoothed level and variance of KFAS (fig. 2.5); 1e-5."""
    z = kelman.datasets.nile().z.copy()
    z[20:40] = z[60:80] = np.nan
    s = kelman.smooth(nile_model(), z, backend=backend)
    near(s.loglik, -380.587062775, 1e-5)
    expected = [999.712684084, 903.421102958, 797.500363719, 837.17732371, 798.315114618]
    near(s.mean[[19, 29, 40, 69, 99], 0], expected, 1e-5)
    near(s.cov[[19, 29, 40, 69], 0, 0], [3614.40343, 9715.00590, 3614.39601, 9715.00555], 1e-5)


def test_case_7_nile_forecast(backend: str) -> None:
    """The forecast is flat at 798.37 (fig. 2.6); variances of z after 1 and 30 steps; 1e-5."""
    f = kelman.forecast(nile_model(), kelman.datasets.nile().z, 30, backend=backend)
    near(f.mean[:, 0], np.full(30, 798.370292608), 1e-5)
    near(f.cov[[0, 29], 0, 0], [20600.25794, 63204.15794], 1e-5)


def test_case_8_steady_state() -> None:
    """Closed form P = (q + sqrt(q^2 + 4 q r))/2 for the Nile (P = 5501.25794181, K = .26704801), golden ratio; 1e-10."""
    ss = kelman.steady_state(nile_model())
    P = (1469.1 + math.sqrt(1469.1**2 + 4 * 1469.1 * 15099.0)) / 2
    near(ss.P_predicted / P, [[1.0]], 1e-10)
    near(ss.P_predicted, [[5501.25794181]], 1e-7)  # as printed
    near(ss.K, [[P / (P + 15099.0)]], 1e-10)
    near(ss.K, [[0.26704801]], 1e-8)  # as printed
    unit = kelman.steady_state(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]))
    near(unit.P_predicted, [[(1 + math.sqrt(5)) / 2]], 1e-10)
    near(unit.K_f, [[(math.sqrt(5) - 1) / 2]], 1e-10)


def _toy(name: str) -> tuple[kelman.StateSpace, np.ndarray]:
    ones = np.ones(10)
    if name == "local_level":
        return kelman.StateSpace([[1.0]], [[1.0]], [[8.253]], [[1.993]], initial="diffuse"), np.r_[10.2394, ones[1:]]
    if name.startswith("local_linear_trend"):
        z = np.r_[10.2394, 4.2039, 6.123123, ones[3:]]
        z[1] = np.nan if name.endswith("missing") else z[1]
        trend = [[1.0, 1.0], [0.0, 1.0]]
        return kelman.StateSpace(trend, [[1.0, 0.0]], np.diag([8.253, 2.334]), [[1.993]], initial="diffuse"), z
    z = np.column_stack([np.r_[10.2394, ones[1:]], np.r_[8.2304, ones[1:]]])
    if name.endswith("restricted"):
        return kelman.StateSpace([[1.0]], [[1.0], [0.1111]], [[3.2324]], np.eye(2), initial="diffuse"), z
    H = [[1.0, 0.0], [0.1111, 1.0]]
    return kelman.StateSpace(np.eye(2), H, np.diag([3.2324, 0.0]), np.eye(2), initial="diffuse"), z


@pytest.mark.parametrize(
    ("name", "loglik", "tolerance"),
    [
        ("local_level", -23.0163218509366, 1e-10),  # case 18
        ("local_linear_trend", -21.1364983872324, 1e-10),  # case 19
        ("local_linear_trend_missing", -18.3036127435546, 1e-10),  # case 19, diffuse for three steps
        ("common_level", -51.9451615109472, 1e-9),  # case 20
        ("common_level_restricted", -62.9698544759892, 1e-9),  # case 20
    ],
)
def test_cases_18_19_20_exact_diffuse_toys(name: str, loglik: float, tolerance: float, backend: str) -> None:
    """Likelihood, smoothed states and variances of KFAS 1.3.1 for five exactly diffuse models; 1e-10 (1e-9 bivariate)."""
    model, z = _toy(name)
    kfas = table(f"kfas_{name}.csv")
    assert kfas["llf"][0] == loglik
    s = kelman.smooth(model, z, backend=backend)
    near(s.loglik, loglik, tolerance)
    # KFAS gives 20.0810 for the first state of the restricted model; the dense answer, the arbiter, is 9.0632.
    first = 1 if name.endswith("restricted") else 0
    near(s.mean[first:], np.column_stack([kfas[f"alphahat_{i + 1}"] for i in range(model.dims.n)])[first:], tolerance)
    near(s.cov.sum(axis=(-2, -1))[first:], kfas["sumV"][first:], tolerance)
    mean, cov, _ = Dense(model, z).smoothed()
    near(s.mean, mean, tolerance)
    near(s.cov, cov, tolerance)


def test_case_22_clark_trend_and_cycle(backend: str) -> None:
    """Clark (1987) on US GDP: likelihood without the first 20 terms 578.520887 (1e-5) and filtered states (2e-5)."""
    gauss = table("clark1987.csv")
    sigma_v, sigma_e, sigma_w, phi_1, phi_2 = 0.005539, 0.006164, 0.000184, 1.531659, -0.585422
    A = np.array([[1.0, 0, 0, 1], [0, phi_1, phi_2, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    Q = np.diag([sigma_v**2, sigma_e**2, 0, sigma_w**2])
    model = kelman.StateSpace(A, [[1.0, 1, 0, 0]], Q, [[0.0]], m1=np.zeros(4), P1=A @ (100 * np.eye(4)) @ A.T)
    r = kelman.filter(model, np.log(gauss["gdp"]), backend=backend)
    near(r.loglik_obs[20:].sum(), 578.520887, 1e-5)  # Kim and Nelson (1999), GAUSS
    near(r.loglik_obs[20:].sum(), 578.5208841, 1e-6)  # statsmodels
    near(r.mean[-1, [0, 1, 3]], [8.618016, 0.002564, 0.00647], 2e-5)  # GAUSS
    near(r.mean[-1, [0, 1, 3]], [8.618005, 0.002575, 0.006469], 1e-6)  # statsmodels
    printed = np.column_stack([gauss[name][20:] for name in ("trend", "cycle", "drift")])
    near(r.mean[20:, [0, 1, 3]], printed, 1e-4)  # all of GAUSS' table, as far as statsmodels agrees with it


@pytest.mark.parametrize(
    ("q", "published", "computed"),
    [
        (2.3, [0.5345, 0.0101, -0.4776], [0.53453754, 0.01013319, -0.47756789]),
        (1.0, [0.3798, 0.0817, -0.2570], [0.37979733, 0.08173173, -0.25703962]),
    ],
)
def test_case_34_gain_of_a_plant(q: float, published: list[float], computed: list[float]) -> None:
    """The filter gain M of MATLAB's `kalman` example, as printed (1e-4) and as computed independently (1e-8)."""
    A = [[1.1269, -0.4940, 0.1129], [1.0, 0, 0], [0, 1.0, 0]]
    B = np.array([[-0.3832], [0.5919], [0.5191]])
    ss = kelman.steady_state(kelman.StateSpace(A, [[1.0, 0, 0]], q * B @ B.T, [[1.0]]))
    near(ss.K_f[:, 0], published, 1e-4)
    near(ss.K_f[:, 0], computed, 1e-8)


def test_case_35_subspace_on_the_hair_dryer() -> None:
    """PO-MOESP with 15 block rows (SLICOT IB01AD/IB01BD): singular values to 1e-4, order 4, eigenvalues of A to 5e-4."""
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="moesp", block_rows=15, offset=False)
    near(fit.singular_values[:7], [69.8841, 14.9963, 3.6675, 1.9677, 0.3000, 0.2078, 0.1651], 1e-4)
    poles = np.sort_complex(np.linalg.eigvals(fit.model.A))
    near(poles.real, [0.4758, 0.4758, 0.7455, 0.9611], 5e-4)
    near(np.abs(poles.imag), [0.2001, 0.2001, 0.0, 0.0], 5e-4)
    # the N4SID weighting: .9627, .7452, .4773 +- .2006i
    other = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="n4sid", block_rows=15, offset=False)
    poles = np.sort_complex(np.linalg.eigvals(other.model.A))
    near(poles.real, [0.4773, 0.4773, 0.7452, 0.9627], 5e-4)
    near(np.abs(poles.imag), [0.2006, 0.2006, 0.0, 0.0], 5e-4)
