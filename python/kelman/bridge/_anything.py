# SPDX-License-Identifier: BSD-3-Clause
"""Whatever predicts, in a form that can be read: an Elman network, or a function with words for its columns."""

from __future__ import annotations

from typing import Any

from kelman.bridge._data import series_list
from kelman.bridge._layout import Layout, layout_of
from kelman.bridge._to_elman import to_elman
from kelman.errors import KelmanError
from kelman.models import Bidirectional, Cell, Stack, StateSpace

__all__: list[str] = []


def opened(given: Any, who: str = "rnn") -> Any:
    """The network, model or function inside of what was given: an estimator is asked for what it has fitted."""
    if isinstance(given, (Cell, Stack, Bidirectional, StateSpace)):
        return given
    for name in ("best_estimator_", "rnn_", "model_"):
        inside = getattr(given, name, None)
        if inside is not None and (name == "best_estimator_" or isinstance(inside, (Cell, Stack, StateSpace))):
            return opened(inside, who)
    steps = getattr(given, "steps", None)
    if steps and isinstance(opened(steps[-1][1], who), StateSpace):
        raise KelmanError(
            f"{who}: this pipeline predicts the values that its last step, a state-space estimator, has been given, not z; "
            "read that step, with the transformed data"
        )
    return given


def is_predictor(value: Any) -> bool:
    """Whether it is a function, or has a `predict` like one."""
    return callable(value) or callable(getattr(value, "predict", None))


def as_function(value: Any, inputs: Any, target: Any, sizes: tuple[int, int]) -> tuple[Any, Layout]:
    """The function from inputs to predictions that an estimator or a function is, and its layout.

    Without words the columns are those of z, then those of u; `sizes` are the numbers of both.
    """
    words = _words(sizes) if inputs is None else tuple(inputs)
    count = getattr(value, "n_features_in_", None)
    if count is not None and count != len(words):
        raise KelmanError(
            f"inputs: the predictor reads {count} columns, but z and u have {sizes[0]} and {sizes[1]}; say what its columns "
            'are, for example inputs=("z", "z_prev")'
            if inputs is None
            else f"inputs: expected {count} words, one per column of the predictor, got {words}"
        )
    goal = target or ("z_next" if "z" in words else "z")
    layout = layout_of(words, goal, len(words), max(words.count("z"), words.count("z_prev"), 1))
    return value if callable(value) else value.predict, layout


def sizes_of(x: Any, z: Any, u: Any, probe: Any) -> tuple[int, int]:
    """Numbers of measured values and of inputs in the data, or else in the probe."""
    if z is None and x is not None:
        return series_list("x", x)[0].shape[1], 0
    if z is None and isinstance(probe, StateSpace):
        return probe.dims.m, probe.dims.p
    if z is None and probe is not None:
        z, u = probe if isinstance(probe, tuple) and len(probe) == 2 else (probe, None)
    if z is None:
        return 1, 0
    return series_list("z", z)[0].shape[1], 0 if u is None else series_list("u", u)[0].shape[1]


def as_elman(value: Any) -> Any:
    """A state-space model as the network that is its steady predictor; anything else as it is."""
    return to_elman(value) if isinstance(value, StateSpace) else value


def _words(sizes: tuple[int, int]) -> tuple[str, ...]:
    return ("z",) * sizes[0] + ("u",) * sizes[1]
