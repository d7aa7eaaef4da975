# SPDX-License-Identifier: BSD-3-Clause
"""Splitters for cross-validation of time series: by time within one series, and by series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from kelman._arrays import as_count, as_flag
from kelman.errors import KelmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kelman._types import Array


class TimeSplit:
    """Cut one series (2-D X, rows are time) into a past to fit and a future to score, several times.

    The rows are cut into ``n_splits + 1`` stretches of nearly equal length; split i fits the first i + 1 (or the last
    `max_train` rows of them) and scores the next.

    Parameters
    ----------
    n_splits : int, default 5
        Number of splits.
    gap : int, default 0
        Rows left out between past and future.
    max_train : int, optional
        Largest number of rows to fit.

    Examples
    --------
    >>> from kelman.estimators import TimeSplit
    >>> for train, test in TimeSplit(2).split([[0.0]] * 9):
    ...     print(train, test)
    [0 1 2] [3 4 5]
    [0 1 2 3 4 5] [6 7 8]
    """

    def __init__(self, n_splits: int = 5, *, gap: int = 0, max_train: int | None = None) -> None:
        self.n_splits = as_count(n_splits, "n_splits")
        self.gap = as_count(gap, "gap", least=0)
        self.max_train = None if max_train is None else as_count(max_train, "max_train", least=2)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups
            Not used.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:  # noqa: ARG002
        """Give the rows to fit and the rows to score of each split.

        Parameters
        ----------
        X : array_like, shape (T, m)
            One series.
        y, groups
            Not used.

        Yields
        ------
        train, test : ndarray of int
            Rows, in order.
        """
        if getattr(X, "ndim", 2) != 2:
            raise KelmanError("X: TimeSplit cuts one series of two axes; for several series use SeriesSplit")
        T = len(X)
        if self.gap + 2 * (self.n_splits + 1) > T:
            raise KelmanError(f"X: {T} rows are too few for {self.n_splits} splits with a gap of {self.gap}")
        edges = np.linspace(0, T, self.n_splits + 2).round().astype(np.int64)
        for i in range(1, self.n_splits + 1):
            stop = max(int(edges[i]) - self.gap, 2)
            first = 0 if self.max_train is None else max(0, stop - self.max_train)
            yield np.arange(first, stop), np.arange(edges[i], edges[i + 1])

    def __repr__(self) -> str:
        return f"TimeSplit(n_splits={self.n_splits}, gap={self.gap}, max_train={self.max_train})"


class SeriesSplit:
    """Deal several series (3-D X or a list) into folds: each is scored once by a model fitted to the others.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds.
    shuffle : bool, default False
        Deal at random.
    random_state : int, RandomState or None
        Source of randomness, if `shuffle`.

    Examples
    --------
    >>> import numpy as np
    >>> from kelman.estimators import SeriesSplit
    >>> for train, test in SeriesSplit(2).split(np.zeros((4, 10, 1))):
    ...     print(train, test)
    [2 3] [0 1]
    [0 1] [2 3]
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None) -> None:
        self.n_splits = as_count(n_splits, "n_splits", least=2)
        self.shuffle = as_flag(shuffle, "shuffle")
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups
            Not used.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Array, Array]]:  # noqa: ARG002
        """Give the series to fit and the series to score of each fold.

        Parameters
        ----------
        X : array_like, shape (N, T, m), or a list of (T, m)
            Several series.
        y, groups
            Not used.

        Yields
        ------
        train, test : ndarray of int
            Numbers of series, in order.
        """
        if getattr(X, "ndim", 3) != 3:
            raise KelmanError("X: SeriesSplit deals series, a 3-D array or a list; for one series use TimeSplit")
        N = len(X)
        if self.n_splits > N:
            raise KelmanError(f"X: {N} series cannot be dealt into {self.n_splits} folds")
        order = np.arange(N)
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        for fold in np.array_split(order, self.n_splits):
            yield np.setdiff1d(np.arange(N), fold), np.sort(fold)

    def __repr__(self) -> str:
        return f"SeriesSplit(n_splits={self.n_splits}, shuffle={self.shuffle}, random_state={self.random_state!r})"
