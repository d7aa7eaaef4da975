# SPDX-License-Identifier: BSD-3-Clause
"""Every error and warning of the package.

All errors are `KelmanError`, which is a `ValueError`; all warnings are `KelmanWarning`. Messages say which argument,
what was expected, what came, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BackendError",
    "ConvergenceError",
    "ImpossibleObservationWarning",
    "KelmanError",
    "KelmanWarning",
    "ModelTypeError",
    "ModelWarning",
    "NoSteadyStateError",
    "NonFiniteError",
    "NotKeptError",
    "NotPositiveDefiniteError",
    "NumericalError",
    "NumericalWarning",
]


class KelmanError(ValueError):
    """Base of every error that the package raises."""


class ModelTypeError(KelmanError, TypeError):
    """A verb was given a model of a kind that it does not work on."""


class NotKeptError(KelmanError, AttributeError):
    """A result was asked for an array that its `store` did not keep."""


class BackendError(KelmanError):
    """An unknown backend, plot or other registered name was asked for."""


class NumericalError(KelmanError):
    """Some series could not be computed to the end; the others are in `result`.

    Parameters
    ----------
    message : str
        What happened, in words.
    failures : sequence of (int, int)
        The (series, time) pairs, zero-based, at which the recursions stopped.
    result : object
        The result of the call, in which the failing series are NaN from the failing step on.
    """

    def __init__(self, message: str, failures: Sequence[tuple[int, int]] = (), result: Any = None) -> None:
        super().__init__(message)
        self.failures = list(failures)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.failures, self.result)


class NotPositiveDefiniteError(NumericalError):
    """A covariance stopped being positive semi-definite during the recursions."""


class NonFiniteError(NumericalError):
    """A mean or a covariance overflowed or became NaN during the recursions."""


class NoSteadyStateError(KelmanError):
    """The Riccati equation has no stabilising solution.

    Parameters
    ----------
    message : str
        Why there is none, in words.
    mode : complex, optional
        The eigenvalue of A whose mode prevents the steady state.
    """

    def __init__(self, message: str, mode: complex | None = None) -> None:
        super().__init__(message)
        self.mode = mode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.mode)


class ConvergenceError(KelmanError):
    """An iteration stopped without reaching its tolerance; `result` holds the best point, if there is one."""

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result)


class KelmanWarning(UserWarning):
    """Base of every warning that the package gives."""


class ModelWarning(KelmanWarning):
    """The model or the data look like a likely mistake."""


class NumericalWarning(KelmanWarning):
    """Some series could not be computed to the end (``on_error="warn"``), or precision is poor."""


class ImpossibleObservationWarning(KelmanWarning):
    """A component that the model predicts exactly came out different: its log-likelihood is minus infinity."""
