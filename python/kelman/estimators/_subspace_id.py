# SPDX-License-Identifier: BSD-3-Clause
"""`SubspaceID`: subspace identification as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from kelman.errors import KelmanError, KelmanWarning
from kelman.estimators._base import StateSpaceEstimator
from kelman.estimators._kalman_ssm import described, of_too_little, pieces
from kelman.identify import fit
from kelman.linear import steady_state

if TYPE_CHECKING:
    from kelman.estimators._panel import Panel


class SubspaceID(StateSpaceEstimator):
    r"""A model in innovation form by a subspace method: one decomposition, no iteration.

    .. math:: x_{k+1} = A x_k + B u_k + b + K e_k, \qquad z_k = H x_k + D u_k + c + e_k

    Parameters
    ----------
    n_states : int, optional
        Number of states; chosen by BIC when left out.
    weighting : {"cca", "n4sid", "moesp"}, default "cca"
        As in `kelman.fit`.
    block_rows : int, optional
        As in `kelman.fit`.
    offset : bool or "auto", default "auto"
        Whether to estimate a constant level.
    direct : bool, default True
        Whether to estimate D, with inputs.

    Attributes
    ----------
    model_ : StateSpace
        The model, for all verbs of the package.
    A_, H_, Q_, R_, S_, b_, c_ : ndarray
        Its matrices: Q = K Sigma K', R = Sigma, S = K Sigma.
    B_, D_ : ndarray or None
        Effects of the inputs.
    K_, Sigma_ : ndarray
        Predictor gain, and covariance of the one-step errors.
    singular_values_ : ndarray
        In which the order shows as a gap.
    loglik_ : float
        Log-likelihood of the data.
    n_iter_ : int
        1.
    converged_ : bool
        False if there were too few values for a subspace method, and principal components took its place.
    method_, message_ : str
        What ran, and how it ended.

    Notes
    -----
    As `KalmanSSM`, with gaps the pieces between them are used. W. E. Larimore, Proc. CDC 1990; P. Van Overschee and
    B. De Moor, Automatica 30 (1994) 75.

    Examples
    --------
    >>> import kelman
    >>> from kelman.estimators import SubspaceID
    >>> data = kelman.datasets.hairdryer()
    >>> found = SubspaceID(n_states=3).fit(data.z, u=data.u)
    >>> found.predict(data.z, u=data.u).shape
    (1000, 1)
    """

    def __init__(
        self,
        n_states: int | None = None,
        *,
        weighting: str = "cca",
        block_rows: int | None = None,
        offset: bool | str = "auto",
        direct: bool = True,
    ) -> None:
        self.n_states = n_states
        self.weighting = weighting
        self.block_rows = block_rows
        self.offset = offset
        self.direct = direct

    def _fit_panel(self, panel: Panel) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KelmanWarning)
            try:
                found = fit(
                    *pieces(panel),
                    n_states=self.n_states,
                    method="subspace",
                    weighting=self.weighting,
                    block_rows=self.block_rows,
                    offset=self.offset,
                    direct=self.direct,
                )
            except KelmanError as error:
                model, self.method_, self.message_, _, _ = of_too_little(error, panel, self.n_states or 1, 100)
                steady = steady_state(model)
                self.K_, self.Sigma_, self.singular_values_ = steady.K, steady.innovation_cov, np.zeros(0)
                self.converged_ = False
            else:
                model, self.method_, self.message_, self.converged_, _ = described(found)
                self.K_, self.Sigma_ = np.array(found.K), np.array(found.Sigma)
                self.singular_values_ = np.array(found.singular_values)
        self.n_iter_ = 1
        self._keep(model, panel)
