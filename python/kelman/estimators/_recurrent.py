# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators of recurrent networks share: series in, series out, trained by `kelman.train`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from kelman._arrays import as_count
from kelman.errors import KelmanError, KelmanWarning
from kelman.estimators._panel import Panel, read, read_targets, tags_of_series
from kelman.identify import train
from kelman.identify._train_passes import adam_pass
from kelman.rnn import forward

if TYPE_CHECKING:
    from kelman.identify import TrainResult
    from kelman.models import GRU, LSTM, Elman

_UPDATES = 8
"""Updates that a pass of `partial_fit` has at least, where there are as many windows."""


class RecurrentEstimator(RegressorMixin, BaseEstimator):
    """Base of the networks; a subclass names its cell."""

    CELL: ClassVar[str]

    rnn_: Elman | GRU | LSTM
    result_: TrainResult
    n_features_in_: int

    def __init__(
        self,
        n_hidden: int = 8,
        *,
        output: str = "identity",
        direct: bool = False,
        method: str = "auto",
        start: str = "auto",
        starts: int | None = None,
        warmup: int | str = "auto",
        learn_h0: bool = False,
        l2: float = 0.0,
        max_iter: int | None = None,
        tol: float | None = None,
        learning_rate: float | None = None,
        batch: int = 32,
        window: int = 128,
        inputs: tuple[str, ...] | None = None,
        target: str | None = None,
        random_state: Any = 0,
        threads: int | None = None,
    ) -> None:
        self.n_hidden = n_hidden
        self.output = output
        self.direct = direct
        self.method = method
        self.start = start
        self.starts = starts
        self.warmup = warmup
        self.learn_h0 = learn_h0
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch = batch
        self.window = window
        self.inputs = inputs
        self.target = target
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: Any, y: Any, *, lengths: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like, shape (T, i), or (N, T, i), or a list of (T, i)
            Inputs: one series whose rows are time; or several. All finite.
        y : array_like, shape (T,) or (T, o), or (N, T) or (N, T, o), or a list
            Targets, a row for each row of X. NaN is not counted.
        lengths : array_like of int, optional
            Lengths of several series that lie one below the other in a 2-D X.

        Returns
        -------
        self
        """
        panel, targets = self._data(X, y, lengths, reset=True)
        options = {"method": self.method, "start": self.start, "starts": self.starts, "max_iterations": self.max_iter}
        found = self._trained(self._sizes(), panel, targets, rng=self._seed(), **options)
        self._keep(found)
        self.n_iter_ = max(1, len(found.history))
        self.converged_ = bool(found.converged)
        return self

    def partial_fit(self, X: Any, y: Any, *, lengths: Any = None) -> Self:
        """Go on from the present weights: one pass of Adam over the data (one epoch); a new network where there is none.

        The learning rate is constant, batches are small enough for about eight updates. Adam's running means, the scaling of
        the first call's data and the random numbers stay between calls: passes over the same data are one longer run of
        Adam. Where the network overflows, the last good weights are kept. The first call begins at the subspace start unless
        `start` says otherwise, and so the means begin anew after `fit`. ``converged_`` is False afterwards, ``n_iter_`` counts
        the passes.

        Parameters
        ----------
        X, y, lengths
            As in `fit`.

        Returns
        -------
        self
        """
        first = not hasattr(self, "rnn_")
        panel, targets = self._data(X, y, lengths, reset=first)
        passes = 0 if first else self.n_iter_
        start = ("subspace" if self.start == "auto" else self.start) if first else "given"
        few = sum(len(one) for one in panel.series) // (_UPDATES * as_count(self.window, "window", least=2))
        before = getattr(self, "_passes", None)
        if first or (before is not None and before.rnn is not self.rnn_):
            before = None
        what, options = (self._sizes() if first else self.rnn_), self._pass_options()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KelmanWarning)  # they are kept in message_
            found, self._passes = adam_pass(
                what, panel.z, targets.z, before, rng=self._seed(), start=start, batch=min(options["batch"], max(1, few)),
                **self._cell_options(), **{name: value for name, value in options.items() if name != "batch"},
            )  # fmt: skip
        self._keep(found)
        self.n_iter_ = passes + 1
        self.converged_ = False
        return self

    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """Run the network over series.

        Parameters
        ----------
        X, lengths
            As in `fit`.

        Returns
        -------
        ndarray or list of ndarray
            A row (or a number, if y had one axis per series) for each row of X, from the rows up to it, in the form of X.
        """
        check_is_fitted(self)
        panel = read(self, X, None, lengths, reset=False, gaps=False)
        return self._output(panel.back(forward(self.rnn_, panel.z, store="outputs", threads=self.threads).y))

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """Return the coefficient of determination R^2 of the predictions: 1 is perfect, 0 as good as the mean of y.

        All rows of all series count, also the first ones, which training leaves out as warm-up; NaN in y does not. Of several
        outputs the mean R^2.

        Parameters
        ----------
        X, y, lengths
            As in `fit`.
        sample_weight : array_like, shape (T,) or (N, T), or a list of (T,), optional
            A weight for each row of X.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        panel, targets = self._data(X, y, lengths, reset=False)
        found = forward(self.rnn_, panel.z, store="outputs", threads=self.threads).y
        rows = [found] if panel.kind == "one" else [one[: len(s)] for one, s in zip(found, panel.series, strict=True)]
        hat, want = np.concatenate(rows), np.concatenate(targets.series)
        known = np.isfinite(want)
        if not known.any(axis=0).all():
            raise KelmanError("y: every value of an output is missing, so there is nothing to score")
        weight = np.ones((len(want), 1))
        if sample_weight is not None:
            weight = np.concatenate(read_targets(sample_weight, panel, lengths, "sample_weight")[0].series)
            if weight.shape[1] != 1 or not (np.isfinite(weight) & (weight >= 0)).all():
                raise KelmanError("sample_weight: expected one finite weight >= 0 for each row of X")
        pairs = zip(want.T, hat.T, known.T, strict=True)
        return float(np.mean([r2_score(one[k], other[k], sample_weight=weight[k, 0]) for one, other, k in pairs]))

    def _data(self, X: Any, y: Any, lengths: Any, *, reset: bool) -> tuple[Panel, Panel]:
        panel = read(self, X, None, lengths, reset=reset, gaps=False)
        targets, flat = read_targets(y, panel, lengths)
        outputs = targets.series[0].shape[1]
        if reset:
            self.n_outputs_, self._flat = outputs, flat
        elif outputs != self.n_outputs_:
            raise KelmanError(f"y: expected {self.n_outputs_} targets in each row as in fit, got {outputs}")
        return panel, targets

    def _sizes(self) -> tuple[int, int, int]:
        return self.n_features_in_, as_count(self.n_hidden, "n_hidden"), self.n_outputs_

    def _seed(self) -> int | None:
        """Seed of `kelman.train`: a whole number is one itself."""
        state = self.random_state
        if state is None or isinstance(state, (int, np.integer)):
            return None if state is None else int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    def _cell_options(self) -> dict[str, Any]:
        """Arguments of `train` that make the network."""
        return {"cell": self.CELL, "output": self.output, "direct": self.direct}

    def _pass_options(self) -> dict[str, Any]:
        """Options that `fit` and `partial_fit` share."""
        return {
            "batch": as_count(self.batch, "batch"), "warmup": self.warmup, "learn_h0": self.learn_h0, "l2": self.l2,
            "learning_rate": self.learning_rate, "window": self.window, "inputs": self.inputs, "target": self.target,
            "threads": self.threads,
        }  # fmt: skip

    def _trained(self, what: Any, panel: Panel, targets: Panel, **options: Any) -> TrainResult:
        if self.max_iter is not None:
            as_count(self.max_iter, "max_iter")
        options = {**self._pass_options(), "tolerance": self.tol, "progress": False, **options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KelmanWarning)  # they are kept in message_
            return train(what, panel.z, targets.z, **self._cell_options(), **options)

    def _keep(self, found: TrainResult) -> None:
        """Set the attributes that follow from the training."""
        self.result_ = found
        self.rnn_, self.loss_ = found.rnn, float(found.loss)
        self.method_, self.message_ = found.method, found.message

    def _output(self, found: Any) -> Any:
        """Without the axis of columns where y had none."""
        if not self._flat:
            return found
        return [one[:, 0] for one in found] if isinstance(found, list) else found[..., 0]

    def __sklearn_tags__(self) -> Any:
        tags = tags_of_series(super().__sklearn_tags__(), gaps=False)
        tags.target_tags.multi_output = True
        return tags
