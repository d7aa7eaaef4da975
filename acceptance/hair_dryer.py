"""Real data: a hair dryer's heater and air temperature (DaISy 96-006), by subspace, PEM and a linear network."""

from __future__ import annotations

import numpy as np

import kelman
from acceptance._check import Check, Row, Verdict, at_least, at_most, column, failures
from kelman.bridge import network_inputs

HALF = 500
ORDER = 4
# SLICOT IB01AD/IB01BD, examples/data and results, as in case 35 of the published numbers that the tests cite
SINGULAR = np.array([69.8841, 14.9963, 3.6675, 1.9677, 0.3000, 0.2078, 0.1651])
EIGENVALUES = np.array([0.9611, 0.7455, 0.4758 + 0.2001j, 0.4758 - 0.2001j])


def run(seed: int) -> Row:
    """(a) PO-MOESP on the whole record; (b) a network of four linear units on the first half, judged on the second."""
    data = kelman.datasets.hairdryer()
    z, u = data.z, data.u
    moesp = kelman.fit(z, u, n_states=ORDER, method="subspace", weighting="moesp", block_rows=15, offset=False)
    _, slicot = kelman.lti.match_poles(EIGENVALUES, moesp.poles)
    pem = kelman.fit(z[:HALF], u[:HALF], n_states=ORDER, method="pem")
    net = _network(z, u, seed)
    read = kelman.read_dynamics(net, z=z[:HALF], u=u[:HALF], order=ORDER)
    base = kelman.bridge.read_dynamics(kelman.to_elman(pem.model), z=z[:HALF], u=u[:HALF], order=ORDER)
    ahead = kelman.forward(net, network_inputs(net, z, u)).y[HALF:]
    index, distance = kelman.lti.match_poles(pem.poles, read.poles)
    spread = np.sqrt([np.linalg.eigvalsh(cov)[-1] for cov in pem.pole_covariance])
    known = spread < 0.05
    return {
        "singular_values": float(np.abs(moesp.singular_values[: len(SINGULAR)] - SINGULAR).max()),
        "eigenvalues": float(slicot.max()),
        "one_step": _rms(z[HALF:] - ahead),
        "one_step_pem": _rms(z[HALF:] - base.predictor.predict(z, u)[HALF:]),
        "vaf": _vaf(z[HALF:], _free_run(read.predictor, z, u)),
        "vaf_pem": _vaf(z[HALF:], _free_run(base.predictor, z, u)),
        "poles_known": int(known.sum()),
        "pole_gap": float((distance / spread)[known].max(initial=0.0)),
        "poles": [str(np.round(v, 4)) for v in read.poles[index]],
        "poles_pem": [str(np.round(v, 4)) for v in pem.poles],
        "spread_pem": [round(float(v), 4) for v in spread],
    }


def _network(z: np.ndarray, u: np.ndarray, seed: int) -> kelman.Elman:
    """Default training from random starts: z_k from z_{k-1}, u_k, u_{k-1}."""
    x = np.hstack([z[:-1], u[1:], u[:-1]])[: HALF - 1]
    words = ("z_prev", "u", "u_prev")
    return kelman.train(
        (3, ORDER, 1), x, z[1:HALF], hidden="identity", start="random", inputs=words, target="z", rng=seed
    ).rnn


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def _vaf(z: np.ndarray, free: np.ndarray) -> float:
    """Variance accounted for, in per cent."""
    return float(100 * (1 - np.var(z - free) / np.var(z)))


def _free_run(p: kelman.bridge.LinearPredictor, z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Simulation of the second half from u alone, from the state that the first half leaves."""
    state, out = p.start, []
    for k in range(len(z)):
        hat = p.H @ state + p.D @ u[k] + p.c
        state = p.F @ state + p.K @ (z[k] if k < HALF else hat) + p.G @ u[k] + p.f
        out.append(hat)
    return np.array(out[HALF:])


def judge(rows: list[Row], full: bool) -> list[Verdict]:  # noqa: ARG001
    """Limits of the laboratory case; every seed counts."""
    ratio = max(a / b for a, b in zip(column(rows, "one_step"), column(rows, "one_step_pem"), strict=True))
    return [
        at_most("trainings that failed", failures(rows), 0),
        at_most("PO-MOESP: singular values beside SLICOT's", max(column(rows, "singular_values")), 1e-4),
        at_most("PO-MOESP: eigenvalues beside SLICOT's", max(column(rows, "eigenvalues")), 5e-4),
        at_most("network: one-step RMSE on the second half", max(column(rows, "one_step")), 0.0385),
        at_most("network: the same over that of PEM", ratio, 1.02),
        at_least("network: free-run VAF in per cent", min(column(rows, "vaf")), 99.0),
        at_least("poles that PEM determines", min(column(rows, "poles_known")), 1),
        at_most("network: those poles beside PEM's, in its standard deviations", max(column(rows, "pole_gap")), 2.0),
    ]


CHECK = Check(
    "hair_dryer",
    "hair dryer: PO-MOESP equals SLICOT's; a network of order 4 predicts the second half like PEM and has its poles; 5 starts",
    range(5),
    ("python/kelman/bridge", "python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
)
