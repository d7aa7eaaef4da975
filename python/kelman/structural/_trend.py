# SPDX-License-Identifier: BSD-3-Clause
"""Level, trend and irregular."""

from __future__ import annotations

from typing import Literal

import numpy as np

from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError
from kelman.structural._component import Component, Signal, Slot, VarianceComponent, called, given_variance
from kelman.structural._structural import Structural
from kelman.structural._trend_parts import make_irregular, make_trend
from kelman.structural._wide import widen

TrendKind = Literal["local linear", "smooth", "damped", "deterministic"]
_KINDS = ("local linear", "smooth", "damped", "deterministic")


Covariance = Literal["full", "diagonal"]


def level(
    *, variance: float | None = None, m: int = 1, covariance: Covariance = "full", name: str | None = None
) -> Structural:
    r"""Return a level that moves as a random walk: mu_k = mu_{k-1} + w, starting exactly diffuse.

    Parameters
    ----------
    variance : float, optional
        Variance of w. None is free; 0 is a constant.
    m : int, default 1
        Number of measured values: with more than one, each has a level of its own, with correlated noises.
    covariance : {"full", "diagonal"}, default "full"
        Whether the noises of several values are correlated.
    name : str, optional
        Name of the component, "level" by default.

    Returns
    -------
    Structural
        The local level model; add other components with ``+``. ``level() + trend(...)`` is one trend with the level's noise:
        a random walk and a trend cannot be told apart in their sum.

    Raises
    ------
    KelmanError
        If `variance` is negative or not a number.

    Notes
    -----
    Durbin and Koopman, *Time Series Analysis by State Space Methods*, 2nd ed. (2012), section 3.2.

    Examples
    --------
    >>> from kelman import structural
    >>> structural.level().names
    ('level.variance', 'irregular.variance')
    """
    one = np.ones((1, 1))
    part = VarianceComponent(
        kind="level",
        name=called(name, "level"),
        base={"A": one, "H": one, "Q": np.zeros((1, 1)), "P1_inf": one},
        slots=(Slot("variance", given_variance(variance, "variance"), (("Q", (0, 0)),), 0.1),),
        roots=np.ones(1, dtype=complex),
        signals=(Signal(called(name, "level"), one),),
    )
    return Structural((wide(part, m, covariance),))


def wide(part: Component, m: int, covariance: str) -> Component:
    """Return a component for m values, after a look at the arguments."""
    return widen(part, as_count(m, "m"), one_of(covariance, "covariance", ("full", "diagonal")))


def trend(
    kind: TrendKind = "local linear",
    *,
    level_variance: float | None = None,
    slope_variance: float | None = None,
    m: int = 1,
    covariance: Covariance = "full",
    name: str | None = None,
) -> Structural:
    r"""Return a level with a slope.

    ::

        mu_k = mu_{k-1} + beta_{k-1} + w        Var(w) = level_variance
        beta_k = phi beta_{k-1} + s             Var(s) = slope_variance

    Parameters
    ----------
    kind : {"local linear", "smooth", "damped", "deterministic"}, default "local linear"
        "local linear": phi = 1 and both variances; "smooth": no level noise (an integrated random walk); "damped": phi
        between 0 and 1 is a parameter and the slope starts stationary; "deterministic": a straight line.
    level_variance, slope_variance : float, optional
        Fix a variance; None is free where the kind has it.
    m : int, default 1
        Number of measured values: with more than one, each has a trend of its own, with correlated noises.
    covariance : {"full", "diagonal"}, default "full"
        Whether the noises of several values are correlated. A damped trend is for one value only.
    name : str, optional
        Name of the component, "trend" by default.

    Returns
    -------
    Structural
        A model with the trend; add other components with ``+``.

    Raises
    ------
    KelmanError
        If the kind is unknown, or a variance is not one or is not part of the kind.

    Notes
    -----
    Durbin and Koopman (2012), section 3.2. The level, and the slope unless damped, starts exactly diffuse.

    Examples
    --------
    >>> from kelman import structural
    >>> structural.trend("damped").names
    ('trend.level_variance', 'trend.slope_variance', 'trend.damping', 'irregular.variance')
    """
    one_of(kind, "kind", _KINDS)
    own = called(name, "trend")
    values = {
        "level_variance": given_variance(level_variance, "level_variance"),
        "slope_variance": given_variance(slope_variance, "slope_variance"),
    }
    fixed = {"smooth": ("level_variance",), "deterministic": ("level_variance", "slope_variance")}.get(kind, ())
    for each in fixed:
        if values[each]:
            raise KelmanError(f"{each}: a {kind} trend has none; use kind='local linear'")
        values[each] = 0.0
    part = make_trend(kind, own, values["level_variance"], values["slope_variance"])
    if kind == "damped" and m != 1:
        raise KelmanError("m: a damped trend is for one measured value")
    return Structural((wide(part, m, covariance),))


def irregular(
    variance: float | None = None, *, m: int = 1, covariance: Covariance = "full", name: str | None = None
) -> Structural:
    """Return the measurement's noise: white, with a covariance between the measured values.

    Every model has one unless `arma`, `sarima`, `var` or `dynamic_factor` is part of it: those bring noise of their own. It need
    only be written to fix its variance (``irregular(0)`` leaves it out), or to add one to those.

    Parameters
    ----------
    variance : float, optional
        The variance; None is free.
    m : int, default 1
        Number of measured values.
    covariance : {"full", "diagonal"}, default "full"
        Whether the noises of several values are correlated.
    name : str, optional
        Name of the component, "irregular" by default.

    Returns
    -------
    Structural
        A model of white noise; add other components with ``+``.

    Raises
    ------
    KelmanError
        If `variance` is negative or not a number.

    Examples
    --------
    >>> from kelman import structural
    >>> (structural.level() + structural.irregular(0.0)).names
    ('level.variance',)
    """
    return Structural((wide(make_irregular(variance, 1, called(name, "irregular")), m, covariance),))
