# SPDX-License-Identifier: BSD-3-Clause
"""`steady_state`: what the gains and covariances of the filter converge to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError
from ._problem import RANKS, require_model

if TYPE_CHECKING:
    from .._types import Array
    from ..models import StateSpace


@dataclass(frozen=True, eq=False, repr=False)
class SteadyState:
    """The limit of the filter of a time-invariant model; with a leading N for a model per series.

    Attributes
    ----------
    K : ndarray, shape (n, m)
        Predictor gain (A P H' + S) Sigma^-1.
    K_f : ndarray, shape (n, m)
        Filter gain P H' Sigma^-1.
    P_predicted : ndarray, shape (n, n)
        P = Cov(x_k | z_1..z_{k-1}).
    P_filtered : ndarray, shape (n, n)
        Cov(x_k | z_1..z_k).
    innovation_cov : ndarray, shape (m, m)
        Sigma = H P H' + R.
    F : ndarray, shape (n, n)
        A - K H, the transition of the predictor; its eigenvalues lie inside the unit circle.

    Examples
    --------
    >>> import kelman
    >>> ss = kelman.steady_state(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]))
    >>> round(float(ss.K[0, 0]), 10)
    0.6180339887
    """

    K: Array
    K_f: Array
    P_predicted: Array
    P_filtered: Array
    innovation_cov: Array
    F: Array

    def summary(self) -> str:
        """Say what the filter converges to.

        Returns
        -------
        str
            The gains and the moduli of the predictor's poles.
        """
        moduli = np.sort(np.abs(np.linalg.eigvals(self.F)), axis=-1)[..., ::-1]
        return "\n".join(
            (
                "steady state of the filter",
                f"  predictor gain K   {np.array2string(self.K, precision=6, prefix=' ' * 21)}",
                f"  filter gain K_f    {np.array2string(self.K_f, precision=6, prefix=' ' * 21)}",
                f"  moduli of the poles of A - K H   {np.array2string(moduli, precision=6)}",
            )
        )

    def __repr__(self) -> str:
        return f"SteadyState(K {self.K.shape}, innovation_cov {self.innovation_cov.shape})"


def steady_state(model: StateSpace) -> SteadyState:
    r"""Return the gains and covariances that the filter of a time-invariant model converges to.

    Parameters
    ----------
    model : StateSpace
        A model that does not vary in time (it may vary by series).

    Returns
    -------
    SteadyState
        K, K_f, P_predicted, P_filtered, innovation_cov and F.

    Raises
    ------
    NoSteadyStateError
        If the filter has no steady state; its ``.mode`` is the eigenvalue of A that prevents it, and the message says why
        (not observed, or on the unit circle and not driven by noise).
    KelmanError
        If the model varies in time.

    Notes
    -----
    The stabilising solution of P = A P A' + Q - K Sigma K': Anderson and Moore, *Optimal Filtering* (1979), section 4.4;
    Kailath, Sayed and Hassibi, *Linear Estimation* (2000), appendix E.

    Examples
    --------
    The Nile's local level (K = 0.267, P = 5501):

    >>> import kelman
    >>> ss = kelman.steady_state(kelman.StateSpace([[1.0]], [[1.0]], [[1469.1]], [[15099.0]]))
    >>> print(ss.K[0].round(4), ss.P_predicted[0].round(2))
    [0.267] [5501.26]
    """
    require_model(model, "steady_state")
    for name in ("A", "H", "Q", "R", "S"):
        array = getattr(model, name)
        if array is not None and array.ndim > 2 and array.shape[-3] > 1:
            raise KelmanError(f"{name}: varies in time, so the filter has no steady state")
    from .. import lti

    lead = _per_series(model)
    solutions = []
    for i in range(lead or 1):
        one: dict[str, Any] = {name: _of_series(getattr(model, name), i) for name in RANKS if name in "AHQRS"}
        solutions.append(lti.dare(**one))
    names = {
        "K": "K",
        "K_f": "K_f",
        "P_predicted": "P",
        "P_filtered": "P_filtered",
        "innovation_cov": "Sigma",
        "F": "F",
    }
    arrays = {}
    for field in fields(SteadyState):
        parts = np.stack([np.asarray(getattr(solution, names[field.name])) for solution in solutions])
        arrays[field.name] = (parts[0] if lead is None else parts).astype(model.dtype)
        arrays[field.name].flags.writeable = False
    return SteadyState(**arrays)


def _per_series(model: StateSpace) -> int | None:
    """How many different systems there are; None if one serves all (the start and the offsets do not matter)."""
    arrays = [getattr(model, name) for name in ("A", "H", "Q", "R", "S")]
    counts = [len(array) for array in arrays if array is not None and array.ndim == 4]
    return max(counts) if counts else None


def _of_series(array: Array | None, i: int) -> Array | None:
    if array is None:
        return None
    flat = array.reshape(-1, *array.shape[-2:]).astype(np.float64)
    one: Array = flat[i if len(flat) > 1 else 0]
    return one
