# SPDX-License-Identifier: BSD-3-Clause
"""Where a fit begins: starts that a template leaves open, chosen from the data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kelman.models._maps import AffineMap
from kelman.models._meaning import COVARIANCES
from kelman.models._transforms import Bounded, Cholesky

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import Template

_RATIOS = (1.0, 1e-2, 1e-4, 10.0)
"""How much of the spread of the data the state's noise may have to begin with."""


class Pool(Protocol):
    """Data that one parameter vector (L = 1), or each of L, is begun for."""

    @property
    def template(self) -> Template:
        """What is to be learnt."""
        ...

    def pools(self) -> tuple[Array, Array]:
        """The series that belong together: z (L, N, T, m), and how many values each pool holds (L,)."""
        ...

    def naturals(self, theta: Array) -> tuple[Array, Array]:
        """Log-likelihoods (L,) of parameters (L, K), and their derivatives (L, K)."""
        ...


def begin(pool: Pool) -> Array:
    """Natural parameters (L, K) to begin at: the template's own, and what the data suggest where it has none.

    Free variances begin at the spread of the differences of z, in the ratios to the state's noise above; of these the most
    likely is taken, after the common scale that maximises the likelihood is put into all of them. A template that has starts
    of its own for data, as structural models have, enters the comparison with them.
    """
    template = pool.template
    z, _ = pool.pools()
    theta = np.broadcast_to(template._guess, (len(z), template.size)).copy()
    blank = np.isnan(template.start)
    if not blank.any():
        return theta
    spread, level = _spread(z)
    noise = _fill(template, theta, blank, spread, level)
    best, height = theta, pool.naturals(theta)[0]
    found = []
    for ratio in _RATIOS if noise.any() else ():
        tried = theta.copy()
        tried[:, noise] *= ratio
        found.append(_rescaled(pool, tried, blank))
    own = getattr(template, "start_from", None)
    if own is not None:
        found.append(np.array([np.where(blank, own(one), given) for one, given in zip(z, theta, strict=True)]))
    for tried in found:
        value = pool.naturals(tried)[0]
        higher = np.isfinite(value) & ~(value <= height)
        best, height = np.where(higher[:, None], tried, best), np.where(higher, value, height)
    return best


def floors(pool: Pool) -> Array:
    """Lowest eta (L, K) that a fit goes to: -inf, but for variances that of the floor below.

    A variance stays above 1e-12 of the spread of the data, and above the square of 1e-14 of the largest value, which is
    about the rounding of the data: below that nothing can be told from zero.
    """
    template = pool.template
    z, _ = pool.pools()
    spread, _ = _spread(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pool of gaps alone
        largest = np.nan_to_num(np.nanmax(np.abs(z), axis=(1, 2, 3)))
    floor = np.maximum(np.maximum(1e-12 * spread.min(1), (1e-14 * largest) ** 2), 1e-290)[:, None]
    lowest = np.full((len(z), template.size), -np.inf)
    for block in template._blocks:
        parameter = template._parameters[int(block.columns[0])]
        if isinstance(block.transform, Cholesky):
            rows, cols = np.tril_indices(block.transform.order)
            lowest[:, block.columns[rows == cols]] = 0.5 * np.log(floor)
        elif isinstance(block.transform, Bounded) and block.transform.lower == 0.0 and parameter.scales:
            lowest[:, block.columns] = np.log(floor) if not np.isfinite(block.transform.upper) else -np.inf
    return lowest


def _spread(z: Array) -> tuple[Array, Array]:
    """Half the variance of first differences and the mean (L, m) of each pool, 1 and 0 where nothing is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        change = np.nanvar(np.diff(z, axis=2), axis=(1, 2)) / 2 if z.shape[2] > 1 else np.zeros((len(z), z.shape[3]))
        level = np.nan_to_num(np.nanmean(z, axis=(1, 2)))
        own = np.nan_to_num(np.nanvar(z, axis=(1, 2)))
    spread = np.where(np.nan_to_num(change) > 0, change, own)
    # A constant component has no spread: its variance begins at the rounding of its values.
    return np.where(spread > 0, spread, np.maximum(np.abs(level), 1.0) ** 2 * 1e-12), level


def _fill(template: Template, theta: Array, blank: Array, spread: Array, level: Array) -> Array:
    """Set open starts in units of the data; return which are variances of the state."""
    noise = np.zeros(template.size, dtype=bool)
    mean = spread.mean(1)
    for block in template._blocks:
        columns = block.columns
        field = template._parameters[int(columns[0])].field
        if field not in COVARIANCES or not blank[columns].all():
            continue
        if isinstance(block.transform, Cholesky):
            order = block.transform.order
            diagonal = spread if field == "R" and order == spread.shape[1] else np.repeat(mean[:, None], order, axis=1)
            theta[:, columns] = (diagonal[:, :, None] * np.eye(order))[:, *np.tril_indices(order)]
        elif isinstance(block.transform, Bounded) and block.transform.lower == 0.0:
            j = _row(template, int(columns[0]))
            theta[:, columns[0]] = spread[:, j] if field == "R" and j is not None else mean
        noise[columns] = field == "Q"
    for k, parameter in enumerate(template._parameters):
        if blank[k] and parameter.field == "c":
            j = _row(template, k)
            theta[:, k] = np.clip(level[:, j] if j is not None else 0.0, parameter.lower, parameter.upper)
        if blank[k] and parameter.field == "H":
            theta[:, k] = np.clip(1.0, parameter.lower, parameter.upper)
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


def _rescaled(pool: Pool, theta: Array, blank: Array) -> Array:
    """The same with all covariances multiplied by the number that is most likely, if all of them may be.

    The likelihood of s times every covariance has the derivative by log s, at s = 1, of half the quadratic form less half
    the number of values; so the best s is one plus twice that derivative over the number.
    """
    template = pool.template
    scaled = np.array([p.field in COVARIANCES for p in template._parameters])
    if not (blank[scaled].all() and scaled.any()) or not _homogeneous(template):
        return theta
    counts = np.maximum(pool.pools()[1], 1)
    for _ in range(2):
        _, gradient = pool.naturals(theta)
        scale = 1 + 2 * (gradient[:, scaled] * theta[:, scaled]).sum(1) / counts
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        theta = theta.copy()
        theta[:, scaled] *= scale[:, None]
    return theta


def _homogeneous(template: Template) -> bool:
    """Whether every covariance is zero apart from its parameters."""
    if not isinstance(template._map, AffineMap):
        return False
    constant = template._map.constant
    for name in ("Q", "R", "P0", "P1", "S"):
        array = template._base[name]
        if array is not None and np.any(array):
            return False
    places = [p for p in template._places if p.field in COVARIANCES]
    return all(not np.any(constant[p.entries]) for p in places)
