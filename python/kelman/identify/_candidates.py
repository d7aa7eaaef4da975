# SPDX-License-Identifier: BSD-3-Clause
"""Subspace models of rising order, and what BIC says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError
from kelman.identify import _pem, _subspace
from kelman.identify._predictor import predictor
from kelman.lti import spectral_radius

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kelman.identify._predictor import Records
    from kelman.lti._check import FloatArray

_PATIENCE = 4
"""Orders without improvement after which the search for the best BIC ends."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A subspace model, the covariance of its prediction errors from states of zero, and its BIC but for a constant."""

    order: int
    found: _subspace.Realised
    Sigma: FloatArray
    bic: float


def candidates(
    factor: _subspace.Factor, space: _subspace.Subspace, last: int, weighting: str, direct: bool, records: Records
) -> Iterator[Candidate | None]:
    """Yield the model of each order from 1 to `last`, None where its predictor is not stable.

    `records` hold the data in the units of the factor.
    """
    m, p, N = factor.m, factor.p, len(records.data.lengths)
    for n in range(1, last + 1):
        try:
            found = _subspace.realise(factor, space, n, weighting, direct)
        except KelmanError:
            yield None
            continue
        model = predictor(found.A, found.B, found.H, found.D, found.K, np.zeros(n), np.zeros(m), np.zeros((n, N)))
        if not spectral_radius(model.F) < 1:
            yield None
            continue
        Sigma = records.covariance(records.errors(model))
        count = n * (2 * m + p)
        yield Candidate(n, found, Sigma, _pem.objective(Sigma, records.total) + count * float(np.log(records.total)))


def by_bic(found: Iterable[Candidate | None]) -> int:
    """Return the order of least BIC; the search ends when several orders in a row bring nothing."""
    best, score, since = 1, np.inf, 0
    for one in found:
        if one is None:
            continue
        since += 1
        if one.bic < score:
            best, score, since = one.order, one.bic, 0
        if since >= _PATIENCE:
            break
    return best


def largest_order(factor: _subspace.Factor, space: _subspace.Subspace) -> int:
    """Return how many states the block rows can show."""
    return min(len(space.state_map), (factor.rows - 1) * factor.m)


def check_order(order: int, factor: _subspace.Factor, space: _subspace.Subspace, name: str = "n_states") -> None:
    """Refuse an order that the block rows cannot show."""
    limit = largest_order(factor, space)
    if order > limit:
        raise KelmanError(
            f"{name}: {factor.rows} block rows of {factor.m} measured values can show at most {limit} states in these data, got "
            f"{order}; raise block_rows or lower {name}"
        )
