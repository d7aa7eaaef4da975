# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of the statuses that a backend gives for each series: an error, a warning, or NaN."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import (
    ImpossibleObservationWarning,
    NonFiniteError,
    NotPositiveDefiniteError,
    NumericalError,
    NumericalWarning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array

OK, NOT_POSITIVE_DEFINITE, IMPOSSIBLE, NOT_FINITE = range(4)
_SHOWN = 5


def blank_failures(
    arrays: dict[str, Array], timed: frozenset[str], status: Array, failed_at: Array
) -> dict[str, Array]:
    """Return the arrays with NaN from the failing step on in the series that failed."""
    failing = np.flatnonzero((status == NOT_POSITIVE_DEFINITE) | (status == NOT_FINITE))
    if failing.size == 0:
        return arrays
    blanked = {}
    for name, given in arrays.items():
        if given.dtype.kind != "f":
            blanked[name] = given
            continue
        array = given if given.flags.writeable else np.array(given)
        for i in failing:
            array[(i, slice(int(failed_at[i]), None)) if name in timed else i] = np.nan
        blanked[name] = array
    return blanked


def settle(
    status: Array,
    failed_at: Array,
    on_error: str,
    result: Callable[[], Any],
    *,
    stacklevel: int = 4,
) -> None:
    """Raise, warn or stay silent, as `on_error` says, about the series that failed."""
    if not status.any():
        return
    failing = np.flatnonzero((status == NOT_POSITIVE_DEFINITE) | (status == NOT_FINITE))
    if failing.size:
        error = _error(status, failed_at, failing, result() if on_error == "raise" else None)
        if on_error == "raise":
            raise error
        if on_error == "warn":
            warnings.warn(str(error), NumericalWarning, stacklevel=stacklevel)
    impossible = np.flatnonzero(status == IMPOSSIBLE)
    if impossible.size and on_error != "nan":
        warnings.warn(
            f"{_places(impossible, failed_at)}: a measurement that the model predicts exactly came out different, so the "
            "log-likelihood is -inf; is R zero where it should not be?",
            ImpossibleObservationWarning,
            stacklevel=stacklevel,
        )


def _error(status: Array, failed_at: Array, failing: Array, result: Any) -> NumericalError:
    failures = [(int(i), int(failed_at[i])) for i in failing]
    indefinite = failing[status[failing] == NOT_POSITIVE_DEFINITE]
    if indefinite.size:
        message = (
            f"{_places(indefinite, failed_at)}: the covariance of the innovation is not positive definite to rounding; "
            "look at the scales of P, Q and R, use float64, or pass on_error='nan' to go on without the failing series"
        )
        return NotPositiveDefiniteError(message, failures, result)
    message = (
        f"{_places(failing, failed_at)}: the state is no longer finite (overflow); is A far outside the unit circle? "
        "Pass on_error='nan' to go on without the failing series"
    )
    return NonFiniteError(message, failures, result)


def _places(series: Array, times: Array) -> str:
    shown = ", ".join(f"series {i} at time index {int(times[i])}" for i in series[:_SHOWN])
    return shown if len(series) <= _SHOWN else f"{shown} and {len(series) - _SHOWN} more"
