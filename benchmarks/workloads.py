"""The workloads: a row each. What is computed, how large, how much faster than the best peer it is meant to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.networks import NETWORKS, NetworkWorkload
from benchmarks.problems import MODELS, Problem, make


@dataclass(frozen=True)
class Workload:
    """One row.

    Attributes
    ----------
    name, what : str
        Its short name, and what is computed.
    task : str
        The word that `benchmarks.ours` and the peers know it by.
    model : str
        Key of `benchmarks.problems.MODELS`.
    N, T : int
        Number of series, and steps of each.
    quick : tuple of int
        The same with --quick.
    gaps : str
        "none", "whole" (a tenth of the vectors are missing), "single" (a tenth of the components), "calendars" (a tenth of
        the vectors, each series by one of ten patterns).
    per_series : bool
        A model for each series.
    goals : dict
        For kelman's ways of running it: how many times faster than the best peer it is meant to be.
    unit : str
        Nanoseconds for each series and step ("ns"), or milliseconds for all ("ms").
    checked : tuple of int
        Series and steps that are compared with the textbook recursion.
    shared : bool
        Whether one covariance path serves all series (for the counts of operations).
    by_hand : bool
        Whether the goals count what a user could write by hand in JAX among the others; else packages only.
    """

    name: str
    what: str
    task: str
    model: str
    N: int
    T: int
    quick: tuple[int, int]
    goals: Mapping[str, float]
    gaps: str = "none"
    per_series: bool = False
    unit: str = "ns"
    checked: tuple[int, int] = (10, 1000)
    shared: bool = False
    by_hand: bool = False

    def problem(self, quick: bool) -> Problem:
        """Return the model and the data."""
        N, T = self.quick if quick else (self.N, self.T)
        return make(MODELS[self.model](), N, T, self.gaps, self.per_series)

    def scale(self, problem: Problem) -> float:
        """Return what seconds are multiplied by to give the unit."""
        return 1e3 if self.unit == "ms" else 1e9 / (problem.N * problem.T)


FILTERS = (
    Workload(
        "K1", "filter, means and covariances, nothing missing", "filter", "velocity", 10_000, 500, (1000, 200),
        {"out=": 20, "fresh": 12}, shared=True,
    ),
    Workload(
        "K1L", "log-likelihood, nothing missing", "loglik", "velocity", 10_000, 500, (1000, 200),
        {"loglik": 12}, shared=True,
    ),
    Workload(
        "K1L512", "the same with 512 steps: rows of series alias in the cache", "loglik", "velocity", 10_000, 512,
        (1000, 256), {"loglik": 12}, shared=True,
    ),
    Workload(
        "K2", "filter, means and covariances, a tenth of the vectors missing, differently in each series", "filter",
        "velocity", 10_000, 500, (1000, 200), {"out=": 15, "fresh": 4}, gaps="whole", by_hand=True,
    ),
    Workload(
        "K2L", "log-likelihood of the same", "loglik", "velocity", 10_000, 500, (1000, 200), {"loglik": 18},
        gaps="whole", by_hand=True,
    ),
    Workload(
        "K2p", "filter, means and covariances, a tenth of single components missing", "filter", "velocity", 10_000, 500,
        (1000, 200), {"out=": 15, "fresh": 4}, gaps="single", by_hand=True,
    ),
    Workload(
        "K2pL", "log-likelihood of the same", "loglik", "velocity", 10_000, 500, (1000, 200), {"loglik": 18},
        gaps="single", by_hand=True,
    ),
    Workload(
        "K1c", "filter, means and covariances, a tenth of the vectors missing by one of ten calendars", "filter", "velocity",
        10_000, 500, (1000, 200), {}, gaps="calendars", shared=True,
    ),
    Workload(
        "K1cL", "log-likelihood of the same", "loglik", "velocity", 10_000, 500, (1000, 200), {}, gaps="calendars",
        shared=True,
    ),
    Workload(
        "K3", "smoother, means and covariances, nothing missing", "smooth", "velocity", 2000, 500, (500, 200),
        {"fresh": 12}, shared=True,
    ),
    Workload(
        "K1Li", "log-likelihood, a model for each series", "loglik", "velocity", 10_000, 500, (1000, 200), {},
        per_series=True,
    ),
    Workload(
        "K3g", "smoother, a tenth of the vectors missing, differently in each series", "smooth", "velocity", 2000, 500,
        (500, 200), {}, gaps="whole",
    ),
    Workload(
        "K3c", "smoother, a tenth of the vectors missing by one of ten calendars", "smooth", "velocity", 2000, 500,
        (500, 200), {}, gaps="calendars", shared=True,
    ),
    Workload(
        "K4", "one long series, means and covariances", "filter", "velocity", 1, 1_000_000, (1, 50_000),
        {"out=, every step": 15, "out=": 60}, checked=(1, 20_000),
    ),
    Workload(
        "K4L", "one long series, log-likelihood", "loglik", "velocity", 1, 1_000_000, (1, 50_000),
        {"every step": 15, "loglik": 60}, checked=(1, 20_000),
    ),
    Workload(
        "K5", "filtered and smoothed means and covariances in one call, n = 50, m = 20, one series", "both", "dense", 1,
        1000, (1, 200), {"both": 3}, unit="ms", checked=(1, 1000),
    ),
    Workload(
        "K6", "log-likelihood of a trend with a seasonal of 12, n = 13, m = 1", "loglik", "seasonal", 1000, 240,
        (1000, 60), {"loglik": 3}, shared=True,
    ),
    Workload(
        "K7", "log-likelihood and exact gradient, one model", "gradient", "velocity", 100, 500, (100, 100),
        {"gradient": 10}, by_hand=True, shared=True,
    ),
    Workload(
        "K7i", "log-likelihood and exact gradient, a model for each series", "gradient", "velocity", 100, 500, (100, 100),
        {"gradient": 20}, per_series=True, by_hand=True,
    ),
    Workload(
        "K8", "20 EM iterations, a model for each series: all of A, H, Q, R and the first state", "em", "velocity", 100, 200,
        (50, 100), {"EM": 10}, per_series=True, checked=(4, 200),
    ),
    Workload(
        "K9", "maximum likelihood of both variances of a level, for each series by itself", "variances", "level", 1000, 200,
        (100, 100), {"fit": 20}, unit="ms", checked=(4, 200),
    ),
    Workload(
        "K10", "online: one call for each step of one series", "stream", "velocity", 1, 20_000, (1, 2000),
        {"Stepper": 5}, checked=(1, 500),
    ),
)  # fmt: skip

TABLE: tuple[Workload | NetworkWorkload, ...] = (*FILTERS, *NETWORKS)
