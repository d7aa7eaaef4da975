# SPDX-License-Identifier: BSD-3-Clause
"""The options of `train`, checked and filled in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._arrays import as_count, as_floats, one_of
from ..config import backend_name
from ..errors import BackendError, KelmanError
from ..models import GRU, LSTM, Bidirectional, Cell, Elman, Stack
from ..rnn._compute import backend_for, cells_of
from ..rnn._parameters import pack
from ..rnn._problem import counted, is_ragged, within
from ._train_adam import AdamOptions
from ._train_composed import arrays_of, top_of
from ._train_data import is_linear
from ._train_objective import is_guarded
from ._train_penalty import DECAYED

if TYPE_CHECKING:
    from .._types import Array
    from ..rnn._problem import Problem

LM_WEIGHTS = 400
"""Up to this many weights "auto" means Levenberg-Marquardt."""

LM_COMPOSED = (200, 2**25)
"""The same for a network of several cells, and the most numbers of one series' derivatives of a layer by all weights."""

LARGEST = 1e140
"""Data above this are refused: squares of residuals, and of their sums, must be numbers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked options of one call."""

    method: str
    why: str
    start: str
    starts: int
    warmup: int | None
    learn_h0: bool
    offsets: bool | None
    shrinkage: float
    adaptive: bool
    whiten: bool
    max_iterations: int | None
    tolerance: float
    max_radius: float
    adam: AdamOptions
    l2: dict[str, float] = field(default_factory=dict)
    group_lasso: float = 0.0
    segment: int | None = None
    holds_spare: bool = False


def template_of(
    given: Any, x: Any, y: Any, *, cell: Any, hidden: Any, output: Any, direct: bool, skip: bool, inputs: Any, target: Any
) -> Any:  # fmt: skip
    """The network to train in float64: the given one, or zeros of the wanted sizes."""
    if isinstance(given, (Bidirectional, Stack)):
        return _with_words(given.astype(np.float64), inputs, target)
    if isinstance(given, Cell):
        words = {"inputs": inputs or given.inputs, "target": target or given.target}
        return given.astype(np.float64).replace(**words)
    if isinstance(given, tuple):
        if len(given) != 3:
            raise KelmanError(f"rnn_or_sizes: expected (inputs, hidden units, outputs), got {given!r:.60}")
        i, n, o = (as_count(v, f"rnn_or_sizes[{k}]") for k, v in enumerate(given))
    else:
        n = as_count(given, "rnn_or_sizes (a network, a number of hidden units, or three sizes)")
        i, o = _columns(x, "x"), _columns(y, "y")
    cell = one_of(cell, "cell", ("elman", "gru", "lstm"))
    zeros = np.zeros
    common: dict[str, Any] = {"D": zeros((o, i)) if direct else None, "inputs": inputs, "target": target}
    if cell == "elman":
        path: dict[str, Any] = {"A": zeros((n, n)), "B": zeros((n, i))} if skip else {}
        return Elman(zeros((n, n)), zeros((n, i)), None, zeros((o, n)), None, hidden, output, **common, **path)
    if hidden != "tanh":
        raise KelmanError(
            f"hidden: a {cell.upper()} has its own activations; leave the argument out, got {hidden!r:.60}"
        )
    if skip:
        raise KelmanError(f'skip: only cell="elman" has a linear skip path, got cell={cell!r}')
    kind, gates = (GRU, 3) if cell == "gru" else (LSTM, 4)
    return kind(zeros((gates * n, n)), zeros((gates * n, i)), None, zeros((o, n)), None, output, **common)


def _with_words(net: Any, inputs: Any, target: Any) -> Any:
    """A network of several cells, with the words of its columns where they are given."""
    if isinstance(net, Bidirectional):
        return net.replace(inputs=inputs or net.inputs, target=target or net.target)
    layers = list(net.layers)
    layers[0] = layers[0].replace(inputs=inputs or net.inputs)
    layers[-1] = layers[-1].replace(target=target or net.target)
    return Stack(layers)


def require_squares(problem: Problem) -> None:
    """Raise on data so large that sums of their squares overflow."""
    for name, array in (("x", problem.x), ("y", cast("Array", problem.y))):
        values = np.where(within(problem.lengths, array) & ~np.isnan(array), np.abs(array), 0)
        if values.max() > LARGEST:
            k, step, column = (int(v) for v in np.unravel_index(np.argmax(values), values.shape))
            raise KelmanError(
                f"{name}: expected values below {LARGEST:g} in size, whose squares can be added, got "
                f"{array[k, step, column]:g} in series {k}, step {step}, column {column}; take out what is wrong, or change the unit"
            )


def _columns(value: Any, name: str) -> int:
    """Number of columns of data in any of the accepted forms."""
    item = value[0] if is_ragged(value) else value
    shape = as_floats(item, name, nan_is_missing=True).shape
    if len(shape) == 0 or shape[-1] == 0:
        raise KelmanError(f"{name}: expected shape (T,), (T, columns) or (N, T, columns), got {shape}")
    return 1 if len(shape) == 1 else shape[-1]


