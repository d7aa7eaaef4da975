# SPDX-License-Identifier: BSD-3-Clause
"""What the recurrent cells have in common as values: weights of fitting sizes, a readout, words for inputs and target.

A cell is a frozen dataclass that derives from `Cell` and names its arrays, in the order of the vector of parameters, with
their shapes in the letters h (hidden units), i (inputs), o (outputs) and g (rows of U: gates times h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast, get_args

import numpy as np

from .. import _registry
from .._arrays import FLOAT32, FLOAT64, as_floats, common_dtype, describe, frozen, one_of, require_finite
from ..errors import KelmanError
from ._activation import Activation

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from .._types import Array, Dtype

__all__ = ["Cell", "NetworkDims"]

INPUT_WORDS = ("z", "u", "z_prev", "u_prev")
TARGET_WORDS = ("z", "z_next", "state")
READOUT = ("V", "c", "D")


class NetworkDims(NamedTuple):
    """Sizes of a network: hidden units, inputs, outputs, and series with a start of their own (None when shared)."""

    hidden: int
    inputs: int
    outputs: int
    N: int | None


class Cell:
    """Base of the cells; not for use on its own."""

    __slots__ = ()

    WORD: ClassVar[str]
    """The cell's name in the table of backends: "elman", "gru", "lstm"."""
    GATES: ClassVar[int] = 1
    SHAPES: ClassVar[dict[str, tuple[str, ...]]]
    """Letters of the shape of every weight, in the order of the vector of parameters; the starts are not among them."""
    STARTS: ClassVar[tuple[str, ...]] = ("h0",)
    OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Words that belong to the cell itself."""

    if TYPE_CHECKING:

        @property
        def U(self) -> Array: ...
        @property
        def W(self) -> Array: ...
        @property
        def b(self) -> Array: ...
        @property
        def V(self) -> Any: ...
        @property
        def c(self) -> Any: ...
        @property
        def D(self) -> Array | None: ...
        @property
        def h0(self) -> Array | None: ...
        @property
        def output(self) -> Activation: ...
        @property
        def inputs(self) -> tuple[str, ...] | None: ...
        @property
        def target(self) -> str | None: ...

    def _settle(self, given: dict[str, Any], options: dict[str, Any], output: Any, inputs: Any, target: Any) -> None:
        """Check everything that a cell was given and keep it."""
        arrays = {name: as_floats(value, name) for name, value in given.items() if value is not None}
        for name in ("U", "W"):
            if name not in arrays:
                raise KelmanError(f"{name}: a network needs this weight matrix, got None")
        self.check_readout(arrays, output)
        dtype = common_dtype(*(array.dtype for array in arrays.values()))
        sizes = self.sizes_of(arrays)
        for name in self.zeros_of(arrays, options):
            arrays.setdefault(name, np.zeros([sizes[letter] for letter in self.SHAPES[name]], dtype))
        self.check_shapes(arrays, sizes)
        for name in (*self.SHAPES, *self.STARTS):
            object.__setattr__(self, name, kept(name, arrays[name], dtype) if name in arrays else None)
        for name, value in options.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "output", one_of(output, "output", get_args(Activation)))
        object.__setattr__(self, "inputs", input_words(inputs, sizes["i"]))
        object.__setattr__(self, "target", target_word(target))

    @staticmethod
    def zeros_of(arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, ...]:
        """Names of the weights that are zeros where they were not given."""
        del options
        return ("b", "c") if "V" in arrays else ("b",)

    @staticmethod
    def check_readout(arrays: dict[str, Any], output: Any) -> None:
        """Raise where something of a readout is given without its weights V."""
        if "V" in arrays:
            return
        for name in ("c", "D"):
            if name in arrays:
                raise KelmanError(f"{name}: without V the state is the output; give V, or leave {name} out")
        if output != "identity":
            raise KelmanError(f'output: without V the state is the output; expected "identity", got {output!r:.60}')

    @classmethod
    def sizes_of(cls, arrays: dict[str, Any]) -> dict[str, int]:
        """Numbers that the letters stand for, from arrays (or tensors) U, W and V."""
        for name in ("U", "W", "V"):
            if name not in arrays:
                continue
            array, letters = arrays[name], cls.SHAPES[name]
            if array.ndim != 2:
                told = ", ".join(letter.replace("g", f"{cls.GATES} h") for letter in letters)
                cure = f"; use {name}[:, None] for one column or {name}[None, :] for one row" if array.ndim == 1 else ""
                raise KelmanError(f"{name}: expected a matrix of shape ({told}), got shape {array.shape}{cure}")
            if 0 in array.shape:
                raise KelmanError(f"{name}: expected at least one row and one column, got shape {array.shape}")
        rows, columns = arrays["U"].shape
        hidden = rows if cls.GATES == 1 else columns
        outputs = len(arrays["V"]) if "V" in arrays else hidden
        return {"h": hidden, "g": cls.GATES * hidden, "i": arrays["W"].shape[1], "o": outputs, "3": 3}

    @classmethod
    def check_shapes(cls, arrays: dict[str, Any], sizes: dict[str, int]) -> None:
        """Raise where the shape of an array (or tensor) does not fit the sizes."""
        h = sizes["h"]
        side = "rows" if cls.GATES == 1 else "columns"
        told = f"{h} hidden units ({side} of U), {sizes['i']} inputs (columns of W)"
        if cls.GATES > 1:
            told += f", {cls.GATES} blocks of rows, one per gate"
        if "V" in arrays:
            told += f", {sizes['o']} outputs (rows of V)"
        for name, letters in cls.SHAPES.items():
            shape = tuple(sizes[letter] for letter in letters)
            if name in arrays and arrays[name].shape != shape:
                raise KelmanError(f"{name}: expected shape {shape} for {told}, got {arrays[name].shape}")
        series = set()
        for name in cls.STARTS:
            if name not in arrays:
                continue
            shape = arrays[name].shape
            if shape != (h,) and not (len(shape) == 2 and shape[1] == h and shape[0] > 0):
                raise KelmanError(f"{name}: expected shape ({h},) or (N, {h}) for {told}, got {shape}")
            series |= {shape[0]} if len(shape) == 2 else set()
        if len(series) > 1:
            raise KelmanError(f"{cls.STARTS[-1]}: expected starts for as many series as h0 has, got {sorted(series)}")

    @property
    def dims(self) -> NetworkDims:
        """Sizes: hidden units, inputs, outputs, and N when a start is given per series."""
        starts = [getattr(self, name) for name in self.STARTS]
        n = next((len(start) for start in starts if start is not None and start.ndim == 2), None)
        hidden = self.U.shape[0] // self.GATES
        return NetworkDims(hidden, self.W.shape[1], hidden if self.V is None else len(self.V), n)

    @property
    def dtype(self) -> Dtype:
        """The one dtype of all weights: float32 or float64."""
        return self.U.dtype

    @property
    def weights(self) -> dict[str, Array]:
        """The weights that there are, by name, in the order of `kelman.rnn.pack` (the starts are not among them)."""
        return {name: value for name in self.SHAPES if (value := getattr(self, name)) is not None}

    def astype(self, dtype: DTypeLike) -> Self:
        """Same network in another precision.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            The precision.

        Returns
        -------
        Elman, GRU or LSTM
            A changed copy; the network itself when nothing changes.
        """
        wanted = wanted_dtype(dtype)
        if wanted == self.dtype:
            return self
        arrays = {name: getattr(self, name) for name in (*self.SHAPES, *self.STARTS)}
        return self.replace(**{name: v.astype(wanted) for name, v in arrays.items() if v is not None})

    def replace(self, **changes: Any) -> Self:
        """Copy with some fields changed.

        Parameters
        ----------
        **changes
            New values of constructor arguments, by name.

        Returns
        -------
        Elman, GRU or LSTM
            The changed copy, checked like a new network.
        """
        copy: Self = replaced(self, self._fields(), changes)
        return copy

    def stepper(self, N: int | None = None) -> Any:
        """Return the network online, one call for each time step; see `kelman.rnn.NetworkStepper`.

        Parameters
        ----------
        N : int, optional
            Number of streams. None: one stream without a stream axis (or as many as there are starts).

        Returns
        -------
        NetworkStepper
            To be called with x of each step.
        """
        return _registry.stepper(self, N)

    def _fields(self) -> dict[str, Any]:
        words = (*self.OPTIONS, "output", "inputs", "target")
        return {name: getattr(self, name) for name in (*self.SHAPES, *self.STARTS, *words)}

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild, (type(self), self._fields()))

    def __repr__(self) -> str:
        _, n_inputs, n_outputs, n_series = self.dims
        sizes, parts = self._told()
        chain = f"{n_inputs} -> {sizes}"
        if self.V is not None:
            chain += f" -> {n_outputs} {self.output}"
        if self.D is not None:
            parts.append("direct term D")
        for name in self.STARTS:
            start = getattr(self, name)
            if start is not None:
                parts.append(name if start.ndim == 1 else f"{name} for {n_series} series")
        if self.inputs is not None:
            parts.append(f"inputs={self.inputs}")
        if self.target is not None:
            parts.append(f"target={self.target!r}")
        return f"{type(self).__name__}({', '.join([chain, *parts, str(self.dtype)])})"

    def _told(self) -> tuple[str, list[str]]:
        """The hidden layer in a few words, and what else is particular to the cell."""
        return str(self.dims.hidden), []


def rebuild(kind: Any, fields: dict[str, Any]) -> Any:
    """Make a network from its fields (pickle)."""
    return kind(**fields)


def replaced(value: Any, fields: dict[str, Any], changes: dict[str, Any]) -> Any:
    """A copy of a network value with some constructor arguments changed."""
    unknown = sorted(set(changes) - set(fields))
    if unknown:
        raise KelmanError(f"replace: no field {unknown[0]!r}; the fields are {', '.join(fields)}")
    return type(value)(**{**fields, **changes})


def wanted_dtype(dtype: DTypeLike) -> Dtype:
    """float32 or float64, or an error."""
    wanted = np.dtype(dtype)
    if wanted not in (FLOAT32, FLOAT64):
        raise KelmanError(f"dtype: expected float32 or float64, got {wanted}")
    return wanted


def kept(name: str, array: Array, dtype: Dtype) -> Array:
    """Finite, C-ordered, read-only; copied when somebody could still write to it."""
    require_finite(array, name)
    return frozen(array.astype(dtype, copy=False), array.ndim)


def input_words(words: Any, n_inputs: int) -> tuple[str, ...] | None:
    """Checked words for the input columns."""
    if words is None:
        return None
    if isinstance(words, str):
        raise KelmanError(f"inputs: expected one word per input column, such as ({words!r},), got the string {words!r}")
    if not isinstance(words, (tuple, list)):
        raise KelmanError(f"inputs: expected a tuple of words, one per input column, got {describe(words)}")
    result = tuple(words)
    for word in result:
        if not isinstance(word, str) or word not in INPUT_WORDS:
            raise KelmanError(f"inputs: expected words out of {', '.join(map(repr, INPUT_WORDS))}, got {word!r}")
    if len(result) != n_inputs:
        raise KelmanError(f"inputs: expected {n_inputs} words, one per column of W, got {len(result)}: {result}")
    return result


def target_word(word: Any) -> str | None:
    """Checked word for what the output predicts."""
    if word is not None and word not in TARGET_WORDS:
        raise KelmanError(f"target: expected None or one of {', '.join(map(repr, TARGET_WORDS))}, got {word!r}")
    return cast("str | None", word)
