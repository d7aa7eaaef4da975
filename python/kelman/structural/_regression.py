# SPDX-License-Identifier: BSD-3-Clause
"""Regression on known variables, by coefficients that are states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from kelman._arrays import as_floats, one_of, require_finite
from kelman.errors import KelmanError
from kelman.structural._component import called, given_variance
from kelman.structural._regression_parts import make_regression
from kelman.structural._structural import Structural
from kelman.structural._trend import Covariance, wide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kelman._types import ArrayLike


def regression(
    X: ArrayLike,
    coefficients: Literal["fixed", "random walk"] = "fixed",
    *,
    names: Sequence[str] | None = None,
    variance: float | None = None,
    m: int = 1,
    covariance: Covariance = "full",
    name: str | None = None,
) -> Structural:
    r"""Return the effect of known variables, X_k beta_k: H varies in time and the coefficients are states.

    Parameters
    ----------
    X : array_like, shape (T,) or (T, k)
        The variables, one row for each measurement. To forecast, give the rows to come to `Structural.extended`.
    coefficients : {"fixed", "random walk"}, default "fixed"
        Whether the coefficients stay, or move as random walks with a variance each.
    names : sequence of str, optional
        Names of the variables, "x1", "x2", ... by default.
    variance : float, optional
        Fix the variance of every random walk; None is free.
    m : int, default 1
        Number of measured values: with more than one, each has coefficients of its own, with correlated noises.
    covariance : {"full", "diagonal"}, default "full"
        Whether the noises of several values are correlated.
    name : str, optional
        Name of the component, "regression" by default.

    Returns
    -------
    Structural
        A model with the regression; add other components with ``+``.

    Raises
    ------
    KelmanError
        If X is not finite, has more than two axes, or does not fit its names.

    Notes
    -----
    Durbin and Koopman, 2nd ed. (2012), sections 3.2.5 and 6.2. The coefficients start exactly diffuse, so that the estimate of a
    fixed one is that of generalised least squares and the likelihood is the restricted one. An input with ``D`` of a
    `StateSpace` estimates a fixed coefficient by full maximum likelihood instead.

    Examples
    --------
    >>> import numpy as np
    >>> from kelman import structural
    >>> step = np.arange(100) >= 60
    >>> s = structural.level() + structural.regression(step, names=["law"])
    >>> s.n, s.names
    (2, ('level.variance', 'irregular.variance'))
    """
    one_of(coefficients, "coefficients", ("fixed", "random walk"))
    table = as_floats(X, "X").astype(np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or 0 in table.shape:
        raise KelmanError(f"X: expected shape (T,) or (T, k), got {table.shape}")
    require_finite(table, "X")
    labels = tuple(f"x{j + 1}" for j in range(table.shape[1])) if names is None else tuple(names)
    if len(labels) != table.shape[1] or len(set(labels)) != len(labels) or not all(isinstance(x, str) for x in labels):
        raise KelmanError(
            f"names: expected {table.shape[1]} different names, one for each column of X, got {names!r:.80}"
        )
    value = given_variance(variance, "variance")
    if coefficients == "fixed":
        if value:
            raise KelmanError("variance: fixed coefficients have none; use coefficients='random walk'")
        value = 0.0
    return Structural((wide(make_regression(table, labels, value, called(name, "regression")), m, covariance),))
