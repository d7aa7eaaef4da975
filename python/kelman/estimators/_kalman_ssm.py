# SPDX-License-Identifier: BSD-3-Clause
"""`KalmanSSM`: a linear-Gaussian state-space model as a scikit-learn estimator."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count, one_of
from kelman.errors import KelmanError, KelmanWarning
from kelman.estimators._base import StateSpaceEstimator
from kelman.estimators._simple import simple_model
from kelman.identify import Tuned, fit, tune
from kelman.identify._data import stretches

if TYPE_CHECKING:
    from kelman.estimators._panel import Panel
    from kelman.models import StateSpace

_METHODS = ("auto", "subspace", "pem", "em", "mle")
_TAKE_GAPS = ("em", "mle")
_MANY = 20
"""So many values for each parameter are many."""


class KalmanSSM(StateSpaceEstimator):
    r"""A linear-Gaussian state-space model, fitted to one or many series.

    ::

        x_k = A x_{k-1} + B u_k + b + w_{k-1}        Cov(w_k) = Q, Cov(w_k, v_k) = S
        z_k = H x_k     + D u_k + c + v_k            Cov(v_k) = R

    `transform` gives the smoothed means of the states, `predict` one-step predictions, `score` the mean log-likelihood
    per observed value.

    Parameters
    ----------
    n_states : int, optional
        Number of states. None lets the data choose (by BIC over subspace estimates; 1 where there are too few values).
    method : {"auto", "subspace", "pem", "em", "mle"}, default "auto"
        As in `kelman.fit`. "auto" takes the prediction-error method, and from its A and H the most likely noise without S
        where that is as likely, so that states get better by smoothing; EM where values are missing. Where there are too few values for a method, or gaps
        leave no long piece, principal components that follow each other linearly take its place, with noise by likelihood:
        `method_` says what ran, `message_` why, and `converged_` is False unless the method is "auto".
    offset : bool or "auto", default "auto"
        Whether to estimate a constant level.
    direct : bool, default True
        Whether to estimate D, with inputs.
    max_iter : int, default 100
        Largest number of iterations.
    tol : float, default 1e-8
        As in `kelman.fit`.

    Attributes
    ----------
    model_ : StateSpace
        The model, for all verbs of the package.
    A_, H_, Q_, R_, S_, b_, c_ : ndarray
        Its matrices; zero where it has none.
    B_, D_ : ndarray or None
        Effects of the inputs.
    loglik_ : float
        Log-likelihood of the data.
    n_iter_ : int
        Number of iterations, at least 1.
    converged_ : bool
        Whether the search came to its end.
    method_, message_ : str
        What ran, and how it ended.
    n_states_ : int
        Number of states.
    n_features_in_ : int
        Number of measured values m.

    Notes
    -----
    X with two axes is one series whose rows are time; give ``lengths`` for several one below the other, or an array
    (N, T, m), or a list of (T, m). NaN is a missing value everywhere; "subspace" and "pem" are fitted to the pieces between
    gaps. Where the search does not converge there is no warning: see ``converged_`` and ``message_``.

    Rows depend on those before them, so splitters that shuffle rows make no sense: see `TimeSplit` and `SeriesSplit`.

    Examples
    --------
    >>> import kelman
    >>> from kelman.estimators import KalmanSSM
    >>> X = kelman.simulate(kelman.systems.rotation(), 500, rng=0).z
    >>> found = KalmanSSM(n_states=2).fit(X)
    >>> found.transform(X).shape, found.predict(X).shape, found.forecast(X, 3).shape
    ((500, 2), (500, 1), (3, 1))
    """

    def __init__(
        self,
        n_states: int | None = None,
        *,
        method: str = "auto",
        offset: bool | str = "auto",
        direct: bool = True,
        max_iter: int = 100,
        tol: float = 1e-8,
    ) -> None:
        self.n_states = n_states
        self.method = method
        self.offset = offset
        self.direct = direct
        self.max_iter = max_iter
        self.tol = tol

    def _fit_panel(self, panel: Panel) -> None:
        one_of(self.method, "method", _METHODS)
        as_count(self.max_iter, "max_iter")
        if self.n_states is not None:
            as_count(self.n_states, "n_states")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KelmanWarning)  # they are kept in message_
            model, self.method_, self.message_, self.converged_, count = self._found(panel)
        self.n_iter_ = max(1, count)
        self._keep(model, panel)

    def _found(self, panel: Panel) -> tuple[StateSpace, str, str, bool, int]:
        """The model, what ran, how it ended, whether it converged, and after how many iterations."""
        found: Any = None
        if self._suits_em(panel):
            with contextlib.suppress(KelmanError):  # the stretches between gaps may do
                found = self._identified(panel, "em")
        try:
            found = found or self._identified(panel, self.method)
        except KelmanError as error:
            model, method, message, converged, count = of_too_little(error, panel, self.n_states or 1, self.max_iter)
            return model, method, message, converged and self.method == "auto", count
        if self.method != "auto" or found.method == "em":
            return described(found)
        model, method, message, converged, count = described(found)
        plain = _without_cross(model, panel, self.max_iter)
        if plain is None:
            return model, method, message, converged, count
        text = f"{message}; noise without S by likelihood: {plain.message}"
        return plain.model, f"{method}+tune", text, converged and plain.converged, count + plain.iterations

    def _suits_em(self, panel: Panel) -> bool:
        """Whether "auto" tries EM first: there are gaps, and many values."""
        gaps = any(np.isnan(one).any() for one in panel.series)
        if self.method != "auto" or not gaps:
            return False
        n, m = self.n_states or 1, panel.series[0].shape[1]
        p = 0 if panel.inputs is None else panel.inputs[0].shape[1]
        known = sum(int(np.isfinite(one).sum()) for one in panel.series)
        return bool(known > _MANY * n * (n + 2 * m + p))

    def _identified(self, panel: Panel, method: str) -> Any:
        options: dict[str, Any] = {"n_states": self.n_states, "method": method, "max_iter": self.max_iter}
        options |= {"offset": self.offset, "direct": self.direct, "tol": self.tol, "progress": False}
        if method in _TAKE_GAPS:
            return fit(panel.z, panel.u, **options)
        return fit(*pieces(panel), **options)


def described(found: Any) -> tuple[StateSpace, str, str, bool, int]:
    """What the estimators keep of a fit."""
    return found.model, str(found.method), str(found.message), bool(found.converged), len(found.history)


def of_too_little(error: KelmanError, panel: Panel, n: int, max_iter: int) -> tuple[StateSpace, str, str, bool, int]:
    """The same from principal components, where a method said that the data are too few for it; else raise what it said."""
    if not str(error).startswith(("z:", "X:", "n_states:")):
        raise error
    found = simple_model(panel, n, max_iter)
    if isinstance(found, Tuned):
        message = f"{error}; noise by likelihood: {found.message}"
        return found.model, "principal components+tune", message, found.converged, found.iterations
    return found, "principal components", f"{error}; the noise could not be tuned", False, 1


def _without_cross(model: StateSpace, panel: Panel, max_iter: int) -> Tuned | None:
    """The same A, H, ... with the most likely Q and R and no S, if that costs less likelihood than one parameter's worth."""
    from kelman.linear import loglik

    if model.S is None:
        return None
    n, m = model.dims.n, model.dims.m
    guess = model.replace(
        S=None, Q=model.Q + 0.01 * np.eye(n) * max(float(np.trace(model.Q)) / n, 1e-300), R=model.R / 2
    )
    try:
        plain = tune(
            guess, panel.z, panel.u, Q="full", R="full" if m <= 4 else "diagonal", max_iter=max_iter, progress=False
        )
        own = float(np.sum(loglik(model, panel.z, panel.u, on_error="nan")))
    except KelmanError:
        return None
    return plain if plain.loglik >= own - 0.5 * np.log(max(plain.nobs, 2)) else None


def pieces(panel: Panel) -> tuple[Any, Any]:
    """The data as they are, or, with gaps, the stretches without any."""
    if all(np.isfinite(one).all() for one in panel.series):
        return panel.z, panel.u
    inputs = panel.inputs
    z, u, _ = stretches(panel.series, [one[:, :0] for one in panel.series] if inputs is None else inputs)
    return z, None if inputs is None else u
