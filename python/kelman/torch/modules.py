# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent modules: drop-in replacements of ``torch.nn.RNN``, ``GRU`` and ``LSTM``, and any kelman network as a module.

The replacements derive from PyTorch's own classes, so that constructor, parameters and ``state_dict`` are the same; only the
computation is another: on a CPU, in float32 and float64, by kelman's compiled kernels, elsewhere as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from kelman import models
from kelman.models import Bidirectional, Cell, Stack
from kelman.rnn._problem import Network as NetworkValue, as_network
from kelman.torch._recurrence import Run, array_of, kernels_take, recurrence
from kelman.torch._weights import from_torch as from_torch, options_of, tensors_of, to_torch as to_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GRU", "LSTM", "RNN", "Network", "from_torch", "to_torch"]

_KINDS: dict[str, type[Cell]] = {
    "RNN_TANH": models.Elman,
    "RNN_RELU": models.Elman,
    "GRU": models.GRU,
    "LSTM": models.LSTM,
}


class _Kernels:
    """Forward pass of PyTorch's recurrent modules by kelman's kernels."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the forward of the class of `torch.nn` of the same name."""
        module: Any = self
        data = input.data if isinstance(input, PackedSequence) else input
        if not _takes(module, data, hx) or not (isinstance(input, PackedSequence) or _start_fits(module, data, hx)):
            return super().forward(input, hx)  # type: ignore[misc]
        lengths, batch_first = None, module.batch_first
        if isinstance(input, PackedSequence):
            x, ends = pad_packed_sequence(input, batch_first=True)
            lengths, batch_first, single = ends.numpy(), True, False
        else:
            single = input.ndim == 2
            x = input[None] if single else input if batch_first else input.transpose(0, 1)
        starts = _starts(module, x, hx, single)
        h, last = _layers(module, x, starts, lengths)
        ends_of = [torch.stack(part) for part in zip(*last, strict=True)]
        if isinstance(input, PackedSequence):
            order = input.sorted_indices
            rows, counts = (h, ends) if order is None else (h[order], ends[order.cpu()])
            packed = pack_padded_sequence(rows, counts, batch_first=True)
            out: Any = PackedSequence(packed.data, packed.batch_sizes, order, input.unsorted_indices)
        elif single:
            out, ends_of = h[0], [part[:, 0] for part in ends_of]
        else:
            out = h if batch_first else h.transpose(0, 1)
        return out, tuple(ends_of) if module.mode == "LSTM" else ends_of[0]


class RNN(_Kernels, torch.nn.RNN):
    """``torch.nn.RNN`` over kelman's kernels: the same arguments, parameters, ``state_dict`` and results.

    With num_layers, nonlinearity ("tanh" or "relu"), bias, batch_first, dropout (between layers, in training, by the draws
    that PyTorch's own take from the same seed) and bidirectional; packed sequences are taken and given back.

    Notes
    -----
    The gradient cannot be differentiated again: take ``torch.nn.RNN`` for that.

    Examples
    --------
    >>> import torch
    >>> from kelman.torch.modules import RNN
    >>> ours, theirs = RNN(2, 3, batch_first=True), torch.nn.RNN(2, 3, batch_first=True)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x = torch.randn(4, 5, 2)
    >>> torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6)
    True
    """


class GRU(_Kernels, torch.nn.GRU):
    """``torch.nn.GRU`` over kelman's kernels: the same arguments, parameters, ``state_dict`` and results.

    See `RNN`.
    """


class LSTM(_Kernels, torch.nn.LSTM):
    """``torch.nn.LSTM`` over kelman's kernels: the same arguments, parameters, ``state_dict`` and results.

    See `RNN`. With ``proj_size`` PyTorch computes.
    """


def _takes(module: Any, data: Any, hx: Any) -> bool:
    """Whether the kernels compute this call; PyTorch's own forward takes the rest, and says what is wrong with it."""
    if module.mode != "LSTM" and isinstance(hx, (tuple, list)):
        raise TypeError(
            f"hx: expected one tensor for {type(module).__name__}, got a {type(hx).__name__}; pairs are for LSTM"
        )
    starts = () if hx is None else tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
    tensors = (data, *module._flat_weights, *starts)
    if not all(isinstance(tensor, Tensor) for tensor in tensors) or not kernels_take(tensors) or module.proj_size:
        return False
    fits = data.shape[-1] == module.input_size and data.ndim in (2, 3) and 0 not in data.shape
    return fits and (len(starts) == 2) == (module.mode == "LSTM" and hx is not None)


