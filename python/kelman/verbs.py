# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of the package: each looks at the type of the model and calls the function that works on it.

A new kind of model is a row in `_KINDS`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from . import linear
from .errors import ModelTypeError
from .models import StateSpace

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["filter", "forecast", "loglik", "loglik_and_grad", "sample_states", "simulate", "smooth", "steady_state"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_KINDS: dict[type, Any] = {StateSpace: linear}
"""Type of model -> the module whose functions work on it."""

_INSTEAD = {
    "Elman": "for a network use kelman.forward, or kelman.to_state_space to make a model of it",
    **dict.fromkeys(("GRU", "LSTM", "Stack", "Bidirectional"), "for a network use kelman.forward"),
    "Template": "fit it with kelman.fit(z, template=...), or give template.model(theta)",
}


def _dispatched(default: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a verb of the function for StateSpace: its signature and documentation, for every kind of model."""
    name = default.__name__

    @functools.wraps(default)
    def verb(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        model: Any = args[0] if args else kwargs.get("model")
        if type(model) is StateSpace or (not args and "model" not in kwargs):
            return default(*args, **kwargs)
        for kind, module in _KINDS.items():
            if isinstance(model, kind):
                chosen: Callable[_P, _T] = getattr(module, name)
                return chosen(*args, **kwargs)
        raise ModelTypeError(_refusal(name, model))

    return verb


def _refusal(name: str, model: Any) -> str:
    accepted = " or ".join(f"a {kind.__name__}" for kind in _KINDS)
    if isinstance(model, type):
        return f"model: {name} expects {accepted}, got the class {model.__name__}; give an instance"
    got = "None" if model is None else type(model).__name__
    hint = _INSTEAD.get(got)
    return f"model: {name} expects {accepted}, got {got}" + (f"; {hint}" if hint else "")


filter = _dispatched(linear.filter)
forecast = _dispatched(linear.forecast)
loglik = _dispatched(linear.loglik)
loglik_and_grad = _dispatched(linear.loglik_and_grad)
sample_states = _dispatched(linear.sample_states)
simulate = _dispatched(linear.simulate)
smooth = _dispatched(linear.smooth)
steady_state = _dispatched(linear.steady_state)
