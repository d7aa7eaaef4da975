# SPDX-License-Identifier: BSD-3-Clause
"""Records of the studies as plain JSON values, and back to nothing else: one way, lossless for floats."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from kelman.models import StateSpace

MATRICES = ("A", "H", "Q", "R", "B", "D", "b", "c", "S")
"""What is kept of a model."""

SECONDS = "seconds"
"""The one field name under which a record may keep wall time; :func:`without_seconds` drops it."""


def to_json(value: Any) -> Any:
    """Turn a record (nested frozen dataclasses, arrays, numbers) into JSON values.

    Arrays become nested lists, complex numbers ``{"re": , "im": }``, infinities the words ``"inf"`` and
    ``"-inf"`` and NaN ``None``, so that the text is strict JSON that every reader accepts.

    Parameters
    ----------
    value : object
        A record, an array, a number, a string, or a container of these.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, booleans and None.
    """
    if isinstance(value, StateSpace):
        return {name: to_json(v) for name in MATRICES if (v := getattr(value, name)) is not None}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [to_json(v) for v in value]
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return _finite(float(value))
    if isinstance(value, (complex, np.complexfloating)):
        return {"re": _finite(float(value.real)), "im": _finite(float(value.imag))}
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"to_json: no JSON form for {type(value).__name__}")


def _finite(x: float) -> float | str | None:
    if math.isnan(x):
        return None
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return x


def without_seconds(value: Any) -> Any:
    """Return JSON values with every wall time removed: what two runs on one machine must share.

    Parameters
    ----------
    value : object
        The output of :func:`to_json`.

    Returns
    -------
    object
        The same, without the entries named ``seconds``.
    """
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != SECONDS}
    if isinstance(value, list):
        return [without_seconds(v) for v in value]
    return value
