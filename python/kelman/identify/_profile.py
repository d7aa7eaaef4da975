# SPDX-License-Identifier: BSD-3-Clause
"""Profile likelihood of one parameter, and the interval that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman import _registry
from kelman._arrays import as_floats
from kelman.errors import KelmanError
from kelman.identify._maximise import maximise

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.identify._objective import Objective
    from kelman.identify._parameter_fit import ParameterFit

_REACH = 12.0


@dataclass(frozen=True, eq=False)
class Profile:
    """The likelihood of one parameter, all others at their best.

    Attributes
    ----------
    name : str
        The parameter.
    values : ndarray, shape (L,)
        Its values, rising.
    loglik : ndarray, shape (L,)
        The highest log-likelihood (plus log-prior) at each.
    interval : ndarray, shape (2,)
        Where it falls by half the chi-square quantile of `level`; NaN at an end where it does not (a bound).
    level : float
        Probability of covering.
    """

    name: str
    values: Array
    loglik: Array
    interval: Array
    level: float

    def plot(self, **options: Any) -> Any:
        """Draw the profile (needs matplotlib); options go to ``kelman.plotting``."""
        return _registry.plot(self, **options)


class _Held:
    """An objective with one parameter held."""

    def __init__(self, objective: Objective, eta: Array, k: int) -> None:
        self.whole, self.eta, self.k = objective, eta.copy(), k
        self.others = np.delete(np.arange(len(eta)), k)
        self.best: tuple[float, Array, Array] | None = None

    def _full(self, eta: Array) -> Array:
        full = np.broadcast_to(self.eta, (*eta.shape[:-1], len(self.eta))).copy()
        full[..., self.others] = eta
        return full

    def __call__(self, eta: Array) -> tuple[float, Array]:
        """Value and gradient by the others."""
        value, gradient = self.whole(self._full(eta))
        if self.best is None or value > self.best[0]:
            self.best = (value, eta.copy(), gradient[self.others])
        return value, gradient[self.others]

    def second(self, eta: Array, scale: Array) -> Array:
        """Second derivatives by the others."""
        wide = np.ones(len(self.eta))
        wide[self.others] = scale
        return self.whole.second(self._full(eta), wide)[np.ix_(self.others, self.others)]

    def scale(self, eta: Array, guess: Array | None = None) -> Array:
        """Scales of the others."""
        wide = None
        if guess is not None:
            wide = np.ones(len(self.eta))
            wide[self.others] = guess
        return self.whole.scale(self._full(eta), wide)[self.others]


def profile(fit: ParameterFit, name: str, values: Any, level: float) -> Profile:
    """Profile of the parameter `name`; see `ParameterFit.profile`."""
    if name not in fit.names:
        raise KelmanError(f"name: there is no parameter {name!r:.60}; there are {', '.join(fit.names[:12])}")
    k = fit.names.index(name)
    if any(len(block.columns) > 1 and k in block.columns for block in fit.template._blocks):
        raise KelmanError(
            f"name: {name!r} is an entry of a jointly transformed block; its profile is not offered, use confidence_intervals()"
        )
    from scipy.special import chdtri

    held = _Held(fit._objective, fit._eta, k)
    top = fit._objective(fit._eta)[0]
    drop = 0.5 * float(chdtri(1, 1 - level))
    known: dict[float, float] = {float(fit._eta[k]): top}
    warm = fit._eta[held.others]

    def height(at: float) -> float:
        nonlocal warm
        if at not in known:
            held.eta[k] = at
            climbed = maximise(held, warm, lowest=fit._lowest[held.others], max_iter=60, tol=1e-7)
            known[at] = climbed.value
            warm = climbed.eta
        return known[at]

    ends = np.array([_end(fit, k, side, height, top - drop) for side in (-1.0, 1.0)])
    if values is None:
        low, high = np.where(np.isnan(ends), fit._eta[k] + np.array([-4, 4]) * fit._scale[k], ends)
        here = fit._eta[k]
        at = np.linspace(here + 1.2 * (low - here), here + 1.2 * (high - here), 15)
    else:
        wanted = np.sort(as_floats(values, "values").astype(np.float64).ravel())
        at = np.array([_eta_of(fit, k, value) for value in wanted])
    loglik = np.array([height(float(one)) for one in at])
    natural = [_theta_of(fit, k, float(one)) for one in at]
    order = np.argsort(natural)
    interval = np.sort([_theta_of(fit, k, float(end)) if np.isfinite(end) else np.nan for end in ends])
    if np.isnan(ends).any() and np.isfinite(ends).any():
        interval = np.array([_theta_of(fit, k, float(end)) if np.isfinite(end) else np.nan for end in ends])
    return Profile(name, np.array(natural)[order], loglik[order], interval, level)


def _end(fit: ParameterFit, k: int, side: float, height: Any, goal: float) -> float:
    """Where the profile passes `goal` on one side, NaN if it does not within reason."""
    from scipy.optimize import brentq

    here, step = float(fit._eta[k]), float(fit._scale[k])
    inner = here
    while abs(inner - here) < _REACH * max(step, 1.0):
        outer = inner + side * step
        if height(outer) < goal:
            low = max(height(inner), goal) - goal
            if low == 0:
                return inner
            return float(
                brentq(lambda at: max(height(at), goal - 1e3) - goal, inner, outer, xtol=1e-6 * step, rtol=1e-12)
            )
        inner, step = outer, 1.5 * step
    return float("nan")


def _theta_of(fit: ParameterFit, k: int, eta: float) -> float:
    point = fit._eta.copy()
    point[k] = eta
    return float(fit.template.constrain(point)[k])


def _eta_of(fit: ParameterFit, k: int, theta: float) -> float:
    point = fit.theta.copy()
    point[k] = theta
    return float(fit.template.unconstrain(point)[k])
