# SPDX-License-Identifier: BSD-3-Clause
"""A model from any data at all: principal components that follow each other linearly, noise by maximum likelihood.

Where there are too few values for the methods of `kelman.fit`, or gaps everywhere, this still gives a sensible model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.identify import tune
from kelman.models import StateSpace

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.estimators._panel import Panel
    from kelman.identify import Tuned

_RIDGE = 1e-3
_RADIUS = 0.98
_LEAST_NOISE = 0.1
_LEAST_KEPT = 1e-5
_FLOOR = 1e-6
"""A value that never changes is given a standard deviation of this part of its size."""


def principal_components(panel: Panel, n: int) -> StateSpace:
    """Leading components of n lags or fewer, standardised; regressions on their past and on the inputs."""
    rows = np.concatenate(panel.series)
    known = np.isfinite(rows)
    count = np.maximum(known.sum(0), 1)
    level = np.where(known, rows, 0.0).sum(0) / count
    spread = np.sqrt(np.square(np.where(known, rows - level, 0.0)).sum(0) / count)
    size = np.where(spread > 0, spread, _FLOOR * np.where(level != 0, np.abs(level), 1.0))
    filled = [_bridged((one - level) / size) for one in panel.series]
    D = _direct(panel.inputs, filled)
    if D is not None and panel.inputs is not None:
        filled = [one - u @ D.T for one, u in zip(filled, panel.inputs, strict=True)]
    states = _components(filled, n)
    before = np.concatenate([x[:-1] for x in states])
    after = np.concatenate([x[1:] for x in states])
    every, seen = np.concatenate(states), np.concatenate(filled)
    A = _regression(before, after)
    radius = float(np.abs(np.linalg.eigvals(A)).max())
    A = A * min(1.0, _RADIUS / radius) if radius > 0 else A
    H = _regression(every, seen)
    rest, miss = after - before @ A.T, seen - every @ H.T
    Q = rest.T @ rest / max(len(rest), 1) + _RIDGE * np.eye(n)
    R = np.diag(np.maximum(np.square(miss).mean(0), _LEAST_NOISE))
    return StateSpace(
        A,
        size[:, None] * H,
        Q,
        R * np.outer(size, size),
        c=level,
        D=None if D is None else size[:, None] * D,
        initial="stationary",
    )


def simple_model(panel: Panel, n: int, max_iter: int) -> Tuned | StateSpace:
    """The same with noise tuned by likelihood, where that can be had; R keeps at least `_LEAST_KEPT` of its first guess."""
    start = principal_components(panel, n)
    try:
        tuned = tune(start, panel.z, panel.u, Q="full", R="diagonal", max_iter=max_iter, progress=False)
    except KelmanError:
        return start
    return replace(tuned, model=tuned.model.replace(R=tuned.R + _LEAST_KEPT * start.R))


def _bridged(series: Array) -> Array:
    """Gaps filled by straight lines."""
    out = series.copy()
    k = np.arange(len(out))
    for line in out.T:
        seen = np.flatnonzero(np.isfinite(line))
        line[:] = np.interp(k, seen, line[seen]) if len(seen) else 0.0
    return out


def _direct(inputs: list[Array] | None, filled: list[Array]) -> Array | None:
    if inputs is None:
        return None
    return _regression(np.concatenate(inputs), np.concatenate(filled))


def _components(filled: list[Array], n: int) -> list[Array]:
    """Scores of the n leading principal components of each row and as many rows before it as are needed, variance one."""
    m = filled[0].shape[1]
    lags = -(-n // m)
    wide = [
        np.hstack([np.concatenate([np.repeat(z[:1], j, axis=0), z])[: len(z)] for j in range(lags)]) for z in filled
    ]
    every = np.concatenate(wide)
    _, size, axes = np.linalg.svd(every, full_matrices=False)
    size = np.maximum(size / np.sqrt(len(every)), 1e-8)
    kept = min(n, len(size))
    scores = [part @ (axes[:kept] / size[:kept, None]).T for part in wide]
    return [np.pad(part, ((0, 0), (0, n - kept))) for part in scores]


def _regression(given: Array, wanted: Array) -> Array:
    """Coefficients (wanted, given) of a ridge regression."""
    gram = given.T @ given
    size = float(np.trace(gram)) / len(gram) or 1.0
    coefficients: Array = np.linalg.solve(gram + _RIDGE * size * np.eye(len(gram)), given.T @ wanted).T
    return coefficients