def settle(
    template: Any, problem: Problem, *, method: str, start: str, starts: Any, warmup: Any, learn_h0: bool, offsets: Any, shrinkage: Any,
    whiten: bool, max_iterations: Any, tolerance: Any, max_radius: Any, given: bool, backend: str | None, l2: Any, group_lasso: Any,
    segment: Any, last: bool, adam: dict[str, Any],
) -> Settings:  # fmt: skip
    """Check the options and fill in the defaults."""
    require_squares(problem)
    composed, top = not isinstance(template, Cell), top_of(template)
    if composed:
        start = _of_several(
            template, start, group_lasso=group_lasso, segment=segment, shrinkage=shrinkage, carry=adam["carry"]
        )
    method, why = _method(template, problem, one_of(method, "method", ("auto", "lm", "lbfgs", "adam")), backend)
    start = one_of(start, "start", ("auto", "random", "subspace", "grow", "given"))
    if start == "auto":
        plain = top.V is None or (is_guarded(template) and (method != "lm" or segment is not None))
        start = "given" if given else "random" if plain else "subspace"
    if start == "given" and not given:
        raise KelmanError('start: "given" needs a network; sizes were given')
    if start == "grow" and template.dims.N is not None:
        raise KelmanError('start: "grow" needs a start h0 shared by all series; this network has one per series')
    if learn_h0 and template.dims.N is not None:
        raise KelmanError("learn_h0: the start must be shared by all series; this network has one per series")
    skipped = _warmup(problem, 0 if warmup == "auto" and last else warmup)
    if offsets not in (True, False, "auto"):
        raise KelmanError(f'offsets: expected True, False or "auto", got {offsets!r:.60}')
    if shrinkage != "auto" and not float(shrinkage) >= 0:
        raise KelmanError(f'shrinkage: expected a number >= 0 or "auto", got {shrinkage!r:.60}')
    if not 0 < float(max_radius) <= 1:
        raise KelmanError(f"max_radius: expected a number in (0, 1], got {max_radius!r}")
    squares, lasso = _squares(template, l2), _not_negative(group_lasso, "group_lasso")
    penalised = lasso > 0 or any(squares.values())
    if segment is not None:
        segment = as_count(segment, "segment", least=2)
        if method == "adam":
            raise KelmanError('segment: multiple shooting goes with method="lm" or "lbfgs", got "adam"')
        backend_for(template, backend, "vjp")
    curved_start = start == "subspace" and not is_guarded(template) and not penalised and segment is None
    adaptive = curved_start and shrinkage == "auto" and method == "lm"
    spare = start == "subspace" and method == "lm" and is_linear(template) and not penalised and segment is None
    if starts is None:
        several = method == "lm" and (start == "random" or (start == "subspace" and is_guarded(template)))
        starts = 4 if several else 2 if adaptive else 1
    worth = float((counted(problem) > 0).sum())
    options = _adam_options(template, **adam)
    if options.carry and learn_h0:
        raise KelmanError("carry: the state is carried over from piece to piece; learn_h0 does not go with it")
    return Settings(
        method=method,
        why=why,
        start=start,
        starts=as_count(starts, "starts"),
        warmup=skipped,
        learn_h0=bool(learn_h0),
        offsets=None if offsets == "auto" else bool(offsets),
        shrinkage=float(curved_start) if shrinkage == "auto" else float(shrinkage),
        adaptive=adaptive,
        holds_spare=spare and shrinkage == "auto" and as_count(starts, "starts") > 1,
        max_iterations=None if max_iterations is None else as_count(max_iterations, "max_iterations"),
        tolerance=_positive(tolerance, "tolerance") if tolerance is not None else min(1e-6, 1e-2 / worth),
        max_radius=float(max_radius),
        whiten=bool(whiten) and method != "adam" and top.V is not None,
        adam=replace(options, window=problem.x.shape[1]) if last else options,
        l2=squares,
        group_lasso=lasso,
        segment=segment,
    )


def _method(template: Any, problem: Problem, method: str, backend: str | None) -> tuple[str, str]:
    """The method, and why it was taken."""
    if method not in ("auto", "lm"):
        return method, "asked for"
    weights = pack(template).size
    if not isinstance(template, Cell):
        return ("lm", "asked for") if method == "lm" else _method_of_several(template, problem, backend)
    try:
        if not (isinstance(template, Elman) or backend != "torch"):
            raise BackendError("gauss_newton: PyTorch's side has it for Elman networks only")
        backend_for(template, backend, "gauss_newton")
        able = ""
    except BackendError as error:
        if method == "lm":
            raise
        able = str(error)
    if method == "lm":
        return "lm", "asked for"
    if able:
        return "lbfgs", "no normal equations for this network"
    if weights > LM_WEIGHTS:
        return "lbfgs", f"{weights} weights, more than {LM_WEIGHTS}"
    return "lm", f"{weights} weights, at most {LM_WEIGHTS}"


