# SPDX-License-Identifier: BSD-3-Clause
"""Flat vectors of what a user's function of parameters returns, for `Template.from_function`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._types import Array
    from ._state_space import StateSpace
    from ._template_parse import Place


def flat_entries(
    function: Callable[[Array], StateSpace], places: Sequence[Place], base: Mapping[str, Array | None]
) -> Callable[[Array], Array]:
    def flat(theta: Array) -> Array:
        model = function(theta)
        parts = []
        for place in places:
            array, first = getattr(model, place.field), base[place.field]
            assert first is not None
            if array is None or array.shape != first.shape:
                raise KelmanError(f"function: {place.field} had shape {first.shape} at the start and changes it")
            parts.append(np.asarray(array, dtype=np.float64).ravel())
        return np.concatenate(parts)

    return flat


def flat_jacobian(
    jacobian: Callable[[Array], Mapping[str, Array]] | None, places: Sequence[Place], size: int
) -> Callable[[Array], Array] | None:
    if jacobian is None:
        return None

    def flat(theta: Array) -> Array:
        by = jacobian(theta)
        total = places[-1].entries.stop
        whole = np.zeros((total, size))
        for place in places:
            if place.field in by:
                whole[place.entries] = np.asarray(by[place.field], dtype=np.float64).reshape(-1, size)
        return whole

    return flat
