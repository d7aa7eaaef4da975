# SPDX-License-Identifier: BSD-3-Clause
"""`ElmanRNN`, `GRURegressor` and `LSTMRegressor`: recurrent networks as scikit-learn estimators."""

from __future__ import annotations

from typing import Any, ClassVar

from kelman.estimators._recurrent import RecurrentEstimator


class ElmanRNN(RecurrentEstimator):
    r"""An Elman network from series to series, trained by `kelman.train`.

    ::

        h_k = s(U h_{k-1} + W x_k + b)        y_k = s_y(V h_k + D x_k + c)

    With ``hidden="identity"`` it is the linear predictor that a Kalman filter is; `kelman.read_dynamics` reads the fitted
    estimator. `predict` runs the network, `score` is R^2.

    Parameters
    ----------
    n_hidden : int, default 8
        Number of hidden units.
    hidden : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}, default "tanh"
        Activation s of the hidden units.
    output : the same words, default "identity"
        Activation s_y of the output.
    skip : bool, default False
        Whether there is a linear path A h_{k-1} + B x_k beside the activation.
    direct : bool, default False
        Whether there is a direct term D.
    method : {"auto", "lm", "lbfgs", "adam"}, default "auto"
        As in `kelman.train`: Levenberg-Marquardt for small networks, L-BFGS for large ones, or Adam.
    start : {"auto", "random", "subspace", "grow"}, default "auto"
        As in `kelman.train`.
    starts : int, optional
        Number of starts; None as in `kelman.train`.
    warmup : int or "auto", default "auto"
        First steps of every series that training does not count.
    learn_h0 : bool, default False
        Whether the state before the first step is learnt.
    l2 : float, default 0.0
        Strength of a penalty on the squares of the weights.
    max_iter : int, optional
        Largest number of iterations; None as in `kelman.train`: 100 (lm), 500 (lbfgs), 3000 updates (adam).
    tol : float, optional
        Relative gain of the loss below which the training ends; None as in `kelman.train`.
    learning_rate : float, optional
        Largest learning rate of Adam (also of `partial_fit`); None is 1e-2 for linear and 3e-3 for curved activations.
    batch, window : int, default 32 and 128
        Adam (also `partial_fit`): windows per batch, steps per window.
    inputs, target : optional
        What the columns of X are and what y is, as in `kelman.Elman`, for `kelman.read_dynamics`.
    random_state : int, RandomState or None, default 0
        Source of randomness; None is another one for each fit.
    threads : int, optional
        Threads; the result is the same to the bit for any number.

    Attributes
    ----------
    rnn_ : Elman
        The network, for all verbs of the package.
    loss_ : float
        Mean squared error on the counted targets.
    n_iter_ : int
        Number of iterations of all starts, at least 1; after `partial_fit` one more for each pass.
    converged_ : bool
        Whether the training met its tolerance; False after `partial_fit`.
    method_, message_ : str
        What ran, and how it ended.
    result_ : TrainResult
        Everything about the training: history, starts, failures.
    n_features_in_, n_outputs_ : int
        Numbers of inputs i and of targets o.

    Notes
    -----
    X with two axes is one series whose rows are time; give ``lengths`` for several one below the other, or an array
    (N, T, i), or a list of (T, i); y likewise. Row k of the prediction comes from rows up to k of the same series. X must be
    finite; NaN in y is not counted. Where the training does not converge there is no warning: see ``converged_``.

    Rows depend on those before them, so splitters that shuffle rows make no sense: see `TimeSplit` and `SeriesSplit`.

    Examples
    --------
    One-step prediction by two linear units, and the poles behind it:

    >>> import kelman, numpy as np
    >>> from kelman.estimators import ElmanRNN
    >>> z = kelman.simulate(kelman.systems.rotation(), 5000, rng=0).z
    >>> net = ElmanRNN(2, hidden="identity").fit(z[:-1], z[1:])
    >>> net.predict(z[:-1]).shape, net.converged_
    ((4999, 1), True)
    >>> found = kelman.read_dynamics(net, z=z)
    >>> bool(np.abs(np.abs(found.poles) - np.abs(kelman.lti.poles(kelman.systems.rotation().A))).max() < 0.02)
    True
    """

    CELL: ClassVar[str] = "elman"

    def __init__(
        self,
        n_hidden: int = 8,
        *,
        hidden: str = "tanh",
        output: str = "identity",
        skip: bool = False,
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
        super().__init__(
            n_hidden, output=output, direct=direct, method=method, start=start, starts=starts, warmup=warmup,
            learn_h0=learn_h0, l2=l2, max_iter=max_iter, tol=tol, learning_rate=learning_rate, batch=batch,
            window=window, inputs=inputs, target=target, random_state=random_state, threads=threads,
        )  # fmt: skip
        self.hidden = hidden
        self.skip = skip

    def _cell_options(self) -> dict[str, Any]:
        return {**super()._cell_options(), "hidden": self.hidden, "skip": self.skip}


class GRURegressor(RecurrentEstimator):
    """A network of gated recurrent units from series to series, trained by `kelman.train`.

    All is as in `ElmanRNN`, but for `hidden` and `skip`, which a `kelman.GRU` does not have.

    Parameters
    ----------
    n_hidden : int, default 8
        Number of hidden units.
    output, direct, method, start, starts, warmup, learn_h0, l2, max_iter, tol, learning_rate, batch, window
        As in `ElmanRNN`.
    inputs, target, random_state, threads
        As in `ElmanRNN`.

    Attributes
    ----------
    rnn_ : GRU
        The network, for all verbs of the package.
    loss_, n_iter_, converged_, method_, message_, result_, n_features_in_, n_outputs_
        As in `ElmanRNN`.

    Examples
    --------
    Whether there has been a pulse, which it must remember:

    >>> import numpy as np
    >>> from kelman.estimators import GRURegressor
    >>> pulses = (np.random.default_rng(0).random((20, 50, 1)) < 0.1).astype(float)
    >>> since = np.minimum(np.cumsum(pulses, axis=1), 1.0)[:, :, 0]
    >>> net = GRURegressor(2, warmup=0).fit(pulses, since)
    >>> net.predict(pulses).shape, net.score(pulses, since) > 0.99
    ((20, 50), True)
    """

    CELL: ClassVar[str] = "gru"


class LSTMRegressor(RecurrentEstimator):
    """A network of LSTM cells from series to series, trained by `kelman.train`.

    All is as in `ElmanRNN`, but for `hidden` and `skip`, which a `kelman.LSTM` does not have.

    Parameters
    ----------
    n_hidden : int, default 8
        Number of cells.
    output, direct, method, start, starts, warmup, learn_h0, l2, max_iter, tol, learning_rate, batch, window
        As in `ElmanRNN`.
    inputs, target, random_state, threads
        As in `ElmanRNN`.

    Attributes
    ----------
    rnn_ : LSTM
        The network, for all verbs of the package.
    loss_, n_iter_, converged_, method_, message_, result_, n_features_in_, n_outputs_
        As in `ElmanRNN`.

    Examples
    --------
    A leaky sum of its inputs:

    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> from kelman.estimators import LSTMRegressor
    >>> x = np.random.default_rng(0).normal(size=(500, 1))
    >>> y = lfilter([1.0], [1.0, -0.8], x[:, 0])
    >>> net = LSTMRegressor(3).fit(x, y)
    >>> net.predict(x).shape, net.score(x, y) > 0.99
    ((500,), True)
    """

    CELL: ClassVar[str] = "lstm"
