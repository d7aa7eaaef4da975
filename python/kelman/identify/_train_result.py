# SPDX-License-Identifier: BSD-3-Clause
"""What training gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _registry

if TYPE_CHECKING:
    from ._train_journal import Step


@dataclass(frozen=True, slots=True)
class Failure:
    """A start that did not lead to a usable network.

    Attributes
    ----------
    start : int
        Which start, from 0.
    reason : str
        What happened.
    """

    start: int
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """What became of one start.

    Attributes
    ----------
    number : int
        Which start, from 0.
    kind : str
        "random", "subspace", "subspace, free" (without the prior), "subspace, 2 units" (the others held unread), "grown" or
        "given".
    loss : float
        Loss of the standardised part of the data that the starts were raced on; infinite where there was no race.
    iterations : int
        Lines of the history that belong to it.
    outcome : str
        How its last optimisation ended, or why it failed.
    """

    number: int
    kind: str
    loss: float
    iterations: int
    outcome: str


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult:
    """A trained network and how it came about.

    Attributes
    ----------
    rnn : Elman, GRU, LSTM, Bidirectional or Stack
        The best network found, in the units of the user's data. With a group lasso it has only the units that were left.
    loss : float
        Its mean squared error on the counted targets, in their units.
    converged : bool
        Whether the optimiser met its tolerance (for Adam: ended by early stopping or the whole schedule).
    message : str
        Why it ended.
    method : str
        "lm", "lbfgs" or "adam".
    why : str
        Why this method: "asked for", or what decided it.
    history : tuple of Step
        One line per iteration of every start: start, phase, iteration, loss (of standardised targets), radius, damping,
        seconds, validation.
    failures : tuple of Failure
        Starts that overflowed, stalled at the stability limit, or raised.
    starts : int
        How many starts were tried.
    warmup : int
        First steps of every series that were not counted.
    trials : tuple of Start
        What became of every start.
    radius : float
        Spectral radius of U (of U + A with a skip path); NaN for gated cells.
    marginal : bool
        Whether a mode of U is so close to the stability limit that its read-out cannot be trusted.
    interrupted : bool
        Whether Ctrl-C ended the training; `rnn` is the best so far.
    seconds : float
        Time taken.
    shooting : str
        What multiple shooting did before, with `segment`.
    """

    rnn: Any
    loss: float
    converged: bool
    message: str
    method: str
    history: tuple[Step, ...]
    failures: tuple[Failure, ...]
    starts: int
    warmup: int
    radius: float
    marginal: bool
    interrupted: bool
    seconds: float
    why: str = "asked for"
    trials: tuple[Start, ...] = ()
    shooting: str = ""

    @property
    def order(self) -> int:
        """Number of hidden units of the network: with a group lasso, those that were left."""
        return int(self.rnn.dims.hidden)

    def summary(self) -> str:
        """Describe the training in a few lines.

        Returns
        -------
        str
            Network, loss, how it ended, stability, and the failures.
        """
        ended = "converged" if self.converged else "not converged"
        lines = [repr(self.rnn)]
        lines.append(
            f"method {self.method} ({self.why}), {len(self.history)} iterations in {self.seconds:.2f} s, {ended}: "
            f"{self.message}"
        )
        lines += [f"multiple shooting before: {self.shooting}"] if self.shooting else []
        lines.append(f"mean squared error {self.loss:.6g}, warm-up {self.warmup} steps")
        if not math.isnan(self.radius):
            lines += [f"spectral radius {self.radius:.4f}" + (" (marginal: prune before reading)" * self.marginal)]
        lines += [f"{self.starts} starts, {len(self.failures)} failed"]
        for start in self.trials if len(self.trials) > 1 else ():
            raced = f"loss in the race {start.loss:.6g}, " if math.isfinite(start.loss) else ""
            lines += [f"  start {start.number} ({start.kind}): {raced}{start.iterations} iterations, {start.outcome}"]
        if len(self.trials) <= 1:
            lines += [f"  start {failure.start}: {failure.reason}" for failure in self.failures]
        return "\n".join(lines)

    def plot(self, **options: Any) -> Any:
        """Draw the loss of every start against the iterations (needs the extra ``app``).

        Parameters
        ----------
        **options
            Passed to the plot.

        Returns
        -------
        object
            What `kelman.plotting` returns: the axes.
        """
        return _registry.plot(self, **options)

    def __repr__(self) -> str:
        ended = "converged" if self.converged else "not converged"
        return f"TrainResult({self.rnn!r}, loss {self.loss:.6g}, {self.method}, {ended}, {len(self.failures)} failures)"
