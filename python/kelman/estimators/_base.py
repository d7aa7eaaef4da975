# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators share: once there is a model, everything else is a verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from kelman import linear, lti
from kelman.errors import KelmanError
from kelman.estimators._panel import Panel, read, tags_of_series

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.models import StateSpace


class StateSpaceEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the estimators; a subclass makes the model in `_fit_panel`."""

    model_: StateSpace
    n_features_in_: int

    def _fit_panel(self, panel: Panel) -> None:
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, *, u: Any = None, lengths: Any = None) -> Self:  # noqa: ARG002
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (T, m), or (N, T, m), or a list of (T, m)
            One series whose rows are time; or several. NaN = missing.
        y : None
            Not used.
        u : array_like, shape (T, p), or (N, T, p), or a list of (T, p), optional
            Inputs.
        lengths : array_like of int, optional
            Lengths of several series that lie one below the other in a 2-D X.

        Returns
        -------
        self
        """
        self._fit_panel(read(self, X, u, lengths, reset=True))
        return self

    def fit_transform(self, X: Any, y: Any = None, *, u: Any = None, lengths: Any = None) -> Any:
        """Fit, and return the smoothed means of the same data; see `fit` and `transform`.

        Parameters
        ----------
        X, y, u, lengths
            As in `fit`.

        Returns
        -------
        ndarray or list of ndarray
            As `transform`.
        """
        return self.fit(X, y, u=u, lengths=lengths).transform(X, u=u, lengths=lengths)

    def _read(self, X: Any, u: Any, lengths: Any) -> Panel:
        check_is_fitted(self)
        panel = read(self, X, u, lengths, reset=False)
        p = 0 if self.model_.B is None and self.model_.D is None else self.model_.dims.p
        if p and panel.inputs is None:
            raise KelmanError(f"u: the model was fitted with {p} inputs, so u is needed")
        if not p and panel.inputs is not None:
            raise KelmanError("u: the model was fitted without inputs, so none can be given")
        return panel

    def transform(self, X: Any, *, u: Any = None, lengths: Any = None) -> Any:
        """Return the smoothed means of the states, E[x_k | all of X].

        Parameters
        ----------
        X, u, lengths
            As in `fit`. Where X is missing, the states follow from the rest of the series.

        Returns
        -------
        ndarray or list of ndarray
            A row of n_states numbers for each row of X, in the form of X.
        """
        panel = self._read(X, u, lengths)
        return panel.back(linear.smooth(self.model_, panel.z, panel.u).mean)

    def predict(self, X: Any, *, u: Any = None, lengths: Any = None) -> Any:
        """Return one-step predictions, E[z_k | z_1..z_{k-1}].

        Parameters
        ----------
        X, u, lengths
            As in `fit`.

        Returns
        -------
        ndarray or list of ndarray
            The prediction of each row of X from the rows before it (and the inputs), in the form of X; no NaN.
        """
        panel = self._read(X, u, lengths)
        x = linear.filter(self.model_, panel.z, panel.u, store="all").predicted_mean
        model = self.model_
        found = x @ np.swapaxes(model.H, -1, -2)
        if model.c is not None:
            found = found + model.c
        if model.D is not None and model.dims.p:
            found = found + _padded(panel.u, x.shape) @ model.D.T
        return panel.back(found)

    def score(self, X: Any, y: Any = None, *, u: Any = None, lengths: Any = None) -> float:  # noqa: ARG002
        """Return the mean log-likelihood per observed value: higher is better.

        Parameters
        ----------
        X, u, lengths
            As in `fit`.
        y : None
            Not used.

        Returns
        -------
        float
        """
        panel = self._read(X, u, lengths)
        count = sum(int(np.isfinite(one).sum()) for one in panel.series)
        if not count:
            raise KelmanError("X: every value is missing, so there is nothing to score")
        return float(np.sum(linear.loglik(self.model_, panel.z, panel.u))) / count

    def forecast(
        self,
        X: Any,
        steps: int,
        *,
        u: Any = None,
        u_future: Any = None,
        lengths: Any = None,
        return_std: bool = False,
    ) -> Any:
        """Forecast the values after the end of each series.

        Parameters
        ----------
        X, u, lengths
            As in `fit`.
        steps : int
            How many steps.
        u_future : array_like, shape (steps, p) or (N, steps, p), optional
            Inputs to come. Needed if the model has inputs.
        return_std : bool, default False
            Return the standard deviations too.

        Returns
        -------
        mean : ndarray, shape (steps, m) or (N, steps, m)
        std : ndarray of the same shape, if `return_std`
        """
        panel = self._read(X, u, lengths)
        ahead = linear.forecast(self.model_, panel.z, steps, panel.u, u_future)
        if not return_std:
            return ahead.mean
        return ahead.mean, np.sqrt(np.maximum(np.diagonal(ahead.cov, axis1=-2, axis2=-1), 0.0))

    def sample(self, n_samples: int = 1, *, u: Any = None, random_state: Any = None) -> tuple[Array, Array]:
        """Draw a series from the model.

        Parameters
        ----------
        n_samples : int, default 1
            Its length.
        u : array_like, shape (n_samples, p), optional
            Inputs. Needed if the model has inputs.
        random_state : int, RandomState or None
            Source of randomness.

        Returns
        -------
        X : ndarray, shape (n_samples, m)
            Measurements.
        states : ndarray, shape (n_samples, n)
            States.
        """
        check_is_fitted(self)
        model = self.model_
        seed = check_random_state(random_state).randint(2**31 - 1)
        try:
            drawn = linear.simulate(model, n_samples, u=u, rng=int(seed))
        except KelmanError as error:
            if "diffuse" not in str(error):
                raise
            drawn = linear.simulate(model.replace(P1_inf=None, **_begun(model, u)), n_samples, u=u, rng=int(seed))
        return drawn.z, drawn.x

    def _keep(self, model: StateSpace, panel: Panel) -> None:
        """Set the attributes that follow from the model."""
        n, m = model.dims.n, model.dims.m
        self.model_ = model
        self.n_states_ = n
        self._n_features_out = n
        self.A_, self.H_, self.Q_, self.R_ = (np.array(a) for a in (model.A, model.H, model.Q, model.R))
        self.S_ = np.zeros((n, m)) if model.S is None else np.array(model.S)
        self.b_ = np.zeros(n) if model.b is None else np.array(model.b)
        self.c_ = np.zeros(m) if model.c is None else np.array(model.c)
        self.B_, self.D_ = (None if a is None else np.array(a) for a in (model.B, model.D))
        self.loglik_ = float(np.sum(linear.loglik(model, panel.z, panel.u, on_error="nan")))

    def __sklearn_tags__(self) -> Any:
        return tags_of_series(super().__sklearn_tags__())


def _begun(model: StateSpace, u: Any) -> dict[str, Array]:
    """A first state for a model that leaves it open: where the mean input holds it; at zero where nothing does, as in a walk."""
    n = model.dims.n
    if not lti.spectral_radius(model.A) < 1 - 1e-6:
        return {"m1": np.zeros(n), "P1": np.zeros((n, n))}
    drive = np.zeros(n) if model.b is None else model.b
    if model.B is not None:
        drive = drive + model.B @ np.mean(np.asarray(u, dtype=np.float64).reshape(-1, model.dims.p), axis=0)
    return {"m1": np.linalg.solve(np.eye(n) - model.A, drive), "P1": lti.lyapunov(model.A, model.Q)}


def _padded(u: Any, shape: tuple[int, ...]) -> Array:
    """Inputs as one array, zero behind the end of a series."""
    if not isinstance(u, list):
        array: Array = u
        return array
    out = np.zeros((shape[0], shape[1], u[0].shape[1]))
    for row, one in zip(out, u, strict=True):
        row[: len(one)] = one
    return out
