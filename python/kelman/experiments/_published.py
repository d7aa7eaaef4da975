# SPDX-License-Identifier: BSD-3-Clause
"""Published numbers that need no data but what comes with the package, for `kelman validate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import kelman

if TYPE_CHECKING:
    from kelman._types import Array, Backend


class Figure(NamedTuple):
    """A published figure: what, where, the number of ours, the printed one, and an absolute tolerance."""

    what: str
    source: str
    got: Array
    printed: Array
    tolerance: float


def _figure(what: str, source: str, got: object, printed: object, tolerance: float) -> Figure:
    return Figure(what, source, np.asarray(got, dtype=float), np.asarray(printed, dtype=float), tolerance)


def _nile(backend: Backend) -> Iterator[Figure]:
    model = kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]], initial="diffuse")
    z = kelman.datasets.nile().z
    yield _figure("Nile log-likelihood", "KFAS", kelman.loglik(model, z, backend=backend), -632.545625116, 1e-6)
    other = kelman.loglik(model, z, diffuse_constant="statsmodels", backend=backend)
    yield _figure("Nile log-likelihood", "statsmodels", other, -633.464563649, 1e-6)
    s = kelman.smooth(model, z, backend=backend)
    level = [1111.66831913, 1110.85766462, 834.763259104, 798.370292608]
    yield _figure("Nile smoothed level", "KFAS", s.mean[[0, 1, 49, 99], 0], level, 1e-6)
    variance = [4032.15794181, 3242.93007322, 2326.75686981, 4032.15794181]
    yield _figure("Nile smoothed variance", "KFAS", s.cov[[0, 1, 49, 99], 0, 0], variance, 1e-6)
    gaps = z.copy()
    gaps[20:40] = gaps[60:80] = np.nan
    yield _figure("Nile with gaps", "KFAS", kelman.loglik(model, gaps, backend=backend), -380.587062775, 1e-5)
    f = kelman.forecast(model, z, 30, backend=backend)
    yield _figure(
        "Nile forecast variance", "Durbin-Koopman 2.6", f.cov[[0, 29], 0, 0], [20600.25794, 63204.15794], 1e-5
    )
    yield _figure("Nile steady state P", "closed form", kelman.steady_state(model).P_predicted, [[5501.25794181]], 1e-7)


def _toys(backend: Backend) -> Iterator[Figure]:
    ones = np.ones(10)
    level = kelman.StateSpace([[1.0]], [[1.0]], [[8.253]], [[1.993]], initial="diffuse")
    s = kelman.smooth(level, np.r_[10.2394, ones[1:]], backend=backend)
    yield _figure("diffuse local level, log-likelihood", "KFAS 1.3.1", s.loglik, -23.0163218509366, 1e-10)
    yield _figure("diffuse local level, first state", "KFAS 1.3.1", s.mean[0], [8.69269189482201], 1e-10)
    Q = np.diag([8.253, 2.334])
    trend = kelman.StateSpace([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], Q, [[1.993]], initial="diffuse")
    z = np.r_[10.2394, 4.2039, 6.123123, ones[3:]]
    s = kelman.smooth(trend, z, backend=backend)
    yield _figure("diffuse trend, log-likelihood", "KFAS 1.3.1", s.loglik, -21.1364983872324, 1e-10)
    yield _figure("diffuse trend, first state", "KFAS 1.3.1", s.mean[0], [9.72422585109483, -2.4212757752195], 1e-10)
    z[1] = np.nan
    got = kelman.loglik(trend, z, backend=backend)
    yield _figure("diffuse trend with a gap", "KFAS 1.3.1", got, -18.3036127435546, 1e-10)
    z = np.column_stack([np.r_[10.2394, ones[1:]], np.r_[8.2304, ones[1:]]])
    common = kelman.StateSpace(
        np.eye(2), [[1.0, 0.0], [0.1111, 1.0]], np.diag([3.2324, 0.0]), np.eye(2), initial="diffuse"
    )
    got = kelman.loglik(common, z, backend=backend)
    yield _figure("diffuse common level", "KFAS 1.3.1", got, -51.9451615109472, 1e-9)


def _gain(backend: Backend) -> Iterator[Figure]:
    del backend
    A = [[1.1269, -0.4940, 0.1129], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    B = np.array([[-0.3832], [0.5919], [0.5191]])
    ss = kelman.steady_state(kelman.StateSpace(A, [[1.0, 0.0, 0.0]], 2.3 * B @ B.T, [[1.0]]))
    yield _figure("gain of a plant", "MATLAB kalman", ss.K_f[:, 0], [0.5345, 0.0101, -0.4776], 1e-4)


def _hair_dryer(backend: Backend) -> Iterator[Figure]:
    del backend
    data = kelman.datasets.hairdryer()
    fit = kelman.fit(data.z, data.u, n_states=4, method="subspace", weighting="moesp", block_rows=15, offset=False)
    printed = [69.8841, 14.9963, 3.6675, 1.9677, 0.3000, 0.2078, 0.1651]
    yield _figure("hair dryer, singular values", "SLICOT IB01AD", fit.singular_values[:7], printed, 1e-4)
    poles = np.sort_complex(np.linalg.eigvals(fit.model.A))
    got = np.r_[poles.real, poles.imag[:2]]
    yield _figure(
        "hair dryer, poles", "SLICOT IB01BD", np.abs(got), [0.4758, 0.4758, 0.7455, 0.9611, 0.2001, 0.2001], 5e-4
    )


STUDIES: tuple[Callable[[Backend], Iterator[Figure]], ...] = (_nile, _toys, _gain, _hair_dryer)
"""Groups of published figures."""
