# SPDX-License-Identifier: BSD-3-Clause
"""Weights between PyTorch's recurrent modules and kelman's networks: the same blocks of gates, the two biases added up.

b = bias_ih + bias_hh, but for the block n of a GRU, where b_n = bias_ih_n and d = bias_hh_n stay apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kelman.errors import KelmanError
from kelman.models import GRU, LSTM, Bidirectional, Cell, Elman, Stack
from kelman.rnn._problem import Network, as_network

__all__: list[str] = []


def options_of(mode: str) -> dict[str, str]:
    """Words of the cell for PyTorch's mode."""
    if mode == "GRU":
        return {"reset": "after"}
    return {} if mode == "LSTM" else {"hidden": "tanh" if mode == "RNN_TANH" else "relu"}


def tensors_of(module: Any, layer: int, direction: int) -> dict[str, Tensor]:
    """The weights of one layer and direction under kelman's names; differentiable."""
    end = f"_l{layer}{'_reverse' if direction else ''}"
    found = {"U": getattr(module, f"weight_hh{end}"), "W": getattr(module, f"weight_ih{end}")}
    if not module.bias:
        return found
    b, second = getattr(module, f"bias_ih{end}"), getattr(module, f"bias_hh{end}")
    if module.mode != "GRU":
        return found | {"b": b + second}
    n = module.hidden_size
    return found | {"b": torch.cat([b[: 2 * n] + second[: 2 * n], b[2 * n :]]), "d": second[2 * n :]}


def from_torch(module: Any, *, V: Any = None, c: Any = None) -> Any:
    """Network with the weights of a recurrent module of PyTorch.

    Parameters
    ----------
    module : torch.nn.RNN, GRU or LSTM, or one of kelman.torch.modules
        Any number of layers, one or both directions; without ``proj_size``.
    V : torch.nn.Linear or array_like, shape (o, h), optional
        A readout of the last layer's states: the linear layer that follows the module, or its weights.
    c : array_like, shape (o,), optional
        Offset of the readout.

    Returns
    -------
    Elman, GRU, LSTM, Bidirectional or Stack
        What the module computes on (N, T, i) with zero starts. A `kelman.torch.modules.Network` gives its value.

    Raises
    ------
    KelmanError
        If the module is of another kind.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch import from_torch
    >>> from_torch(torch.nn.GRU(2, 3, num_layers=2), V=torch.nn.Linear(3, 1))
    Stack(GRU 2 -> 3, GRU 3 -> 3 -> 1, float32)
    """
    if hasattr(module, "value") and isinstance(module, torch.nn.Module) and V is None:
        return module.value()
    if not isinstance(module, torch.nn.RNNBase) or module.proj_size:
        told = "one with proj_size" if isinstance(module, torch.nn.RNNBase) else f"a {type(module).__name__}"
        raise KelmanError(f"module: expected a torch.nn.RNN, GRU or LSTM without proj_size, got {told}")
    if isinstance(V, torch.nn.Linear):
        V, c = _array(V.weight), None if V.bias is None else _array(V.bias)
    kinds: dict[str, Any] = {"GRU": GRU, "LSTM": LSTM}
    kind = kinds.get(module.mode, Elman)
    layers: list[Any] = []
    for layer in range(module.num_layers):
        end = {"V": V, "c": c} if layer == module.num_layers - 1 else {"V": None, "c": None}
        inner = {"V": None, "c": None} if module.bidirectional else end
        cells = []
        for direction in range(2 if module.bidirectional else 1):
            weights: dict[str, Any] = {name: _array(t) for name, t in tensors_of(module, layer, direction).items()}
            cells.append(kind(**({"b": None} | weights | inner), **options_of(module.mode)))
        layers.append(Bidirectional(*cells, **end) if module.bidirectional else cells[0])
    return layers[0] if len(layers) == 1 else Stack(layers)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()


def to_torch(net: Network, *, batch_first: bool = True, kernels: bool = False) -> Any:
    """PyTorch module with the weights of a network.

    Parameters
    ----------
    net : Elman, GRU, LSTM, Bidirectional or Stack
        Layers of one kind and size that PyTorch has too: no readout, no skip path, no peepholes, ``reset="after"``, tanh or
        relu, no starts. For all others see `kelman.torch.modules.Network`.
    batch_first : bool, default True
        Whether the module takes (N, T, i).
    kernels : bool, default False
        Whether the module is one of kelman.torch.modules, computed by the compiled kernels, instead of torch.nn's own.

    Returns
    -------
    torch.nn.RNN, GRU or LSTM
        In the network's precision.

    Raises
    ------
    KelmanError
        If PyTorch has no such module, with the reason.

    Examples
    --------
    >>> import numpy as np, kelman
    >>> from kelman.torch import to_torch
    >>> to_torch(kelman.GRU(np.zeros((9, 3)), np.zeros((9, 2))))
    GRU(2, 3, batch_first=True)
    """
    value = as_network(net)
    layers: Any = value.layers if isinstance(value, Stack) else (value,)
    pairs = [(one.forward, one.backward) if isinstance(one, Bidirectional) else (one,) for one in layers]
    _require_known(layers, pairs)
    first = pairs[0][0]
    if kernels:
        from kelman.torch import modules as source
    else:
        source = torch.nn
    arguments: dict[str, Any] = {
        "num_layers": len(pairs),
        "bidirectional": len(pairs[0]) == 2,
        "batch_first": batch_first,
        "dtype": torch.float32 if value.dtype == np.float32 else torch.float64,
    }
    if isinstance(first, Elman):
        arguments["nonlinearity"] = first.hidden
    kind = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}[first.WORD]
    module = getattr(source, kind)(first.dims.inputs, first.dims.hidden, **arguments)
    with torch.no_grad():
        for layer, cells in enumerate(pairs):
            for direction, cell in enumerate(cells):
                _fill(module, f"_l{layer}{'_reverse' if direction else ''}", cell)
    return module


def _fill(module: Any, end: str, cell: Cell) -> None:
    second = np.zeros(len(cell.b), cell.dtype)
    if isinstance(cell, GRU):
        second[-cell.dims.hidden :] = cell.d
    for name, array in (("weight_hh", cell.U), ("weight_ih", cell.W), ("bias_ih", cell.b), ("bias_hh", second)):
        getattr(module, f"{name}{end}").copy_(torch.tensor(np.array(array)))


def _require_known(layers: Any, pairs: list[tuple[Any, ...]]) -> None:
    """Raise with the reason where PyTorch's modules cannot hold the network."""
    first = pairs[0][0]
    for layer, cells in zip(layers, pairs, strict=True):
        for cell in cells:
            why = None
            if layer.V is not None:
                why = "a readout; give it V=None and put a torch.nn.Linear(h, o) after the module"
            elif any(getattr(cell, name, None) is not None for name in ("A", "B", "P")):
                why = "a skip path or peepholes"
            elif getattr(cell, "reset", "after") != "after":
                why = 'reset="before"'
            elif isinstance(cell, Elman) and cell.hidden not in ("tanh", "relu"):
                why = f"hidden={cell.hidden!r}"
            elif any(getattr(cell, name) is not None for name in cell.STARTS):
                why = "starts of its own; give them to the module when it is called"
            elif type(cell) is not type(first) or cell.dims.hidden != first.dims.hidden or len(cells) != len(pairs[0]):
                why = "layers of different kinds or sizes"
            elif isinstance(cell, Elman) and cell.hidden != first.hidden:
                why = "layers of different activations"
            if why:
                raise KelmanError(
                    f"net: torch.nn has no such module, for the network has {why}; kelman.torch.modules.Network takes any"
                )
