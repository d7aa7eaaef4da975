# SPDX-License-Identifier: BSD-3-Clause
"""What the activations of a trained network do on data: saturation, effective gains, gates, local dynamics, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kelman._arrays import as_count
from kelman.bridge._linearise import layers_of, local_of, parts_of
from kelman.errors import KelmanError
from kelman.models import ACTIVATIONS, Bidirectional, Cell, Stack

if TYPE_CHECKING:
    from kelman._types import Array
    from kelman.bridge._data import FloatArray
    from kelman.rnn._forward import ForwardResult

__all__ = ["Activations", "MemoryKernel", "UnitStatistics", "read_activations"]

SATURATED = 0.1
"""A unit is saturated where its slope is below this part of the largest slope of its activation."""
_LARGEST_SLOPE = {"sigmoid": 0.25}
_FORGETS = ("update gate", "forget gate")


@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """What one row of units does on the data: the hidden units of an Elman network, or a gate of a GRU or LSTM.

    Attributes
    ----------
    layer : int
        Which layer of a stack, from 0.
    name : str
        "hidden"; "reset gate", "update gate", "candidate"; "input gate", "forget gate", "output gate", "memory".
    activation : str
        The activation that they go through.
    mean, std : ndarray, shape (h,)
        Of the pre-activations a.
    saturated : ndarray, shape (h,)
        Part of the steps where the slope s'(a) is below a tenth of the largest slope that the activation has (of relu: where
        the unit is off).
    gain : ndarray, shape (h,)
        Effective gain E[s'(a)], the stochastic linearisation of the unit.
    regression_gain : ndarray, shape (h,)
        Cov(a, s(a)) / Var(a), the best linear approximation; equal to `gain` for Gaussian a (Bussgang, Price). NaN where a
        does not move.
    value_mean, value_std : ndarray, shape (h,)
        Of s(a).
    closed, open : ndarray, shape (h,), or None
        Of gates: part of the steps below 0.1, above 0.9.
    half_life : ndarray, shape (h,), or None
        Of update and forget gates: steps in which what they keep falls to one half, from the geometric mean of the gate.
    """

    layer: int
    name: str
    activation: str
    mean: Array
    std: Array
    saturated: Array
    gain: Array
    regression_gain: Array
    value_mean: Array
    value_std: Array
    closed: Array | None
    open: Array | None
    half_life: Array | None


@dataclass(frozen=True, eq=False)
class MemoryKernel:
    """How an output depends on inputs of the past: d y_t / d x_{t-k}, over moments t of the data.

    Attributes
    ----------
    mean : ndarray, shape (lags + 1, o, i)
        Mean over moments, for k = 0 .. lags.
    size : ndarray, shape (lags + 1, o, i)
        Mean of the absolute values.
    std : ndarray, shape (lags + 1, o, i)
        Standard deviation over moments: zero for a linear network.
    moments : int
        How many moments t.
    """

    mean: Array
    size: Array
    std: Array
    moments: int

    @property
    def median_lag(self) -> Array:
        """Lag up to which half of the total size lies, (o, i); NaN where there is none."""
        reached = np.cumsum(self.size, axis=0)
        total = reached[-1]
        lag = (reached < 0.5 * total).sum(axis=0).astype(float)
        return np.where(total > 0, lag, np.nan)


@dataclass(frozen=True, eq=False)
class Activations:
    """What the activations of a network do on data; made by `read_activations`.

    Attributes
    ----------
    units : tuple of UnitStatistics
        One for each row of units, layer by layer.
    kernel : MemoryKernel
        Dependence of the output on inputs of the past.
    mean_jacobian : ndarray, shape (s, s)
        Mean of F = d s_k / d s_{k-1} over moments. The state s is h, of an LSTM [h, c], of a stack that of all layers.
    mean_input : ndarray, shape (s, i)
        Mean of G = d s_k / d x_k.
    radius : ndarray, shape (moments,)
        Spectral radius of F at each moment.
    steps : int
        Steps that the statistics were taken over.
    """

    units: tuple[UnitStatistics, ...]
    kernel: MemoryKernel
    mean_jacobian: Array
    mean_input: Array
    radius: Array
    steps: int

    def __getitem__(self, name: str) -> UnitStatistics:
        """The row of units of this name, in the last layer that has one."""
        for row in reversed(self.units):
            if row.name == name:
                return row
        raise KelmanError(
            f"activations: no {name!r}; there are {', '.join(dict.fromkeys(row.name for row in self.units))}"
        )

    @property
    def poles(self) -> Array:
        """Eigenvalues of the mean Jacobian, the largest first: the analogue of A - K H, not of A."""
        values = np.linalg.eigvals(self.mean_jacobian)
        order: Array = values[np.argsort(-np.abs(values), kind="stable")]
        return order

    def summary(self) -> str:
        """Text: a line per row of units, local dynamics, memory.

        Returns
        -------
        str
        """
        deep = len({row.layer for row in self.units}) > 1
        lines = [f"Activations over {self.steps} steps"]
        lines.append(
            f"{'units':>20} {'activation':>10} {'saturated':>9} {'gain':>7} {'least':>7} {'most':>7}  mean value"
        )
        for row in self.units:
            name = f"layer {row.layer} {row.name}" if deep else row.name
            lines.append(
                f"{name:>20} {row.activation:>10} {row.saturated.mean():9.1%} {row.gain.mean():7.4f} {row.gain.min():7.4f} "
                f"{row.gain.max():7.4f}  {row.value_mean.mean():.4f}" + _gate_words(row)
            )
        q = np.quantile(self.radius, [0.05, 0.5, 0.95])
        lines.append(f"spectral radius of the local Jacobian: median {q[1]:.4f}, 5 % {q[0]:.4f}, 95 % {q[2]:.4f}")
        lines.append(f"moduli of the mean Jacobian: {', '.join(f'{abs(v):.4f}' for v in self.poles[:6])}")
        lag = self.kernel.median_lag
        lines.append(f"memory: half of d y / d x lies within {np.nanmin(lag):.0f} to {np.nanmax(lag):.0f} steps")
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw gains, saturation, memory kernel and local radii (extra ``app``); see ``kelman.plotting``."""
        from kelman import _registry

        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        names = ", ".join(row.name for row in self.units)
        return f"Activations({names}; {self.steps} steps, median radius {np.median(self.radius):.4f})"


def _gate_words(row: UnitStatistics) -> str:
    if row.open is None or row.closed is None:
        return ""
    life = "" if row.half_life is None else f", half-life {np.median(row.half_life):.3g}"
    return f" (open {row.open.mean():.1%}, closed {row.closed.mean():.1%}{life})"


def read_activations(
    rnn: Cell | Stack,
    x: Any,
    *,
    lengths: Any = None,
    lags: int = 50,
    moments: int = 500,
    warmup: int = 0,
    threads: int | None = None,
) -> Activations:
    """Read what the activations of a trained network do on data.

    Saturation and effective gain of every unit, the gates, the local Jacobians, and the memory kernel d y_t / d x_{t-k}.

    Parameters
    ----------
    rnn : Elman, GRU, LSTM or Stack of these
        The network. (A `Bidirectional` has no order of time for a memory.)
    x : array_like, shape (T,), (T, i) or (N, T, i), or list of arrays
        Inputs as for `forward`: data like those of the training, or such as one asks about.
    lengths : array_like of int, shape (N,), optional
        Length of each series of a padded x.
    lags : int, default 50
        How far back the memory kernel goes; at most the longest series less one.
    moments : int, default 500
        Over how many moments t, spread evenly over the data, Jacobians and kernels are averaged.
    warmup : int, default 0
        First steps of every series that are left out.
    threads : int, optional
        Threads over series.

    Returns
    -------
    Activations
        `.units`, `.kernel`, `.mean_jacobian`, `.radius`, `.summary()`, `.plot()`.

    Raises
    ------
    KelmanError
        If no step is left after the warm-up, or the network does not run forward in time.

    Notes
    -----
    In a Kalman filter the Jacobian is A - K H at every step and the kernel H (A - K H)^k K. A saturating unit makes them
    depend on where the state is: `gain` says how much is left of a unit's slope on average, `radius` and `kernel.std` how
    much it moves.

    References
    ----------
    Booton, *Nonlinear control systems with random inputs*, 1954 (stochastic linearisation); Bussgang, *Crosscorrelation
    functions of amplitude-distorted Gaussian signals*, 1952.

    Examples
    --------
    The filter of a local level as a network: its memory is 0.618 x 0.382^k.

    >>> import kelman, numpy as np
    >>> net = kelman.to_elman(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]))
    >>> read = kelman.read_activations(net, np.random.default_rng(0).normal(size=200), lags=3)
    >>> read.kernel.mean[:, 0, 0].round(4).tolist()
    [0.618, 0.2361, 0.0902, 0.0344]
    >>> read["hidden"].gain.tolist()
    [1.0]
    """
    from kelman.rnn import forward
    from kelman.rnn._problem import as_lengths, as_series

    if isinstance(rnn, Bidirectional) or not isinstance(rnn, (Cell, Stack)):
        raise KelmanError(f"rnn: expected an Elman, GRU or LSTM network or a Stack of these, got {rnn!r:.80}")
    if any(isinstance(layer, Bidirectional) for layer in layers_of(rnn)):
        raise KelmanError("rnn: expected layers that run forward in time; this stack has a Bidirectional one")
    back, count, skip = (
        as_count(lags, "lags", least=0),
        as_count(moments, "moments"),
        as_count(warmup, "warmup", least=0),
    )
    inputs, ragged, _ = as_series(x, "x", rnn.dims.inputs, "i")
    ends = as_lengths(lengths, ragged, *inputs.shape[:2])
    ends = np.full(len(inputs), inputs.shape[1]) if ends is None else ends
    result = forward(rnn, inputs, lengths=ends, threads=threads)
    before, after = _states(rnn, result, len(inputs))
    back = min(back, int(ends.max()) - 1)
    wide = np.asarray(inputs, dtype=np.float64)
    steps = np.arange(wide.shape[1])[None, :]
    inside = (steps < ends[:, None]) & (steps >= skip)
    if not inside.any():
        raise KelmanError(f"warmup: no step is left after {skip}")
    units = _units(rnn, before, after, wide, inside)
    late = np.argwhere(inside & (steps >= max(skip, back)))
    chosen = late[np.unique(np.linspace(0, len(late) - 1, min(count, len(late))).astype(int))]
    kernel, F, G = _kernel(rnn, before, after, wide, chosen, back)
    radius = np.abs(np.linalg.eigvals(F)).max(axis=1)
    return Activations(units, kernel, F.mean(axis=0), G.mean(axis=0), radius, int(inside.sum()))


def _states(net: Cell | Stack, result: ForwardResult, series: int) -> tuple[list[FloatArray], list[FloatArray]]:
    """For each layer the states before and after every step, (N, T, s)."""
    results = (result,) if result.layers is None else result.layers
    before, after = [], []
    for cell, one in zip(layers_of(net), results, strict=True):
        tracks = [one.h] if one.c is None else [one.h, one.c]
        starts = []
        for name in cell.STARTS:
            start = getattr(cell, name)
            start = np.zeros(cell.dims.hidden) if start is None else np.asarray(start, dtype=np.float64)
            starts.append(np.broadcast_to(start, (series, cell.dims.hidden)))
        track = np.concatenate([np.asarray(t, dtype=np.float64) for t in tracks], axis=2)
        first = np.concatenate(starts, axis=1)[:, None]
        before.append(np.concatenate([first, track[:, :-1]], axis=1))
        after.append(track)
    return before, after


def _units(
    net: Cell | Stack, before: list[FloatArray], after: list[FloatArray], x: FloatArray, inside: Any
) -> tuple[UnitStatistics, ...]:
    rows = []
    for layer, cell in enumerate(layers_of(net)):
        given = x if layer == 0 else after[layer - 1][..., : cell.dims.inputs]
        gated = cell.GATES > 1
        for name, word, a in parts_of(cell, before[layer][inside], given[inside]):
            rows.append(_statistics(layer, name, word, a, gated))
        if cell.V is not None and cell.output != "identity":
            read = after[layer][inside][:, : cell.dims.hidden] @ cell.V.T.astype(np.float64) + cell.c
            read = read if cell.D is None else read + given[inside] @ cell.D.T
            rows.append(_statistics(layer, "output", cell.output, read, False))
    return tuple(rows)


def _statistics(layer: int, name: str, word: str, a: FloatArray, gated: bool) -> UnitStatistics:
    row = ACTIVATIONS[word]
    value, slope = row.function(a), row.derivative(a)
    largest = _LARGEST_SLOPE.get(word, 1.0)
    gate = gated and word == "sigmoid"
    centred = a - a.mean(axis=0)
    power = np.square(centred).mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        regression = np.where(power > 0, (centred * value).mean(axis=0) / power, np.nan)
    life = None
    if gate and name in _FORGETS:
        kept = -np.logaddexp(0, -a).mean(axis=0)  # mean of log sigmoid(a)
        life = np.log(0.5) / np.minimum(kept, -np.finfo(float).tiny)
    return UnitStatistics(
        layer=layer,
        name=name,
        activation=word,
        mean=a.mean(axis=0),
        std=a.std(axis=0),
        saturated=(slope < SATURATED * largest).mean(axis=0),
        gain=slope.mean(axis=0),
        regression_gain=regression,
        value_mean=value.mean(axis=0),
        value_std=value.std(axis=0),
        closed=(value < 0.1).mean(axis=0) if gate else None,
        open=(value > 0.9).mean(axis=0) if gate else None,
        half_life=life,
    )


def _kernel(
    net: Cell | Stack, before: list[FloatArray], after: list[FloatArray], x: FloatArray, chosen: Any, lags: int
) -> tuple[MemoryKernel, FloatArray, FloatArray]:
    """Kernel, and F and G, at the chosen (series, step): rows d y_t / d s_{t-k} are carried back from step to step."""
    n, t = chosen[:, 0], chosen[:, 1]
    kernels, at_t = [], None
    rows: Any = None
    for k in range(lags + 1):
        local = local_of(net, [s[n, t - k] for s in before], [s[n, t - k] for s in after], x[n, t - k])
        if at_t is None:
            at_t, rows = local, local.H
            kernels.append(rows @ local.G + local.D)
        else:
            kernels.append(rows @ local.G)
        rows = rows @ local.F
    assert at_t is not None
    every = np.stack(kernels, axis=1)
    kernel = MemoryKernel(every.mean(axis=0), np.abs(every).mean(axis=0), every.std(axis=0), len(chosen))
    return kernel, at_t.F, at_t.G
