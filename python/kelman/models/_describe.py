# SPDX-License-Identifier: BSD-3-Clause
"""Words about a state-space model: what it prints as, and what about it looks like a mistake."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import FLOAT32
from ..errors import ModelWarning
from ._meaning import START, SYSTEM

if TYPE_CHECKING:
    from .._types import Array
    from ._state_space import StateSpace

_FAR_OUTSIDE = 3.0
_PRINTED = 36


def printed(model: StateSpace) -> str:
    """Return the sizes on one line, then each array (its shape only, where it is big)."""
    n, m, p, series, steps = model.dims
    parts = [_plural(n, "state"), f"{m} measured", _plural(p, "input")]
    parts += [] if series is None else [f"{series} series"]
    parts += [] if steps is None else [f"{steps} steps"]
    parts += [model.dtype.name, f"start {model.initial}"]
    parts += ["input one step late"] if model.input_lag else []
    lines = [f"StateSpace({', '.join(parts)})"]
    for name in SYSTEM | START:
        array = getattr(model, name)
        if array is not None:
            lines.append(_line(name, array))
    return "\n".join(lines)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line(name: str, array: Array) -> str:
    label = f"  {name:<6} = "
    if array.size > _PRINTED:
        return f"{label}array of shape {array.shape}"
    return label + np.array2string(array, prefix=label, precision=6, suppress_small=False)


def warn_if_unlikely(model: StateSpace) -> None:
    """Warn of a transition far outside the unit circle (forgotten discretisation), and of a start too wide for float32."""
    if model.A.ndim == 2:
        radius = float(np.max(np.abs(np.linalg.eigvals(model.A))))
        if radius > _FAR_OUTSIDE:
            warnings.warn(
                f"A: its largest eigenvalue has modulus {radius:.3g}: the state grows {radius:.3g}-fold each step. "
                "A is the transition of one step in discrete time; was a continuous-time matrix meant?",
                ModelWarning,
                stacklevel=4,
            )
    start = model.P0 if model.P0 is not None else model.P1
    if model.dtype == FLOAT32 and start is not None:
        widest = float(np.max(np.diagonal(start, axis1=-2, axis2=-1)))
        noise = np.diagonal(model.R, axis1=-2, axis2=-1)
        narrowest = float(np.min(noise[noise > 0], initial=np.inf))
        if np.isfinite(narrowest) and widest > 1e6 * narrowest:
            warnings.warn(
                f"start: its variance {widest:.3g} is {widest / narrowest:.3g} times that of R, which float32 cannot "
                "resolve; use float64, or P1_inf for an exactly diffuse start",
                ModelWarning,
                stacklevel=4,
            )
