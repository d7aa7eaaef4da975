# SPDX-License-Identifier: BSD-3-Clause
"""Models as JSON files: every matrix by its letter, floats with all their digits, read back to the bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman.errors import KelmanError
from kelman.models import StateSpace

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "kelman.StateSpace/1"
FIELDS = ("A", "H", "Q", "R", "B", "D", "b", "c", "S", "m0", "P0", "m1", "P1", "P1_inf")
REQUIRED = ("A", "H", "Q", "R")


def model_to_json(model: StateSpace) -> dict[str, Any]:
    """Return a model as JSON values.

    Parameters
    ----------
    model : StateSpace
        The model.

    Returns
    -------
    dict
    """
    out: dict[str, Any] = {"format": FORMAT, "dtype": str(model.dtype), "input_lag": model.input_lag}
    explicit = any(getattr(model, name) is not None for name in ("m0", "P0", "m1", "P1", "P1_inf"))
    if not explicit:
        out["initial"] = model.initial
    for name in FIELDS:
        value = getattr(model, name)
        if value is not None:
            out[name] = np.asarray(value).tolist()
    return out


def model_from_json(values: Any, source: str = "model") -> StateSpace:
    """Make a model of JSON values.

    Parameters
    ----------
    values : dict
        What :func:`model_to_json` returned, or the same written by hand.
    source : str
        Name used in messages.

    Returns
    -------
    StateSpace
    """
    if not isinstance(values, dict):
        raise KelmanError(f"{source}: expected a JSON object with entries A, H, Q, R")
    known = {*FIELDS, "format", "dtype", "input_lag", "initial"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise KelmanError(f"{source}: unknown entries {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if values.get("format", FORMAT) != FORMAT:
        raise KelmanError(f"{source}: format {values['format']!r} is not {FORMAT!r}")
    absent = [name for name in REQUIRED if name not in values]
    if absent:
        raise KelmanError(f"{source}: no entry {', '.join(absent)}; a model needs A, H, Q and R")
    dtype = values.get("dtype", "float64")
    if dtype not in ("float32", "float64"):
        raise KelmanError(f"{source}: dtype {dtype!r} is neither float32 nor float64")
    arrays = {name: _array(values[name], name, dtype, source) for name in FIELDS if name in values}
    required = [arrays.pop(name) for name in REQUIRED]
    lag = values.get("input_lag", 0)
    if lag not in (0, 1):
        raise KelmanError(f"{source}: input_lag {lag!r} is neither 0 nor 1")
    options: dict[str, Any] = dict(arrays)
    if "initial" in values:
        options["initial"] = values["initial"]
    try:
        return StateSpace(*required, input_lag=lag, **options)
    except KelmanError as error:
        raise KelmanError(f"{source}: {error}") from error


def _array(value: Any, name: str, dtype: str, source: str) -> np.ndarray[Any, Any]:
    try:
        return np.array(value, dtype=dtype)
    except (TypeError, ValueError):
        raise KelmanError(f"{source}: entry {name} is not an array of numbers") from None


def read_model(path: Path) -> StateSpace:
    """Read a model file.

    Parameters
    ----------
    path : Path
        JSON file.

    Returns
    -------
    StateSpace
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KelmanError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KelmanError(f"{path}: cannot be read ({error})") from None
    except json.JSONDecodeError as error:
        raise KelmanError(f"{path}: not JSON (line {error.lineno}: {error.msg})") from None
    return model_from_json(values, str(path))


def write_model(path: Path, model: StateSpace) -> None:
    """Write a model file.

    Parameters
    ----------
    path : Path
        JSON file to write.
    model : StateSpace
        The model.
    """
    try:
        path.write_text(json.dumps(model_to_json(model), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise KelmanError(f"{path}: cannot be written ({error.strerror})") from None
