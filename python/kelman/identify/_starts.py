# SPDX-License-Identifier: BSD-3-Clause
"""Where a fit begins: starts that a template leaves open, chosen from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kelman.models._maps import AffineMap
from kelman.models._meaning import COVARIANCES
from kelman.models._transforms import Bounded, Cholesky

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._objective import Objective
    from kelman.models import Template

_RATIOS = (1.0, 1e-2, 1e-4, 10.0)
"""How much of the spread of the data the state's noise may have to begin with."""


def begin(objective: Objective) -> Array:
    """Natural parameters (K,) to begin at: the template's own, and what the data suggest where it has none.

    Free variances begin at the spread of the differences of z, in the ratios to the state's noise above; of these the most
    likely is taken, after the common scale that maximises the likelihood is put into all of them. A template that has starts
    of its own for data, as structural models have, enters the comparison with them.
    """
    template = objective.template
    theta = template._guess.copy()
    blank = np.isnan(template.start)
    if not blank.any():
        return theta
    spread, level = _spread(objective.z, objective.seen)
    noise = _fill(template, theta, blank, spread, level)
    found = [theta]
    for ratio in _RATIOS if noise.any() else ():
        tried = theta.copy()
        tried[noise] *= ratio
        found.append(_rescaled(objective, tried, blank))
    own = getattr(template, "start_from", None)
    if own is not None:
        found.append(np.where(blank, own(objective.z), theta))
    values = [objective.natural(one)[0] for one in found]
    best = int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))
    return found[best]


def floors(objective: Objective) -> Array:
    """Lowest eta (K,) that a fit goes to: -inf, but for variances that of the floor below.

    A variance stays above 1e-12 of the spread of the data, and above the square of 1e-14 of the largest value, which is
    about the rounding of the data: below that nothing can be told from zero.
    """
    template = objective.template
    spread, _ = _spread(objective.z, objective.seen)
    largest = float(np.nanmax(np.abs(objective.z)))
    floor = max(1e-12 * float(spread.min()), (1e-14 * largest) ** 2, 1e-290)
    lowest = np.full(template.size, -np.inf)
    for block in template._blocks:
        parameter = template._parameters[int(block.columns[0])]
        if isinstance(block.transform, Cholesky):
            rows, cols = np.tril_indices(block.transform.order)
            lowest[block.columns[rows == cols]] = 0.5 * np.log(floor)
        elif isinstance(block.transform, Bounded) and block.transform.lower == 0.0 and parameter.scales:
            lowest[block.columns] = np.log(floor) if not np.isfinite(block.transform.upper) else -np.inf
    return lowest


def _spread(z: Array, seen: Array) -> tuple[Array, Array]:
    """Half the variance of first differences, and the mean, of each component (1 and 0 where nothing is known)."""
    m = z.shape[-1]
    spread, level = np.ones(m), np.zeros(m)
    change = np.diff(z, axis=1)
    for j in range(m):
        steps = change[..., j][~np.isnan(change[..., j])]
        values = z[..., j][seen[..., j]]
        if values.size:
            level[j] = values.mean()
        own = float(steps.var()) / 2 if steps.size > 1 else 0.0
        own = own or (float(values.var()) if values.size > 1 else 0.0)
        # A constant component has no spread: its variance begins at the rounding of its values.
        spread[j] = own or max(abs(level[j]), 1.0) ** 2 * 1e-12
    return spread, level


def _fill(template: Template, theta: Array, blank: Array, spread: Array, level: Array) -> Array:
    """Set open starts in units of the data; return which are variances of the state."""
    noise = np.zeros(template.size, dtype=bool)
    mean = float(spread.mean())
    for block in template._blocks:
        columns = block.columns
        field = template._parameters[int(columns[0])].field
        if field not in COVARIANCES or not blank[columns].all():
            continue
        if isinstance(block.transform, Cholesky):
            order = block.transform.order
            diagonal = spread if field == "R" and order == len(spread) else np.full(order, mean)
            theta[columns] = np.diag(diagonal)[np.tril_indices(order)]
        elif isinstance(block.transform, Bounded) and block.transform.lower == 0.0:
            j = _row(template, int(columns[0]))
            theta[columns] = spread[j] if field == "R" and j is not None else mean
        noise[columns] = field == "Q"
    for k, parameter in enumerate(template._parameters):
        if blank[k] and parameter.field == "c":
            j = _row(template, k)
            theta[k] = np.clip(level[j] if j is not None else 0.0, parameter.lower, parameter.upper)
        if blank[k] and parameter.field == "H":
            theta[k] = np.clip(1.0, parameter.lower, parameter.upper)
    return noise


def _row(template: Template, k: int) -> int | None:
    """The row of the first entry that parameter k is in, if it stands there alone."""
    own = template._map
    if not isinstance(own, AffineMap):
        return None
    entries = own.rows[own.cols == k]
    for place in template._places:
        inside = entries[(entries >= place.entries.start) & (entries < place.entries.stop)]
        if len(inside):
            axis = 0 if place.field in ("b", "c") else -1
            return int(place.index[axis][inside[0] - place.entries.start])
    return None


def _rescaled(objective: Objective, theta: Array, blank: Array) -> Array:
    """The same with all covariances multiplied by the number that is most likely, if all of them may be.

    The likelihood of s times every covariance has the derivative by log s, at s = 1, of half the quadratic form less half
    the number of values; so the best s is one plus twice that derivative over the number.
    """
    template = objective.template
    scaled = np.array([p.field in COVARIANCES for p in template._parameters])
    entries = template._map
    if not (isinstance(entries, AffineMap) and blank[scaled].all() and scaled.any()) or not _homogeneous(template):
        return theta
    for _ in range(2):
        _, gradient = objective.likelihood(theta)
        scale = 1 + 2 * float(gradient[scaled] @ theta[scaled]) / objective.nobs
        if not (np.isfinite(scale) and scale > 0):
            break
        theta = theta.copy()
        theta[scaled] *= scale
    return theta


def _homogeneous(template: Template) -> bool:
    """Whether every covariance is zero apart from its parameters."""
    constant = template._map.constant if isinstance(template._map, AffineMap) else np.ones(1)
    for name in ("Q", "R", "P0", "P1", "S"):
        array = template._base[name]
        if array is not None and np.any(array):
            return False
    places = [p for p in template._places if p.field in COVARIANCES]
    return all(not np.any(constant[p.entries]) for p in places)
