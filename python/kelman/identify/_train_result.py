# SPDX-License-Identifier: BSD-3-Clause
"""What training gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _registry

if TYPE_CHECKING:
    from ..models import Elman
    from ._train_objective import Step


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


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult:
    """A trained network and how it came about.

    Attributes
    ----------
    rnn : Elman
        The best network found, in the units of the user's data.
    loss : float
        Its mean squared error on the counted targets, in their units.
    converged : bool
        Whether the optimiser met its tolerance (for Adam: ended by early stopping or the whole schedule).
    message : str
        Why it ended.
    method : str
        "lm", "lbfgs" or "adam".
    history : tuple of Step
        One line per iteration of every start: start, phase, iteration, loss (of standardised targets), radius, damping,
        seconds, validation.
    failures : tuple of Failure
        Starts that overflowed, stalled at the stability limit, or raised.
    starts : int
        How many starts were tried.
    warmup : int
        First steps of every series that were not counted.
    radius : float
        Spectral radius of U.
    marginal : bool
        Whether a mode of U is so close to the stability limit that its read-out cannot be trusted.
    interrupted : bool
        Whether Ctrl-C ended the training; `rnn` is the best so far.
    seconds : float
        Time taken.
    """

    rnn: Elman
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

    def summary(self) -> str:
        """Describe the training in a few lines.

        Returns
        -------
        str
            Network, loss, how it ended, stability, and the failures.
        """
        ended = "converged" if self.converged else "not converged"
        lines = [
            repr(self.rnn),
            f"method {self.method}, {len(self.history)} iterations in {self.seconds:.2f} s, {ended}: {self.message}",
            f"mean squared error {self.loss:.6g}, warm-up {self.warmup} steps",
            f"spectral radius of U {self.radius:.4f}" + (" (marginal: prune before reading)" if self.marginal else ""),
            f"{self.starts} starts, {len(self.failures)} failed",
        ]
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
