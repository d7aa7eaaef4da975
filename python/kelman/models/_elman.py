# SPDX-License-Identifier: BSD-3-Clause
"""The Elman network as a value: ``h_k = s_h(U h_{k-1} + W x_k + b)``, ``y_k = s_y(V h_k + D x_k + c)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

import numpy as np

from .._arrays import FLOAT32, FLOAT64, as_floats, common_dtype, describe, frozen, one_of, require_finite
from ..errors import KelmanError
from ._activation import Activation

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from .._types import Array, ArrayLike, Dtype

__all__ = ["Elman", "ElmanDims"]

_INPUT_WORDS = ("z", "u", "z_prev", "u_prev")
_TARGET_WORDS = ("z", "z_next", "state")
_WEIGHTS = ("U", "W", "b", "V", "c", "h0", "D")


class ElmanDims(NamedTuple):
    """Sizes of a network: hidden units, inputs, outputs, and series with a start of their own (None when shared)."""

    hidden: int
    inputs: int
    outputs: int
    N: int | None


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class Elman:
    """Elman network with an optional direct term.

    ``h_k = s_h(U h_{k-1} + W x_k + b)`` and ``y_k = s_y(V h_k + D x_k + c)`` for k = 1..T, from ``h_0``.

    With h hidden units, i inputs and o outputs:

    Parameters
    ----------
    U : array_like, shape (h, h)
        Hidden-to-hidden weights.
    W : array_like, shape (h, i)
        Input-to-hidden weights.
    b : array_like, shape (h,), or None
        Hidden offset; None is zero.
    V : array_like, shape (o, h)
        Hidden-to-output weights.
    c : array_like, shape (o,), or None
        Output offset; None is zero.
    hidden, output : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}
        The activations s_h and s_y. ``leaky_relu`` has slope 0.01 below zero.
    h0 : array_like, shape (h,) or (N, h), optional
        State before the first step: one for all series, or one per series. None is zero.
    D : array_like, shape (o, i), optional
        Direct input-to-output weights. None is no direct term.
    inputs : sequence of {"z", "u", "z_prev", "u_prev"}, optional
        What each input column is: a measurement or a known input, of the same step or of the step before.
        The read-outs of trained weights need it.
    target : {"z", "z_next", "state"}, optional
        What the output predicts: the measurement of the same step, of the next step, or a state.

    Notes
    -----
    Values, not objects: arrays are read-only (copied if they were writeable), nothing changes after construction.
    ``float32`` and ``float64`` are kept, integers and booleans become ``float64``.

    Examples
    --------
    The steady Kalman filter of a local level with equal variances is one linear unit:

    >>> import kelman
    >>> g = (5**0.5 - 1) / 2
    >>> net = kelman.Elman([[1 - g]], [[g]], None, [[1.0]], None, hidden="identity", inputs=("z",), target="z_next")
    >>> net
    Elman(1 -> 1 identity -> 1 identity, inputs=('z',), target='z_next', float64)
    >>> net.dims.hidden
    1
    >>> net.replace(hidden="tanh").hidden
    'tanh'
    """

    U: Array
    W: Array
    b: Array
    V: Array
    c: Array
    hidden: Activation
    output: Activation
    h0: Array | None
    D: Array | None
    inputs: tuple[str, ...] | None
    target: str | None

    def __init__(
        self,
        U: ArrayLike,
        W: ArrayLike,
        b: ArrayLike | None,
        V: ArrayLike,
        c: ArrayLike | None,
        hidden: Activation = "tanh",
        output: Activation = "identity",
        h0: ArrayLike | None = None,
        *,
        D: ArrayLike | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        target: str | None = None,
    ) -> None:
        given = {"U": U, "W": W, "b": b, "V": V, "c": c, "h0": h0, "D": D}
        arrays = {name: as_floats(value, name) for name, value in given.items() if value is not None}
        for name in ("U", "W", "V"):
            if name not in arrays:
                raise KelmanError(f"{name}: a network needs this weight matrix, got None")
        dtype = common_dtype(*(array.dtype for array in arrays.values()))
        n_hidden, n_inputs, n_outputs = _sizes(arrays)
        arrays.setdefault("b", np.zeros(n_hidden, dtype))
        arrays.setdefault("c", np.zeros(n_outputs, dtype))
        _check_shapes(arrays, n_hidden, n_inputs, n_outputs)
        for name in _WEIGHTS:
            value = _weights(name, arrays[name], dtype) if name in arrays else None
            object.__setattr__(self, name, value)
        object.__setattr__(self, "hidden", one_of(hidden, "hidden", get_args(Activation)))
        object.__setattr__(self, "output", one_of(output, "output", get_args(Activation)))
        object.__setattr__(self, "inputs", _input_words(inputs, n_inputs))
        object.__setattr__(self, "target", _target_word(target))

    @property
    def dims(self) -> ElmanDims:
        """Sizes: hidden units, inputs, outputs, and N when ``h0`` is given per series."""
        per_series = self.h0 is not None and self.h0.ndim == 2
        n = cast("Array", self.h0).shape[0] if per_series else None
        return ElmanDims(self.U.shape[0], self.W.shape[1], self.V.shape[0], n)

    @property
    def dtype(self) -> Dtype:
        """The one dtype of all weights: float32 or float64."""
        return self.U.dtype

    @property
    def is_linear(self) -> bool:
        """True when both activations are the identity."""
        return self.hidden == "identity" and self.output == "identity"

    def astype(self, dtype: DTypeLike) -> Elman:
        """Same network in another precision.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            The precision.

        Returns
        -------
        Elman
            A changed copy; the network itself when nothing changes.
        """
        wanted = np.dtype(dtype)
        if wanted not in (FLOAT32, FLOAT64):
            raise KelmanError(f"dtype: expected float32 or float64, got {wanted}")
        if wanted == self.dtype:
            return self
        weights = {name: getattr(self, name) for name in _WEIGHTS}
        return self.replace(**{k: v.astype(wanted) for k, v in weights.items() if v is not None})

    def replace(self, **changes: Any) -> Elman:
        """Copy with some fields changed.

        Parameters
        ----------
        **changes
            New values of constructor arguments, by name.

        Returns
        -------
        Elman
            The changed copy, checked like a new network.
        """
        fields = self._fields()
        unknown = sorted(set(changes) - set(fields))
        if unknown:
            raise KelmanError(f"replace: no field {unknown[0]!r}; the fields are {', '.join(fields)}")
        return Elman(**{**fields, **changes})

    def _fields(self) -> dict[str, Any]:
        words = ("hidden", "output", "inputs", "target")
        return {name: getattr(self, name) for name in (*_WEIGHTS, *words)}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self._fields(),))

    def __repr__(self) -> str:
        n_hidden, n_inputs, n_outputs, n_series = self.dims
        parts = [f"{n_inputs} -> {n_hidden} {self.hidden} -> {n_outputs} {self.output}"]
        if self.D is not None:
            parts.append("direct term D")
        if self.h0 is not None:
            parts.append("h0" if n_series is None else f"h0 for {n_series} series")
        if self.inputs is not None:
            parts.append(f"inputs={self.inputs}")
        if self.target is not None:
            parts.append(f"target={self.target!r}")
        return f"Elman({', '.join([*parts, str(self.dtype)])})"


def _rebuild(fields: dict[str, Any]) -> Elman:
    return Elman(**fields)


def _sizes(arrays: dict[str, Array]) -> tuple[int, int, int]:
    """Hidden units, inputs and outputs, from U, W and V."""
    for name, shape in (("U", "(h, h)"), ("W", "(h, i)"), ("V", "(o, h)")):
        if arrays[name].ndim != 2:
            cure = (
                f"; use {name}[:, None] for one column or {name}[None, :] for one row" if arrays[name].ndim == 1 else ""
            )
            raise KelmanError(f"{name}: expected a matrix of shape {shape}, got shape {arrays[name].shape}{cure}")
        if 0 in arrays[name].shape:
            raise KelmanError(f"{name}: expected at least one row and one column, got shape {arrays[name].shape}")
    return arrays["U"].shape[0], arrays["W"].shape[1], arrays["V"].shape[0]


def _check_shapes(arrays: dict[str, Array], n_hidden: int, n_inputs: int, n_outputs: int) -> None:
    sizes = f"{n_hidden} hidden units (rows of U), {n_inputs} inputs (columns of W), {n_outputs} outputs (rows of V)"
    expected = {
        "U": (n_hidden, n_hidden),
        "W": (n_hidden, n_inputs),
        "b": (n_hidden,),
        "V": (n_outputs, n_hidden),
        "c": (n_outputs,),
        "D": (n_outputs, n_inputs),
    }
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            raise KelmanError(f"{name}: expected shape {shape} for {sizes}, got {arrays[name].shape}")
    if "h0" in arrays:
        shape = arrays["h0"].shape
        if shape != (n_hidden,) and not (len(shape) == 2 and shape[1] == n_hidden and shape[0] > 0):
            raise KelmanError(f"h0: expected shape ({n_hidden},) or (N, {n_hidden}) for {sizes}, got {shape}")


def _weights(name: str, array: Array, dtype: Dtype) -> Array:
    """Finite, C-ordered, read-only; copied when somebody could still write to it."""
    require_finite(array, name)
    return frozen(array.astype(dtype, copy=False), array.ndim)


def _input_words(words: Any, n_inputs: int) -> tuple[str, ...] | None:
    if words is None:
        return None
    if isinstance(words, str):
        raise KelmanError(f"inputs: expected one word per input column, such as ({words!r},), got the string {words!r}")
    if not isinstance(words, (tuple, list)):
        raise KelmanError(f"inputs: expected a tuple of words, one per input column, got {describe(words)}")
    result = tuple(words)
    for word in result:
        if not isinstance(word, str) or word not in _INPUT_WORDS:
            raise KelmanError(f"inputs: expected words out of {', '.join(map(repr, _INPUT_WORDS))}, got {word!r}")
    if len(result) != n_inputs:
        raise KelmanError(f"inputs: expected {n_inputs} words, one per column of W, got {len(result)}: {result}")
    return result


def _target_word(word: Any) -> str | None:
    if word is not None and word not in _TARGET_WORDS:
        raise KelmanError(f"target: expected None or one of {', '.join(map(repr, _TARGET_WORDS))}, got {word!r}")
    return cast("str | None", word)
