# SPDX-License-Identifier: BSD-3-Clause
"""`train`: fit a recurrent network to sequences by the recipe that reaches the optimum.

float64 and standardised data, folded back into the weights exactly; a warm-up that forgets the start; several starts
raced against each other, the best one polished; a guard that keeps linear recursions stable; the best weights never
lost, failures counted.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..config import thread_count
from ..errors import KelmanError
from ..models import Cell
from ..rnn._compute import backend_for
from ..rnn._parameters import pack
from ..rnn._problem import loss_problem
from ._train_checkpoint import Checkpoint, fingerprint
from ._train_composed import ComposedTrainer
from ._train_journal import Clock
from ._train_progress import Shown
from ._train_run import Trainer
from ._train_settings import seeds_of, settle, template_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from .._types import Array, ArrayLike, Backend
    from ..models import GRU, LSTM, Bidirectional, Elman, Stack
    from ..models._activation import Activation
    from ._train_journal import Step
    from ._train_result import TrainResult


def train(
    rnn_or_sizes: Elman | GRU | LSTM | Bidirectional | Stack | int | tuple[int, int, int],
    x: ArrayLike | list[Array],
    y: ArrayLike | list[Array],
    *,
    cell: Literal["elman", "gru", "lstm"] = "elman",
    hidden: Activation = "tanh",
    output: Activation = "identity",
    direct: bool = False,
    skip: bool = False,
    inputs: tuple[str, ...] | None = None,
    target: str | None = None,
    method: Literal["auto", "lm", "lbfgs", "adam"] = "auto",
    start: Literal["auto", "random", "subspace", "grow", "given"] = "auto",
    starts: int | None = None,
    rng: int | np.random.Generator | None = 0,
    mask: ArrayLike | list[Array] | None = None,
    lengths: ArrayLike | None = None,
    steps: Literal["all", "last"] = "all",
    warmup: int | Literal["auto"] = "auto",
    learn_h0: bool = False,
    offsets: bool | Literal["auto"] = "auto",
    shrinkage: float | Literal["auto"] = "auto",
    whiten: bool = True,
    l2: float | dict[str, float] = 0.0,
    group_lasso: float = 0.0,
    segment: int | None = None,
    max_iterations: int | None = None,
    max_seconds: float = np.inf,
    tolerance: float | None = None,
    max_radius: float = 0.999,
    learning_rate: float | None = None,
    batch: int = 32,
    window: int = 128,
    validation: float = 0.2,
    patience: int | None = None,
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine",
    clip: float = 1.0,
    carry: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Step], Any] | None = None,
    threads: int | None = None,
    backend: Backend | None = None,
) -> TrainResult:
    """Train a recurrent network on sequences by least squares.

    For one-step prediction from data alone, give the measurements as inputs and the next ones as targets:
    ``kelman.train(2, z[:-1], z[1:], hidden="identity")``.

    Parameters
    ----------
    rnn_or_sizes : Elman, GRU, LSTM, Bidirectional, Stack, int, or (int, int, int)
        A network to go on from (one of several cells whose weights are all zero starts at random), or a number of hidden units, or (inputs, hidden units, outputs).
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs, all finite.
    y : array_like, shape (T,), (T, o) or (N, T, o), or list of arrays
        Targets, given like x. NaN is not counted.
    cell : {"elman", "gru", "lstm"}
        Kind of network, when sizes are given.
    hidden, output : str
        Activations (`hidden` of Elman networks only), when sizes are given. A linear network ("identity") is what a Kalman
        filter is.
    direct, skip : bool
        Whether there is a direct term D, and (Elman) a linear skip path A, B, when sizes are given.
    inputs, target : optional
        What the input columns are and what is predicted (see `Elman`); the read-outs need it.
    method : {"auto", "lm", "lbfgs", "adam"}
        Levenberg-Marquardt (small networks: best), L-BFGS, or Adam with minibatches and early stopping. "auto" is "lm" up
        to 400 weights (200 in a network of several cells, whose derivatives along a series must also fit the memory) where
        the backend has normal equations for the network, else "lbfgs"; the result says why.
    start : {"auto", "random", "subspace", "grow", "given"}
        "random": U half an orthogonal matrix, small W and V. "subspace": the linear model of the data (a long regression
        on past inputs, realised with as many states as stand above its noise), at small gain where the network is curved.
        "grow": unit by unit from one, each size trained for a while, since plateaus of training are missing units. "given": the
        network's own weights. "auto": given for a network; for sizes subspace, but random for a linear network by
        L-BFGS, Adam or with `segment`, and where there is no readout.
    starts : int, optional
        Number of starts. All get a few iterations on part of the data, the best goes on. Default: 4 by
        Levenberg-Marquardt for random ones, and for a linear network (from the linear model with as many units as states, one
        more, and all, judged by BIC, the rest random); 2 for the subspace start of a curved network (the second is free of the prior and shows
        whether the data are curved, judged by BIC); else 1.
    rng : int, Generator or None
        Seed or generator of the random numbers (0: the same result every time; None: fresh ones).
    mask, lengths, steps
        As in `loss_and_grad`: weights of the loss, lengths of padded series, the loss of all steps or of the last of each
        series (then there is no warm-up unless it is given).
    warmup : int or "auto"
        First steps of every series that are not counted. "auto": until the start moves the outputs by less than 1e-3 of
        the root mean squared error, at most a tenth of the length of a typical series.
    learn_h0 : bool
        Whether the start h0, shared by all series, is learnt too.
    offsets : bool or "auto"
        Whether b and c are learnt. "auto": always where an activation is curved; in a linear network only where the data
        show a constant (more than two standard errors from zero in a linear regression), since each one learnt in vain
        costs accuracy.
    shrinkage : float or "auto"
        Strength of a Gaussian prior that holds every weight to its start: 1 gives it the root mean square of its array as
        standard deviation, 0 is plain least squares. "auto": only for a curved network from a subspace start, where
        Levenberg-Marquardt lets the data choose the strength (MacKay's evidence; L-BFGS and Adam use 1), so that what the
        data do not speak of stays linear. In a linear network from a subspace start "auto" means that units run unread until
        the data show them to be worth their weights (BIC): spare ones cost no accuracy then. 0 uses all units.
    whiten : bool
        Whether several linear outputs are weighted by the inverse covariance of their residuals (maximum likelihood for
        Gaussian errors), brought up to date as training goes on. Otherwise each counts by its own variance.
    l2 : float or dict of float
        Strength of a penalty, in units of the loss of standardised targets, on the squares of U, W, P, A, B and D (not V: small
        gains in the units need a large V); with a dict, of the arrays by name.
    group_lasso : float
        Strength of a penalty on the norms of all weights of a unit, which takes whole units out. The network of the units left is
        trained on without it; `TrainResult.order` is their number.
    segment : int, optional
        Steps per segment of multiple shooting, which then comes before the method: the state at the start of every segment is free,
        gaps between segments cost more and more. Levenberg-Marquardt takes the weights and all these states in one step,
        the states eliminated; L-BFGS has them in its vector. For free runs, modes near the stability limit, and chaotic
        data; one or two times the steps in which errors grow or shrink by e.
    max_iterations : int, optional
        Of the optimiser (Adam: epochs). Default 100 (lm), 500 (lbfgs), as many as make 3000 updates (adam).
    max_seconds : float
        Time after which the best network so far is returned.
    tolerance : float, optional
        Relative gain of the loss below which it has converged. Default: a hundredth of what one weight is worth
        (1e-2 over the count of targets), at most 1e-6.
    max_radius : float
        Steps that bring the spectral radius of U above this are refused, where the hidden activation is linear.
    learning_rate, batch, window, validation, patience
        Adam: largest learning rate (default 1e-2, or 3e-3 for curved activations), windows per batch, steps per window,
        held-out part (with 0 the loss of all data is looked at every few epochs only), epochs without improvement before it
        stops (default half of all).
    schedule : {"cosine", "onecycle", "constant"}
        Adam: course of the learning rate over all updates: falling, rising over the first 30 % and falling, or the same.
    clip : float
        Adam: norm at which gradients are cut; inf never cuts.
    carry : bool
        Adam: whether the state is carried from window to window (truncated back-propagation through time) where otherwise
        every window begins with a warm-up.
    checkpoint : path, optional
        A file (npz) that holds the state of the training, written every ten seconds and at the end. If it is there already, the
        training goes on from it, and ends with the same bits as if it had not been interrupted.
    progress : bool, callable or None
        True shows a bar with the loss, None where somebody watches (an interactive terminal), False never. A function is called
        with each `Step` of the history (returning True stops); starts are then raced one by one.
    threads : int, optional
        Threads, over starts in their race and over series; the result is the same to the bit for any number.
    backend : {"core", "torch"}, optional
        Who computes loss and gradient.

    Returns
    -------
    TrainResult
        `.rnn`, `.loss`, `.converged`, `.history`, `.trials`, `.failures`, `.summary()`, `.plot()`.

    Raises
    ------
    KelmanError
        If data or options cannot be used, or the checkpoint belongs to another training.

    Notes
    -----
    The loss minimised is the mean squared error of standardised targets, of several outputs after `whiten`. Ctrl-C returns
    the best network so far. Steps are logged to "kelman.train" at level DEBUG.

    Examples
    --------
    A noisy oscillation, predicted one step ahead by two linear units:

    >>> import kelman, numpy as np
    >>> z = np.sin(0.3 * np.arange(2000)) + 0.1 * np.random.default_rng(1).normal(size=2000)
    >>> net = kelman.train(2, z[:-1], z[1:], hidden="identity", inputs=("z",), target="z_next")
    >>> net.converged, bool(net.loss < 0.02)
    (True, True)
    """
    template = template_of(
        rnn_or_sizes,
        x,
        y,
        cell=cell,
        hidden=hidden,
        output=output,
        direct=direct,
        skip=skip,
        inputs=inputs,
        target=target,
    )
    problem, _ = loss_problem(template, x, y, mask=mask, lengths=lengths, steps=steps, dtype=np.dtype(np.float64))
    settings = settle(
        template, problem, method=method, start=start, starts=starts, warmup=warmup, learn_h0=learn_h0, offsets=offsets,
        shrinkage=shrinkage, whiten=whiten, max_iterations=max_iterations, tolerance=tolerance, max_radius=max_radius,
        given=hasattr(rnn_or_sizes, "dims"), backend=backend, l2=l2, group_lasso=group_lasso, segment=segment, last=steps == "last",
        adam={"learning_rate": learning_rate, "batch": batch, "window": window, "validation": validation, "patience": patience,
              "schedule": schedule, "clip": clip, "carry": carry},
    )  # fmt: skip
    if not max_seconds > 0:
        raise KelmanError(f"max_seconds: expected a positive number, got {max_seconds!r}")
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise KelmanError(f"progress: expected True, False, None or a function, got {progress!r:.60}")
    seeds = seeds_of(rng, settings.starts)
    store = None
    if checkpoint is not None:
        data = (problem.x, problem.y, problem.mask, problem.lengths, problem.h0, problem.c0)
        mark = fingerprint(*data, pack(template), template, settings)
        store = Checkpoint(checkpoint, mark, seeds, fresh=rng is None)
        seeds = store.seeds
    one = isinstance(template, Cell)
    module, count = backend_for(template, backend, "forward", "loss_and_grad" if one else "vjp"), thread_count(threads)
    told = callable(progress)
    shown = None if told else Shown(progress if isinstance(progress, bool) else None, settings.max_iterations or 100)
    with shown or nullcontext():
        clock = Clock(progress if told else shown, float(max_seconds))  # type: ignore[arg-type]
        parallel = not told and module.__name__.endswith("_native")
        kind = Trainer if one else ComposedTrainer
        return kind(template, problem, settings, clock, seeds, module, count, parallel, store).run()
