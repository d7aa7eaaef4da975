# SPDX-License-Identifier: BSD-3-Clause
"""The likelihood with one common scale of all covariances taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kelman.errors import KelmanError
from kelman.linear import loglik_and_grad

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.linear._gradient_result import Gradient
    from kelman.models import StateSpace

_COVARIANCES = ("Q", "R", "S", "P0", "P1")


class Concentrated(NamedTuple):
    """A log-likelihood maximised over a common scale.

    Attributes
    ----------
    scale : float
        The number that all covariances are to be multiplied by.
    loglik : float
        The log-likelihood with it, the highest of all scales.
    gradient : Gradient
        Its derivative by the entries of the model with the scaled covariances; that by the entries as given is `scale` times
        as large for covariances, and the same for the others.
    """

    scale: float
    loglik: float
    gradient: Gradient


def concentrate(model: StateSpace, z: Any, u: Any = None, *, threads: int | None = None) -> Concentrated:
    r"""Maximise the log-likelihood over a common factor of all covariances, in closed form.

    Parameters
    ----------
    model : StateSpace
        Of which Q, R, S and the covariance of the start count up to a factor. P1_inf stays.
    z, u : array_like
        Data, as `kelman.loglik` takes them; the sum over all series is maximised.
    threads : int, optional
        As in `kelman.filter`.

    Returns
    -------
    Concentrated
        ``scale``, ``loglik``, ``gradient``.

    Raises
    ------
    KelmanError
        If the data are predicted without error, so that every smaller scale is better.

    Notes
    -----
    With s times every covariance the log-likelihood is :math:`-\frac12 (N \log s + q / s)` and a constant, N values and q the
    sum of squared standardised innovations, so that s = q / N. Both come from its derivative by log s at two scales, which is
    half the sum of the covariances times their derivatives. (Durbin and Koopman, 2nd ed. (2012), section 2.10.2.)

    Examples
    --------
    The Nile at a signal-to-noise ratio of 0.0973: the variances are those of maximum likelihood.

    >>> import kelman
    >>> model = kelman.StateSpace([[1.0]], [[1.0]], [[0.0973]], [[1.0]], initial="diffuse")
    >>> found = kelman.identify.concentrate(model, kelman.datasets.nile().z)
    >>> print(round(found.scale), round(found.loglik, 4))
    15099 -632.5456
    """
    slopes = []
    for scale in (1.0, 2.0):
        scaled = _scaled(model, scale)
        _, by = loglik_and_grad(scaled, z, u, threads=threads)
        slopes.append(_by_log_scale(scaled, by))
    squares = 4 * (slopes[0] - slopes[1])
    count = squares - 2 * slopes[0]
    if not squares > 1e-9 * count:
        raise KelmanError("z: the model predicts every value without error, so that there is no best scale")
    scale = squares / count
    best = _scaled(model, scale)
    loglik, by = loglik_and_grad(best, z, u, threads=threads)
    return Concentrated(float(scale), float(np.sum(loglik)), by)


def _scaled(model: StateSpace, scale: float) -> StateSpace:
    arrays: dict[str, Array] = {
        name: scale * getattr(model, name) for name in _COVARIANCES if getattr(model, name) is not None
    }
    return model.replace(**arrays)


def _by_log_scale(model: StateSpace, by: Gradient) -> float:
    """Sum of each covariance times its derivative."""
    total = 0.0
    for name in _COVARIANCES:
        array = getattr(model, name)
        if array is not None:
            total += float(np.sum(np.broadcast_to(array, by[name].shape) * by[name]))
    return total