def _method_of_several(net: Any, problem: Problem, backend: str | None) -> tuple[str, str]:
    """The method that a network of several cells is trained by best, and why."""
    weights, (most, numbers) = pack(net).size, LM_COMPOSED
    what = f"{weights} weights in several cells"
    if backend_name(backend) != "core":
        return "lbfgs", f"{what}, whose derivatives are quick in the compiled core only"
    if weights > most:
        return "lbfgs", f"{what}, more than {most}"
    if problem.x.shape[1] * weights * max(cell.dims.hidden for cell in cells_of(net)) > numbers:
        return "lbfgs", f"{what}, on series whose derivatives would fill the memory"
    return "lm", f"{what}, at most {most}"


def _of_several(
    net: Any, start: Any, *, group_lasso: Any, segment: Any, shrinkage: Any, carry: bool
) -> str:  # fmt: skip
    """The start of a network of several cells; options that it has not got are refused."""
    refused = {
        "group_lasso": group_lasso != 0, "segment": segment is not None, "shrinkage": shrinkage not in ("auto", 0),
        "carry": bool(carry), "start": start in ("subspace", "grow"),
    }  # fmt: skip
    instead = {"start": '"random" or "given"'}
    for name, bad in refused.items():
        if bad:
            advice = f"give {instead[name]}" if name in instead else "leave it out"
            raise KelmanError(f"{name}: only a network of one cell is trained that way, got {net!r}; {advice}")
    if net.dims.N is not None:
        raise KelmanError("rnn_or_sizes: a network of several cells is trained with starts shared by all series; this one has "
                          f"starts for {net.dims.N} series")  # fmt: skip
    if start == "auto":
        return "given" if pack(net).any() else "random"
    return str(start)


def _warmup(problem: Problem, warmup: Any) -> int | None:
    if warmup == "auto":
        return None
    skipped, longest = as_count(warmup, "warmup", least=0), problem.x.shape[1]
    if skipped >= longest:
        raise KelmanError(f"warmup: expected fewer than the {longest} steps, got {skipped}")
    if not counted(replace(problem, warmup=skipped)).any():
        raise KelmanError(f"warmup: nothing is left to count after {skipped} steps")
    return skipped


def _squares(template: Any, l2: Any) -> dict[str, float]:
    """Strength of the squares of every array: one number means the arrays that are decayed by default."""
    names = list(arrays_of(template))
    if not isinstance(l2, dict):
        strength = _not_negative(l2, "l2")
        return {name: strength for name in names if name.rpartition(".")[2] in DECAYED and strength > 0}
    unknown = sorted(set(l2) - set(names))
    if unknown:
        raise KelmanError(f"l2: no weights {unknown[0]!r}; there are {', '.join(names)}")
    return {name: _not_negative(value, f"l2[{name!r}]") for name, value in l2.items()}


def _adam_options(
    template: Any, *, learning_rate: Any, batch: Any, window: Any, validation: Any, patience: Any, schedule: Any, clip: Any,
    carry: Any,
) -> AdamOptions:  # fmt: skip
    if not 0 <= float(validation) < 1:
        raise KelmanError(f"validation: expected a part in [0, 1), got {validation!r}")
    rate = 1e-2 if is_guarded(template) else 3e-3
    if not isinstance(clip, (int, float)) or not clip > 0:
        raise KelmanError(f"clip: expected a positive number (inf: never), got {clip!r:.60}")
    return AdamOptions(
        learning_rate=rate if learning_rate is None else _positive(learning_rate, "learning_rate"),
        batch=as_count(batch, "batch"),
        window=as_count(window, "window", least=2),
        validation=float(validation),
        patience=None if patience is None else as_count(patience, "patience"),
        schedule=one_of(schedule, "schedule", ("cosine", "onecycle", "constant")),
        clip=float(clip),
        carry=bool(carry),
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _positive(value: Any, name: str) -> float:
    number = _number(value)
    if not 0 < number < np.inf:
        raise KelmanError(f"{name}: expected a positive number, got {value!r:.60}")
    return number


def _not_negative(value: Any, name: str) -> float:
    number = _number(value)
    if not 0 <= number < np.inf:
        raise KelmanError(f"{name}: expected a number >= 0, got {value!r:.60}")
    return number


def seeds_of(rng: Any, count: int) -> Array:
    """One seed for every start."""
    if not isinstance(rng, np.random.Generator):
        try:
            rng = np.random.default_rng(rng)
        except (TypeError, ValueError):
            raise KelmanError(
                f"rng: expected a whole number, a numpy.random.Generator or None, got {rng!r:.60}"
            ) from None
    seeds: Array = rng.integers(2**63, size=count)
    return seeds
