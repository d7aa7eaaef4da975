# SPDX-License-Identifier: BSD-3-Clause
"""Start values of structural models: proportions of variances by a coarse search, their scale exactly."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.linear import loglik
from kelman.linear._series import read_z
from kelman.structural._data import Record

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.structural._structural import Structural

_FACTORS = (0.01, 0.1, 10.0)


def start_values(model: Structural, z: Any) -> Array:
    """Return natural parameters (K,); see `Structural.start_from`."""
    data = np.asarray(read_z(z, model.dims.m).z, dtype=np.float64)
    record = Record(data)
    theta = np.concatenate([np.zeros(0), *(part.start(record) for part in model.components)])
    scales = np.concatenate([np.zeros(0, bool), *(np.array(part.variances, dtype=bool) for part in model.components)])
    known = any(np.any(part.base[name]) for part in model.components for name in ("Q", "R", "P1") if name in part.base)
    if known or not scales.any():
        return theta
    count = int((~np.isnan(data)).sum()) - len(data) * _diffuse(model)
    if count < 1:
        return theta
    theta, best = _scaled(model, theta, scales, data, count)
    ends = np.cumsum([0, *(len(part.parameters) for part in model.components)])
    groups = [
        [end + k for k in group] for part, end in zip(model.components, ends, strict=False) for group in part.groups
    ]
    for group in groups if len(groups) > 1 else ():
        for factor in _FACTORS:
            tried = theta.copy()
            tried[group] *= factor
            tried, value = _scaled(model, tried, scales, data, count)
            if value > best:
                theta, best = tried, value
    return theta


def _diffuse(model: Structural) -> int:
    inf = model._base["P1_inf"]
    return 0 if inf is None else int(np.linalg.matrix_rank(inf))


def _scaled(model: Structural, theta: Array, scales: Array, z: Array, count: int) -> tuple[Array, float]:
    """Put the best common scale into the variances: the quadratic form follows from two likelihoods, at scales 1 and 4."""
    wide = theta.copy()
    wide[scales] *= 4.0
    one, four = _value(model, theta, z), _value(model, wide, z)
    if not (np.isfinite(one) and np.isfinite(four)):
        return theta, -np.inf
    # one - four = count/2 log 4 - (quadratic/2) (1 - 1/4)
    quadratic = (count * np.log(4.0) - 2 * (one - four)) / 0.75
    scale = quadratic / count
    if not (np.isfinite(scale) and scale > 0):
        return theta, one
    found = theta.copy()
    found[scales] *= scale
    value = one - 0.5 * (count * np.log(scale) + quadratic / scale - quadratic)
    return found, value


def _value(model: Structural, theta: Array, z: Array) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.sum(loglik(model._model(theta), z, on_error="nan")))
