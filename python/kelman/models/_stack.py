# SPDX-License-Identifier: BSD-3-Clause
"""Networks of several cells as values: layers on top of each other, and a pair that reads forward and backward in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from .. import _registry
from .._arrays import as_floats, common_dtype, describe, one_of
from ..errors import KelmanError
from ._activation import Activation
from ._cell import Cell, NetworkDims, input_words, kept, rebuild, replaced, target_word, wanted_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike

    from .._types import Array, ArrayLike, Dtype

__all__ = ["Bidirectional", "Stack"]


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class Bidirectional:
    """Two cells of one kind over the same inputs, one forward and one backward in time.

    The state at step k is ``[h_fwd, h_bwd]``: what the first cell has after reading 1..k, and the second after reading
    T..k. The output is ``y_k = s_y(V [h_fwd, h_bwd] + D x_k + c)``, or the state itself without V. Each series of a ragged
    batch is read backward from its own end.

    Parameters
    ----------
    forward, backward : Elman, GRU or LSTM
        Cells of the same kind with the same number of inputs, without readouts of their own (V=None).
    V : array_like, shape (o, h_fwd + h_bwd), optional
        State-to-output weights; None: the state is the output.
    c : array_like, shape (o,), optional
        Output offset; None is zero.
    output : {"identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus"}
        The activation s_y of the output.
    D : array_like, shape (o, i), optional
        Direct input-to-output weights. None is no direct term.
    inputs, target : optional
        What the input columns are and what the output predicts, as in `Elman`.

    Raises
    ------
    KelmanError
        If the cells or shapes do not fit together.

    Notes
    -----
    It sees the future of every step, so it smooths; it cannot predict or run online.

    Examples
    --------
    >>> import kelman
    >>> one = kelman.Elman([[0.5]], [[1.0]], None, None, None, hidden="identity")
    >>> both = kelman.Bidirectional(one, one)
    >>> both
    Bidirectional(Elman 1 -> 1 + 1, float64)
    >>> kelman.forward(both, [0.0, 1.0, 0.0]).y.tolist()
    [[0.0, 0.5], [1.0, 1.0], [0.5, 0.0]]
    """

    SHAPES: ClassVar[dict[str, tuple[str, ...]]] = {"V": ("o", "h"), "c": ("o",), "D": ("o", "i")}

    forward: Any
    backward: Any
    V: Any
    c: Any
    D: Array | None
    output: Activation
    inputs: tuple[str, ...] | None
    target: str | None

    def __init__(
        self,
        forward: Cell,
        backward: Cell,
        V: ArrayLike | None = None,
        c: ArrayLike | None = None,
        output: Activation = "identity",
        *,
        D: ArrayLike | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        target: str | None = None,
    ) -> None:
        for name, cell in (("forward", forward), ("backward", backward)):
            if not isinstance(cell, Cell):
                raise KelmanError(f"{name}: expected an Elman, GRU or LSTM network, got {describe(cell)}")
            if cell.V is not None:
                raise KelmanError(
                    f"{name}: expected a cell without a readout (V=None); give V to Bidirectional instead"
                )
        if type(forward) is not type(backward):
            raise KelmanError(
                f"backward: expected {type(forward).__name__} as forward is, got {type(backward).__name__}"
            )
        if forward.dims.inputs != backward.dims.inputs:
            raise KelmanError(f"backward: expected {forward.dims.inputs} inputs, got {backward.dims.inputs}")
        given = {"V": V, "c": c, "D": D}
        arrays = {name: as_floats(value, name) for name, value in given.items() if value is not None}
        Cell.check_readout(arrays, output)
        dtype = common_dtype(forward.dtype, backward.dtype, *(a.dtype for a in arrays.values()))
        hidden = forward.dims.hidden + backward.dims.hidden
        if "V" in arrays:
            if arrays["V"].ndim != 2 or arrays["V"].shape[1] != hidden or not len(arrays["V"]):
                raise KelmanError(f"V: expected shape (o, {hidden}), a column per unit, got {arrays['V'].shape}")
            o = len(arrays["V"])
            arrays.setdefault("c", np.zeros(o, dtype))
            for name, shape in (("c", (o,)), ("D", (o, forward.dims.inputs))):
                if name in arrays and arrays[name].shape != shape:
                    raise KelmanError(f"{name}: expected shape {shape} for {o} outputs, got {arrays[name].shape}")
        _one_number_of_series([forward, backward], "backward")
        object.__setattr__(self, "forward", forward.astype(dtype))
        object.__setattr__(self, "backward", backward.astype(dtype))
        for name in self.SHAPES:
            object.__setattr__(self, name, kept(name, arrays[name], dtype) if name in arrays else None)
        object.__setattr__(self, "output", one_of(output, "output", get_args(Activation)))
        object.__setattr__(self, "inputs", input_words(inputs, forward.dims.inputs))
        object.__setattr__(self, "target", target_word(target))

    @property
    def dims(self) -> NetworkDims:
        """Sizes: hidden units of both, inputs, outputs, and N when a start is given per series."""
        one, two = self.forward.dims, self.backward.dims
        hidden = one.hidden + two.hidden
        return NetworkDims(hidden, one.inputs, hidden if self.V is None else len(self.V), one.N or two.N)

    @property
    def dtype(self) -> Dtype:
        """The one dtype of all weights: float32 or float64."""
        dtype: Dtype = self.forward.dtype
        return dtype

    @property
    def weights(self) -> dict[str, Array]:
        """The weights of the readout, by name."""
        return {name: value for name in self.SHAPES if (value := getattr(self, name)) is not None}

    def astype(self, dtype: DTypeLike) -> Bidirectional:
        """Same network in another precision, "float32" or "float64"; itself when nothing changes."""
        wanted = wanted_dtype(dtype)
        if wanted == self.dtype:
            return self
        readout = {name: value.astype(wanted) for name, value in self.weights.items()}
        return self.replace(forward=self.forward.astype(wanted), backward=self.backward.astype(wanted), **readout)

    def replace(self, **changes: Any) -> Bidirectional:
        """Copy with some constructor arguments changed, checked like a new network."""
        copy: Bidirectional = replaced(self, self._fields(), changes)
        return copy

    def _fields(self) -> dict[str, Any]:
        names = ("forward", "backward", *self.SHAPES, "output", "inputs", "target")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild, (type(self), self._fields()))

    def __repr__(self) -> str:
        one, two, outputs = self.forward.dims, self.backward.dims, self.dims.outputs
        end = "" if self.V is None else f" -> {outputs} {self.output}"
        kind = type(self.forward).__name__
        return f"Bidirectional({kind} {one.inputs} -> {one.hidden} + {two.hidden}{end}, {self.dtype})"


Layer = Cell | Bidirectional


@dataclass(frozen=True, eq=False, repr=False, init=False, slots=True)
class Stack:
    """Layers on top of each other: the state of one is the input of the next, the output is that of the last.

    Parameters
    ----------
    layers : sequence of Elman, GRU, LSTM or Bidirectional
        From the input to the output; any mixture. Only the last may have a readout (V); in the others the state is the
        output (V=None).

    Raises
    ------
    KelmanError
        If a layer below the last has a readout, or sizes do not fit together.

    Notes
    -----
    `inputs` are the words of the first layer, `target` is the word of the last.

    Examples
    --------
    Two leaky integrators, one after the other:

    >>> import kelman
    >>> below = kelman.Elman([[0.5]], [[1.0]], None, None, None, hidden="identity")
    >>> above = kelman.Elman([[0.5]], [[1.0]], None, [[2.0]], None, hidden="identity")
    >>> net = kelman.Stack([below, above])
    >>> net
    Stack(Elman 1 -> 1, Elman 1 -> 1 -> 1, float64)
    >>> kelman.forward(net, [1.0, 0.0, 0.0]).y[:, 0].tolist()
    [2.0, 2.0, 1.5]
    """

    layers: tuple[Any, ...]

    def __init__(self, layers: Iterable[Layer]) -> None:
        if isinstance(layers, (Cell, Bidirectional)):
            raise KelmanError("layers: expected a sequence of networks, got one; give [network]")
        try:
            kept_layers = tuple(layers)
        except TypeError:
            raise KelmanError(f"layers: expected a sequence of networks, got {describe(layers)}") from None
        if not kept_layers:
            raise KelmanError("layers: expected at least one layer, got none")
        for k, layer in enumerate(kept_layers):
            if not isinstance(layer, (Cell, Bidirectional)):
                raise KelmanError(
                    f"layers[{k}]: expected an Elman, GRU, LSTM or Bidirectional network, got {describe(layer)}"
                )
            last = k == len(kept_layers) - 1
            if not last and layer.V is not None:
                raise KelmanError(f"layers[{k}]: only the last layer may have a readout; give it V=None")
            if k and layer.dims.inputs != kept_layers[k - 1].dims.hidden:
                raise KelmanError(
                    f"layers[{k}]: expected {kept_layers[k - 1].dims.hidden} inputs, the units of the layer below, "
                    f"got {layer.dims.inputs}"
                )
        _one_number_of_series(kept_layers, "layers")
        dtype = common_dtype(*(layer.dtype for layer in kept_layers))
        object.__setattr__(self, "layers", tuple(layer.astype(dtype) for layer in kept_layers))

    @property
    def dims(self) -> NetworkDims:
        """Sizes: hidden units of the last layer, inputs of the first, outputs, and N when a start is given per series."""
        last = self.layers[-1].dims
        n = next((layer.dims.N for layer in self.layers if layer.dims.N is not None), None)
        return NetworkDims(last.hidden, self.layers[0].dims.inputs, last.outputs, n)

    @property
    def dtype(self) -> Dtype:
        """The one dtype of all weights: float32 or float64."""
        dtype: Dtype = self.layers[0].dtype
        return dtype

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """What the input columns are: the words of the first layer."""
        words: tuple[str, ...] | None = self.layers[0].inputs
        return words

    @property
    def target(self) -> str | None:
        """What the output predicts: the word of the last layer."""
        word: str | None = self.layers[-1].target
        return word

    def astype(self, dtype: DTypeLike) -> Stack:
        """Same network in another precision, "float32" or "float64"; itself when nothing changes."""
        wanted = wanted_dtype(dtype)
        return self if wanted == self.dtype else Stack([layer.astype(wanted) for layer in self.layers])

    def stepper(self, N: int | None = None) -> Any:
        """Return the network online, one call for each time step of N streams; see `kelman.rnn.NetworkStepper`."""
        return _registry.stepper(self, N)

    def replace(self, **changes: Any) -> Stack:
        """Copy with other `layers`."""
        copy: Stack = replaced(self, {"layers": self.layers}, changes)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return (rebuild, (type(self), {"layers": self.layers}))

    def __repr__(self) -> str:
        return f"Stack({', '.join([*map(_told, self.layers), str(self.dtype)])})"


def _told(layer: Layer) -> str:
    sizes = layer.dims
    chain = f"{type(layer).__name__} {sizes.inputs} -> {sizes.hidden}"
    return chain if layer.V is None else f"{chain} -> {sizes.outputs}"


def _one_number_of_series(layers: Any, name: str) -> None:
    series = {layer.dims.N for layer in layers} - {None}
    if len(series) > 1:
        raise KelmanError(f"{name}: expected starts for one number of series, got {sorted(series)}")
