"""statsmodels' state-space filter as another implementation, on random models with and without exactly diffuse starts."""

from __future__ import annotations

import numpy as np
import pytest

import kelman
from tests.linear.oracle_checks import close

pytest.importorskip("statsmodels")
# about disturbances, which are not compared
pytestmark = pytest.mark.filterwarnings("ignore:The univariate filtering approach diagonalized")


@pytest.mark.parametrize("diffuse", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_statsmodels(seed: int, diffuse: bool) -> None:
    """Filtered, predicted and smoothed moments and the likelihood equal those of statsmodels to 1e-9, gaps included."""
    from statsmodels.tsa.statespace.initialization import Initialization
    from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

    rng = np.random.default_rng(seed)
    n, m, T = int(rng.integers(1, 6)), int(rng.integers(1, 4)), 60
    A = rng.normal(size=(n, n))
    A *= rng.uniform(0.5, 0.99) / np.abs(np.linalg.eigvals(A)).max()
    H = rng.normal(size=(T, m, n)) if seed % 2 else np.broadcast_to(rng.normal(size=(m, n)), (T, m, n))
    W, V = rng.normal(size=(n, n)), rng.normal(size=(m, m)) + np.eye(m)
    Q, R = W @ W.T / n + 0.1 * np.eye(n), V @ V.T / m + 0.1 * np.eye(m)
    b, c = rng.normal(size=n), rng.normal(size=m)
    z = rng.normal(size=(T, m)) * 2
    z[5:] = np.where(rng.random((T - 5, m)) < 0.15, np.nan, z[5:])
    start = {"initial": "diffuse"} if diffuse else {"m1": rng.normal(size=n), "P1": 2 * np.eye(n)}

    ours = kelman.StateSpace.from_shifted(A, H, Q, R, b=b, c=c, **start)
    r, s = kelman.filter(ours, z, store="all", diffuse_constant="statsmodels"), kelman.smooth(ours, z, lag=1)
    theirs = KalmanSmoother(k_endog=m, k_states=n, k_posdef=n)
    theirs.bind(z.T.copy(order="F"))
    theirs["design"], theirs["obs_cov"], theirs["transition"] = np.moveaxis(H, 0, 2), R, A
    theirs["selection"], theirs["state_cov"] = np.eye(n), Q
    theirs["state_intercept"], theirs["obs_intercept"] = b[:, None], c[:, None]
    if diffuse:
        theirs.initialize(Initialization(n, "diffuse"))
    else:
        theirs.initialize_known(start["m1"], start["P1"])
    other = theirs.smooth()
    settled = 5 if diffuse else 0  # while the start is diffuse the two keep different finite parts
    for name, mine, yours in (
        ("mean", r.mean, other.filtered_state.T),
        ("cov", r.cov, np.moveaxis(other.filtered_state_cov, 2, 0)),
        ("predicted_mean", r.predicted_mean, other.predicted_state[:, :-1].T),
        ("predicted_cov", r.predicted_cov, np.moveaxis(other.predicted_state_cov, 2, 0)[:-1]),
    ):
        close(name, mine[settled:], yours[settled:], 1.0, 1e-9)
    close("smoothed mean", s.mean, other.smoothed_state.T, 1.0, 1e-7 if diffuse else 1e-9)
    close("smoothed cov", s.cov, np.moveaxis(other.smoothed_state_cov, 2, 0), 1.0, 1e-7 if diffuse else 1e-9)
    close("loglik", r.loglik, other.llf, 1.0, 1e-9)
