# SPDX-License-Identifier: BSD-3-Clause
"""`train`: fit an Elman network to sequences by the recipe that reaches the optimum.

float64 and standardised data, folded back into the weights exactly; a warm-up that forgets the start; several starts
raced against each other, the best one polished; a guard that keeps linear recursions stable; the best weights never
lost, failures counted.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _registry
from .._arrays import as_count, as_floats, one_of
from ..config import thread_count
from ..errors import KelmanError
from ..models import Bidirectional, Cell, Elman, Stack
from ..rnn._problem import counted, is_ragged, loss_problem
from ._train_adam import AdamOptions
from ._train_objective import Journal, Step
from ._train_run import Settings, Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._types import Array, ArrayLike, Backend
    from ..models._activation import Activation
    from ..rnn._problem import Problem
    from ._train_result import TrainResult

LM_WEIGHTS = 400
"""Up to this many weights "auto" means Levenberg-Marquardt."""

_log = logging.getLogger("kelman.train")


def train(
    rnn_or_sizes: Elman | int | tuple[int, int, int],
    x: ArrayLike | list[Array],
    y: ArrayLike | list[Array],
    *,
    hidden: Activation = "tanh",
    output: Activation = "identity",
    direct: bool = False,
    inputs: tuple[str, ...] | None = None,
    target: str | None = None,
    method: Literal["auto", "lm", "lbfgs", "adam"] = "auto",
    start: Literal["auto", "random", "subspace", "given"] = "auto",
    starts: int | None = None,
    rng: int | np.random.Generator | None = 0,
    mask: ArrayLike | list[Array] | None = None,
    lengths: ArrayLike | None = None,
    warmup: int | Literal["auto"] = "auto",
    learn_h0: bool = False,
    offsets: bool | Literal["auto"] = "auto",
    shrinkage: float | Literal["auto"] = "auto",
    whiten: bool = True,
    max_iterations: int | None = None,
    max_seconds: float = np.inf,
    tolerance: float | None = None,
    max_radius: float = 0.999,
    learning_rate: float | None = None,
    batch: int = 32,
    window: int = 128,
    validation: float = 0.2,
    patience: int | None = None,
    progress: bool | Callable[[Step], Any] = False,
    threads: int | None = None,
    backend: Backend | None = None,
) -> TrainResult:
    """Train an Elman network on sequences by least squares.

    For one-step prediction from data alone, give the measurements as inputs and the next ones as targets:
    ``kelman.train(2, z[:-1], z[1:], hidden="identity")``.

    Parameters
    ----------
    rnn_or_sizes : Elman, int, or (int, int, int)
        A network to go on from, or a number of hidden units, or (inputs, hidden units, outputs).
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs, all finite.
    y : array_like, shape (T,), (T, o) or (N, T, o), or list of arrays
        Targets, given like x. NaN is not counted.
    hidden, output : str
        Activations, when sizes are given. A linear network ("identity") is what a Kalman filter is.
    direct : bool
        Whether there is a direct term D, when sizes are given.
    inputs, target : optional
        What the input columns are and what is predicted (see `Elman`); the read-outs need it.
    method : {"auto", "lm", "lbfgs", "adam"}
        Levenberg-Marquardt (small networks: best), L-BFGS, or Adam with minibatches and early stopping. "auto" is "lm" up
        to 400 weights, else "lbfgs".
    start : {"auto", "random", "subspace", "given"}
        "random": U half an orthogonal matrix, small W and V. "subspace": the linear model of the data (a long regression
        on past inputs, realised with as many states as there are units), at small gain where the activation is curved.
        "given": the network's own weights. "auto": given for a network; for sizes random where the hidden activation is
        linear, subspace where it is curved.
    starts : int, optional
        Number of starts. All get a few iterations on part of the data, the best goes on. Default: 4 for random ones by
        Levenberg-Marquardt; 2 for the subspace start of a curved network (the second is free of the prior and shows
        whether the data are curved, judged by BIC); else 1.
    rng : int, Generator or None
        Seed or generator of the random numbers (0: the same result every time; None: fresh ones).
    mask, lengths
        As in `loss_and_grad`.
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
        data do not speak of stays linear.
    whiten : bool
        Whether several linear outputs are weighted by the inverse covariance of their residuals (maximum likelihood for
        Gaussian errors), brought up to date as training goes on. Otherwise each counts by its own variance.
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
        Adam: first learning rate (default 1e-2, or 3e-3 for curved activations), windows per batch, steps per window,
        held-out part, epochs without improvement before it stops (default half of all).
    progress : bool or callable
        A function that is called with each `Step` of the history (returning True stops); True logs to "kelman.train".
    threads : int, optional
        Threads over series; the result is the same to the bit for any number.
    backend : {"core", "torch"}, optional
        Who computes loss and gradient.

    Returns
    -------
    TrainResult
        `.rnn`, `.loss`, `.converged`, `.history`, `.failures`, `.summary()`, `.plot()`.

    Notes
    -----
    The loss minimised is the mean squared error of standardised targets, of several outputs after `whiten`. Ctrl-C returns the best network so far.

    Examples
    --------
    A noisy oscillation, predicted one step ahead by two linear units:

    >>> import kelman, numpy as np
    >>> z = np.sin(0.3 * np.arange(2000)) + 0.1 * np.random.default_rng(1).normal(size=2000)
    >>> net = kelman.train(2, z[:-1], z[1:], hidden="identity", inputs=("z",), target="z_next")
    >>> net.converged, bool(net.loss < 0.02)
    (True, True)
    """
    template = _template(rnn_or_sizes, x, y, hidden, output, direct, inputs, target)
    problem, _ = loss_problem(template, x, y, mask=mask, lengths=lengths, dtype=np.dtype(np.float64))
    settings = _settings(
        template, problem, method=method, start=start, starts=starts, warmup=warmup, learn_h0=learn_h0, offsets=offsets, shrinkage=shrinkage, whiten=whiten,
        max_iterations=max_iterations, tolerance=tolerance, max_radius=max_radius,
        given=isinstance(rnn_or_sizes, Elman),
        adam={"learning_rate": learning_rate, "batch": batch, "window": window, "validation": validation, "patience": patience},
    )  # fmt: skip
    if not max_seconds > 0:
        raise KelmanError(f"max_seconds: expected a positive number, got {max_seconds!r}")
    generator = _generator(rng)
    journal = Journal(_callback(progress), float(max_seconds))
    trainer = Trainer(
        template, problem, settings, journal, generator, _registry.backend("rnn", backend), thread_count(threads)
    )
    return trainer.run()


def _columns(value: Any, name: str) -> int:
    """Number of columns of data in any of the accepted forms."""
    item = value[0] if is_ragged(value) else value
    shape = as_floats(item, name, nan_is_missing=True).shape
    if len(shape) == 0 or shape[-1] == 0:
        raise KelmanError(f"{name}: expected shape (T,), (T, columns) or (N, T, columns), got {shape}")
    return 1 if len(shape) == 1 else shape[-1]


def _template(given: Any, x: Any, y: Any, hidden: Any, output: Any, direct: bool, inputs: Any, target: Any) -> Elman:
    """The network to train in float64: the given one, or zeros of the wanted sizes."""
    if isinstance(given, (Cell, Bidirectional, Stack)) and not isinstance(given, Elman):
        raise KelmanError(
            f"rnn_or_sizes: only Elman networks are trained here, got {given!r}; kelman.loss_and_grad gives the gradients that "
            "an optimiser needs, and the modules of kelman.torch are trained by PyTorch's"
        )
    if isinstance(given, Elman):
        for name in ("A", "B"):
            if getattr(given, name) is not None:
                raise KelmanError(
                    f"rnn_or_sizes: training does not take a linear skip path; this network has {name}. With a linear "
                    "activation add it to the weights: U + A, W + B"
                )
        if given.V is None:
            raise KelmanError("rnn_or_sizes: training needs a readout; give the network V and c")
        words = {"inputs": inputs or given.inputs, "target": target or given.target}
        return given.astype(np.float64).replace(**words)
    if isinstance(given, tuple):
        if len(given) != 3:
            raise KelmanError(f"rnn_or_sizes: expected (inputs, hidden units, outputs), got {given!r:.60}")
        i, n, o = (as_count(v, f"rnn_or_sizes[{k}]") for k, v in enumerate(given))
    else:
        n = as_count(given, "rnn_or_sizes (an Elman network, a number of hidden units, or three sizes)")
        i, o = _columns(x, "x"), _columns(y, "y")
    D = np.zeros((o, i)) if direct else None
    zeros = np.zeros
    return Elman(
        zeros((n, n)), zeros((n, i)), None, zeros((o, n)), None, hidden, output, D=D, inputs=inputs, target=target
    )


def _settings(
    template: Elman, problem: Problem, *, method: str, start: str, starts: Any, warmup: Any, learn_h0: bool, offsets: Any, shrinkage: Any, whiten: bool,
    max_iterations: Any, tolerance: Any, max_radius: Any, given: bool, adam: dict[str, Any],
) -> Settings:  # fmt: skip
    """Check the options and fill in the defaults."""
    method = one_of(method, "method", ("auto", "lm", "lbfgs", "adam"))
    weights = sum(getattr(template, name).size for name in ("U", "W", "b", "V", "c"))
    if method == "auto":
        method = "lm" if weights <= LM_WEIGHTS else "lbfgs"
    start = one_of(start, "start", ("auto", "random", "subspace", "given"))
    if start == "auto":
        start = "given" if given else "random" if template.hidden == "identity" else "subspace"
    if start == "given" and not given:
        raise KelmanError('start: "given" needs a network; sizes were given')
    if learn_h0 and template.dims.N is not None:
        raise KelmanError("learn_h0: the start must be shared by all series; this network has one per series")
    skipped = None if warmup == "auto" else as_count(warmup, "warmup", least=0)
    longest = problem.x.shape[1]
    if skipped is not None:
        if skipped >= longest:
            raise KelmanError(f"warmup: expected fewer than the {longest} steps, got {skipped}")
        if not counted(replace(problem, warmup=skipped)).any():
            raise KelmanError(f"warmup: nothing is left to count after {skipped} steps")
    if offsets not in (True, False, "auto"):
        raise KelmanError(f'offsets: expected True, False or "auto", got {offsets!r:.60}')
    if shrinkage != "auto" and not float(shrinkage) >= 0:
        raise KelmanError(f'shrinkage: expected a number >= 0 or "auto", got {shrinkage!r:.60}')
    if not 0 < float(max_radius) <= 1:
        raise KelmanError(f"max_radius: expected a number in (0, 1], got {max_radius!r}")
    curved_start = start == "subspace" and template.hidden != "identity"
    adaptive = curved_start and shrinkage == "auto" and method == "lm"
    if starts is None:
        starts = 4 if method == "lm" and start == "random" else 2 if adaptive else 1
    worth = float((counted(problem) > 0).sum())
    return Settings(
        method=method,
        start=start,
        starts=as_count(starts, "starts"),
        warmup=skipped,
        learn_h0=bool(learn_h0),
        offsets=None if offsets == "auto" else bool(offsets),
        shrinkage=float(curved_start) if shrinkage == "auto" else float(shrinkage),
        adaptive=adaptive,
        max_iterations=None if max_iterations is None else as_count(max_iterations, "max_iterations"),
        tolerance=_positive(tolerance, "tolerance") if tolerance is not None else min(1e-6, 1e-2 / worth),
        max_radius=float(max_radius),
        whiten=bool(whiten) and method != "adam",
        adam=_adam_options(template, **adam),
    )


def _adam_options(
    template: Elman, *, learning_rate: Any, batch: Any, window: Any, validation: Any, patience: Any
) -> AdamOptions:
    curved = template.hidden != "identity"
    if not 0 <= float(validation) < 1:
        raise KelmanError(f"validation: expected a part in [0, 1), got {validation!r}")
    return AdamOptions(
        learning_rate=(3e-3 if curved else 1e-2)
        if learning_rate is None
        else _positive(learning_rate, "learning_rate"),
        batch=as_count(batch, "batch"),
        window=as_count(window, "window", least=2),
        validation=float(validation),
        patience=None if patience is None else as_count(patience, "patience"),
    )


def _positive(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 < number < np.inf:
        raise KelmanError(f"{name}: expected a positive number, got {value!r:.60}")
    return number


def _generator(rng: Any) -> np.random.Generator:
    if isinstance(rng, np.random.Generator):
        return rng
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise KelmanError(f"rng: expected a whole number, a numpy.random.Generator or None, got {rng!r:.60}") from None


def _callback(progress: Any) -> Callable[[Step], Any] | None:
    """What is called with every step."""
    if callable(progress):
        return progress  # type: ignore[no-any-return]
    if not isinstance(progress, bool):
        raise KelmanError(f"progress: expected True, False or a function, got {progress!r:.60}")
    return _log_step if progress else None


def _log_step(step: Step) -> None:
    _log.info(
        "start %d %s %d: loss %.8g, radius %.4f, %.1f s", step.start, step.phase, step.iteration, step.loss, step.radius,
        step.seconds,
    )  # fmt: skip