def _start_fits(module: Any, data: Tensor, hx: Any) -> bool:
    """Whether starts have the shape that a tensor needs."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    batch = () if data.ndim == 2 else (len(data) if module.batch_first else data.shape[1],)
    starts = () if hx is None else (hx if module.mode == "LSTM" else (hx,))
    return all(start.shape == (count, *batch, module.hidden_size) for start in starts)


def _starts(module: Any, x: Tensor, hx: Any, single: bool) -> list[dict[str, Tensor]]:
    """Starts of every layer and direction, in PyTorch's order."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    if hx is None:
        return [{} for _ in range(count)]
    names = ("h0", "c0") if module.mode == "LSTM" else ("h0",)
    found: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, start in zip(names, hx if module.mode == "LSTM" else (hx,), strict=True):
        rows = start[:, None] if single else start
        if rows.shape != (count, len(x), module.hidden_size):  # torch.nn takes a wrong number of series in silence
            expected = (count, len(x), module.hidden_size)
            raise RuntimeError(f"Expected hidden size {expected} for the packed sequences, got {tuple(start.shape)}")
        for own, row in zip(found, rows, strict=True):
            own[name] = row
    return found


def _layers(
    module: Any, x: Tensor, starts: list[dict[str, Tensor]], lengths: Any
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """States of the last layer (N, T, directions * h), and the last state (and memory) of every layer and direction."""
    last: list[tuple[Tensor, ...]] = []
    directions = 2 if module.bidirectional else 1
    options = options_of(module.mode)
    for layer in range(module.num_layers):
        if layer and module.dropout and module.training:
            x = _dropped(x, module.dropout, lengths)
        found = []
        for direction in range(directions):
            weights = tensors_of(module, layer, direction)
            given = turn(x, lengths) if direction else x
            start = starts[layer * directions + direction]
            run = recurrence(_KINDS[module.mode], given, weights | start, options, "identity", lengths, None)
            last.append((_at_end(run.h, lengths), *(() if run.c is None else (run.c,))))
            found.append(turn(run.h, lengths) if direction else run.h)
        x = found[0] if directions == 1 else torch.cat(found, -1)
    return x, last


def _dropped(x: Tensor, share: float, lengths: Any) -> Tensor:
    """Dropout of (N, T, values) with the draws that PyTorch's modules take: time by time, of a packed batch longest first."""
    if lengths is None:
        return torch.nn.functional.dropout(x.transpose(0, 1).contiguous(), share).transpose(0, 1)
    packed = pack_padded_sequence(x, torch.as_tensor(lengths), batch_first=True, enforce_sorted=False)
    kept = packed._replace(data=torch.nn.functional.dropout(packed.data, share))
    return pad_packed_sequence(kept, batch_first=True)[0]


def turn(x: Tensor, lengths: Any) -> Tensor:
    """Each series of (N, T, values) backward in time from its own end; what lies beyond stays where it is."""
    if lengths is None:
        return x.flip(1)
    ends, steps = (
        torch.as_tensor(np.asarray(lengths), device=x.device)[:, None],
        torch.arange(x.shape[1], device=x.device),
    )
    order = torch.where(steps < ends, ends - 1 - steps, steps)
    return x.gather(1, order[..., None].expand_as(x))


def _at_end(h: Tensor, lengths: Any) -> Tensor:
    if lengths is None:
        return h[:, -1]
    return h[torch.arange(len(h)), torch.as_tensor(np.asarray(lengths)) - 1]


class Network(torch.nn.Module):
    """Any kelman network as a module, trained by PyTorch's optimisers: skip paths, peepholes, both resets, stacks.

    Parameters
    ----------
    net : Elman, GRU, LSTM, Bidirectional or Stack
        Where the parameters start. Their names are those of the value: ``U``, ``layers.0.U``, ``forward_.U``.
    learn_starts : bool, default False
        Whether starts h0 (and c0) that the network has are parameters too.

    Notes
    -----
    ``module(x)`` takes a tensor (N, T, i) or (T, i) and returns the outputs; ``module.value()`` is the network with the
    present weights.

    Examples
    --------
    >>> import kelman, torch
    >>> from kelman.torch.modules import Network
    >>> module = Network(kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None, hidden="identity"))
    >>> module(torch.tensor([[1.0], [0.0]], dtype=torch.float64)).tolist()
    [[1.0], [0.5]]
    >>> sorted(name for name, _ in module.named_parameters())
    ['U', 'V', 'W', 'b', 'c']
    >>> module.value()
    Elman(1 -> 1 identity -> 1 identity, float64)
    """

    def __init__(self, net: NetworkValue, *, learn_starts: bool = False) -> None:
        super().__init__()
        self.net = as_network(net)
        if isinstance(net, Stack):
            self.layers = torch.nn.ModuleList(Network(layer, learn_starts=learn_starts) for layer in net.layers)
            return
        if isinstance(net, Bidirectional):
            self.forward_ = Network(net.forward, learn_starts=learn_starts)
            self.backward_ = Network(net.backward, learn_starts=learn_starts)
        for name, value in self._arrays():
            if name in ("h0", "c0") and not learn_starts:
                self.register_buffer(name, torch.tensor(np.array(value)))
            else:
                setattr(self, name, torch.nn.Parameter(torch.tensor(np.array(value))))

    def _arrays(self) -> Iterator[tuple[str, Any]]:
        net: Any = self.net
        for name in (*net.SHAPES, *getattr(net, "STARTS", ())):
            if getattr(net, name) is not None:
                yield name, getattr(net, name)

    def run(self, x: Tensor, lengths: Any = None) -> Run:
        """Outputs, states and (of an LSTM) last memories.

        Parameters
        ----------
        x : Tensor, shape (N, T, i) or (T, i)
            Inputs.
        lengths : sequence of int, shape (N,), optional
            Length of each series of a padded x; results beyond are zero.

        Returns
        -------
        Run
            `y`, `h`, `c`.
        """
        net: Any = self.net
        if isinstance(net, Stack):
            for layer in self.layers:
                done: Run = layer.run(x, lengths)
                x = done.h
            return done
        own: dict[str, Tensor | None] = {name: getattr(self, name) for name, _ in self._arrays()}
        if not isinstance(net, Bidirectional):
            options = {name: getattr(net, name) for name in net.OPTIONS}
            return recurrence(type(net), x, own, options, net.output, lengths, None)
        single = x.ndim == 2
        x = x[None] if single else x
        one, two = self.forward_.run(x, lengths), self.backward_.run(turn(x, lengths), lengths)
        h = torch.cat([one.h, turn(two.h, lengths)], -1)
        y = self._read(h, x, own, lengths)
        c = None if one.c is None or two.c is None else torch.cat([one.c, two.c], -1)
        return Run(y[0], h[0], None if c is None else c[0]) if single else Run(y, h, c)

    def _read(self, h: Tensor, x: Tensor, own: dict[str, Any], lengths: Any) -> Tensor:
        from kelman.torch._cells import read

        y = read(self.net.output, {name: own[name] for name in ("V", "c", "D") if name in own}, h, x)  # type: ignore[union-attr]
        if lengths is None or y is h:
            return y
        inside = torch.arange(x.shape[1]) < torch.as_tensor(np.asarray(lengths))[:, None]
        return torch.where(inside[..., None].to(y.device), y, 0)

    def forward(self, x: Tensor, lengths: Any = None) -> Tensor:
        """Return the outputs y; arguments as in `run`."""
        return self.run(x, lengths).y

    def value(self) -> Any:
        """Return the network with the present weights.

        Returns
        -------
        Elman, GRU, LSTM, Bidirectional or Stack
        """
        if isinstance(self.net, Stack):
            return Stack([layer.value() for layer in self.layers])
        changes: dict[str, Any] = {name: array_of(getattr(self, name).cpu()) for name, _ in self._arrays()}
        if isinstance(self.net, Bidirectional):
            changes |= {"forward": self.forward_.value(), "backward": self.backward_.value()}
        return self.net.replace(**changes)

    def extra_repr(self) -> str:
        """The network in a line."""
        return repr(self.net)
