# SPDX-License-Identifier: BSD-3-Clause
"""The result of `filter`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._result import Kept, spread

if TYPE_CHECKING:
    from .._types import Array
    from ._state import FilterState

STORES: tuple[str, ...] = ("loglik", "last", "means", "filtered", "all")

KEPT_BY: dict[str, tuple[str, ...]] = {
    "mean": ("last", "means", "filtered", "all"),
    "cov": ("last", "filtered", "all"),
    "loglik_obs": ("filtered", "all"),
    "predicted_mean": ("all",),
    "predicted_cov": ("all",),
    "innovation": ("all",),
    "innovation_cov": ("all",),
}


@dataclass(frozen=True, eq=False, repr=False)
class FilterResult(Kept):
    """What `filter` found; which arrays there are depends on ``store``.

    ... stands for N when several series were given, and for nothing when one was. Reading an array that was not kept
    raises and names the `store` that keeps it. Arrays that are the same for all series are read-only broadcast views.

    Attributes
    ----------
    lengths : ndarray, shape (N,), or None
        Length of each series, if a list was given.
    store : str
        What was kept.
    method : str
        What ran: "shared" (covariances once for all series), "grouped" (once for each group of series with the same
        gaps), "lanes" (series side by side in vector registers), "scalar" (one series), "steady" (one series, whose
        covariances became constant), "univariate" (one series at a time, every kind of model and start), several joined
        by "+", as "univariate+lanes" after a diffuse start; or "reference" (PyTorch).
    state : FilterState
        Where the filter stopped: give it as ``start=`` to go on.

    Examples
    --------
    >>> import kelman
    >>> model = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]])
    >>> r = kelman.filter(model, [[[1.0], [2.0]], [[0.0], [1.0]]], store="means")
    >>> r.mean.shape, len(r), r[1].mean.shape
    ((2, 2, 1), 2, (2, 1))
    >>> r.cov
    Traceback (most recent call last):
    ...
    kelman.errors.NotKeptError: cov: not kept by store='means'; kept by 'last', 'filtered', 'all'
    """

    _arrays: dict[str, Array]
    _batched: bool
    lengths: Array | None
    store: str
    method: str
    state: FilterState

    @staticmethod
    def _timed_of(store: str) -> frozenset[str]:
        names = set(KEPT_BY)
        return frozenset(names - {"mean", "cov"} if store == "last" else names)

    @property
    def _timed(self) -> frozenset[str]:  # type: ignore[override]
        return self._timed_of(self.store)

    def _why_missing(self, name: str) -> str:
        keepers = ", ".join(map(repr, KEPT_BY[name]))
        return f"{name}: not kept by store={self.store!r}; kept by {keepers}"

    @property
    def loglik(self) -> Any:
        """Log-likelihood of each series, shape (...)."""
        return self._get("loglik")

    @property
    def loglik_obs(self) -> Array:
        """Log-likelihood of each z_k given the earlier ones, shape (..., T)."""
        return self._array("loglik_obs")

    @property
    def mean(self) -> Array:
        """E[x_k | z_1..z_k], shape (..., T, n); with ``store="last"`` of the last step only, (..., n)."""
        return self._array("mean")

    @property
    def cov(self) -> Array:
        """Cov[x_k | z_1..z_k], shape (..., T, n, n) (its finite part while the start is diffuse)."""
        return self._array("cov")

    @property
    def predicted_mean(self) -> Array:
        """E[x_k | z_1..z_{k-1}], shape (..., T, n)."""
        return self._array("predicted_mean")

    @property
    def predicted_cov(self) -> Array:
        """Cov[x_k | z_1..z_{k-1}], shape (..., T, n, n) (its finite part while the start is diffuse)."""
        return self._array("predicted_cov")

    @property
    def innovation(self) -> Array:
        """z_k minus its prediction, shape (..., T, m); NaN where z is missing."""
        return self._array("innovation")

    @property
    def innovation_cov(self) -> Array:
        """H P H' + R, shape (..., T, m, m), of all components, missing or not."""
        return self._array("innovation_cov")

    @property
    def status(self) -> Any:
        """0 where a series went well; 1 not positive definite, 2 impossible measurement, 3 not finite. Shape (...)."""
        return self._get("status")

    @property
    def failed_at(self) -> Any:
        """Time index at which a series first failed, -1 where none did. Shape (...)."""
        return self._get("failed_at")

    def _array(self, name: str) -> Array:
        array: Array = self._get(name)
        return array

    def __getitem__(self, i: int) -> FilterResult:
        """Return the result of one series, without padding."""
        arrays = self._cut(i)
        i = i % self._count()
        return FilterResult(arrays, False, None, self.store, self.method, self.state.series(i))

    def summary(self) -> str:
        """Say in a few lines what was computed.

        Returns
        -------
        str
            Number and length of the series, log-likelihood, what is kept, what failed.
        """
        count = self._count()
        kept = [name for name in KEPT_BY if name in self._arrays]
        lines = [f"filter of {count} series" if self._batched else "filter of one series"]
        if self.lengths is not None:
            lines.append(f"  lengths      {self.lengths.min()} to {self.lengths.max()}")
        lines.append(f"  loglik       {spread(self._arrays['loglik'])}")
        lines.append(f"  kept         {', '.join(kept) or 'the log-likelihood only'} (store={self.store!r})")
        failed = int(np.count_nonzero(self._arrays["status"]))
        if failed:
            lines.append(f"  failed       {failed} series")
        return "\n".join(lines)

    def __repr__(self) -> str:
        shapes = {name: array.shape if self._batched else array.shape[1:] for name, array in self._arrays.items()}
        shown = ", ".join(f"{name} {shapes[name]}" for name in ("loglik", *KEPT_BY) if name in shapes)
        return f"FilterResult({shown}, store={self.store!r})"
