# SPDX-License-Identifier: BSD-3-Clause
"""The linear verbs of the PyTorch backend, with NumPy arrays in and out: the same contract as the compiled core's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kelman.torch._belief import Belief
from kelman.torch._filter import (
    IMPOSSIBLE,
    OK,
    Fields,
    Step,
    Trouble,
    _tensor,
    given_start,
    new_trouble,
    start_belief,
    steps,
)
from kelman.torch._smoother import find_delta, smooth_steps

Arrays = dict[str, NDArray[Any]]

_KEPT = {
    "loglik": (),
    "last": (),
    "means": ("mean",),
    "filtered": ("mean", "cov", "loglik_obs"),
    "all": ("mean", "cov", "loglik_obs", "predicted_mean", "predicted_cov", "innovation", "innovation_cov"),
}


def loglik(problem: Any) -> Tensor:
    """Log-likelihood of every series, (N,): differentiable in every field of the problem that is a tensor.

    Parameters
    ----------
    problem : Problem
        Like the one the verbs build; any of its arrays may be a tensor that requires a gradient.

    Returns
    -------
    torch.Tensor, shape (N,)
    """
    total = torch.zeros((), dtype=_tensor(problem.mean).dtype)
    for step in steps(problem, new_trouble(problem)):
        total = total + step.loglik
    return total


def filter_raw(
    problem: Any,
    store: str,
    threads: int = 1,
    out: Arrays | None = None,
    form: str = "auto",
    steady: bool = True,
) -> Arrays:
    """Filter every series.

    Parameters
    ----------
    problem : Problem
        Model and data with one dtype, broadcast over series and time.
    store : {"loglik", "last", "means", "filtered", "all"}
        What to keep.
    threads : int
        Not used: PyTorch has its own threads.
    out : dict of arrays, optional
        Arrays of a previous call to write into.
    form, steady
        Not used: there is one way.

    Returns
    -------
    dict of arrays
        The moments that `store` keeps, ``loglik``, ``status``, ``failed_at`` and the state to go on from (``state_*``).
    """
    del threads, form, steady
    trouble, names = new_trouble(problem), _KEPT[store]
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    total: Tensor | None = None
    last = _Last(problem)
    with torch.no_grad():
        for step in steps(problem, trouble):
            kept = _moments(step, problem.mean.shape[-1])
            broken = _broken(trouble, step.k)
            for name in names:
                columns[name].append(_blank(kept[name], broken | ~step.inside))
            total = kept["loglik_obs"] if total is None else total + kept["loglik_obs"]
            last.take(step, broken)
    arrays = {name: torch.stack(column, 1).numpy() for name, column in columns.items()}
    assert total is not None
    failed = (trouble.status != OK) & (trouble.status != IMPOSSIBLE)
    arrays["loglik"] = torch.where(failed, torch.nan, total).numpy()
    arrays["status"] = trouble.status.numpy().astype(np.int32)
    arrays["failed_at"] = trouble.failed_at.numpy()
    arrays |= last.arrays()
    if store == "last":
        arrays["mean"], arrays["cov"] = arrays["state_mean"].copy(), arrays["state_cov"].copy()
    return arrays if out is None else _into(out, arrays)


def smooth_raw(
    problem: Any,
    lag: int = 0,
    threads: int = 1,
    form: str = "auto",
    filtered: bool = False,
    steady: bool = True,
) -> Arrays:
    """Smooth every series.

    Parameters
    ----------
    problem : Problem
        Model and data with one dtype, broadcast over series and time.
    lag : {0, 1}
        Whether to keep the lag-one covariances.
    threads : int
        Not used: PyTorch has its own threads.
    form : str
        Not used: there is one.
    filtered : bool
        Whether to keep the filtered moments too.
    steady : bool
        Not used: every step is taken in full.

    Returns
    -------
    dict of arrays
        ``mean``, ``cov``, ``lag_one_cov`` (with lag 1), ``filtered_mean``, ``filtered_cov`` (if `filtered`),
        ``loglik``, ``status``, ``failed_at``.
    """
    del threads, form, steady
    trouble, fields = new_trouble(problem), Fields(problem)
    n = problem.mean.shape[-1]
    with torch.no_grad():
        belief, before = start_belief(problem, fields)
        run = list(steps(problem, trouble))
        total = torch.stack([step.loglik for step in run]).sum(0)
        determined = belief.rank - run[-1].updated.rank
        run = list(steps(problem, new_trouble(problem), given_delta=True))
        delta = find_delta(run, determined, belief.mean.shape[-1])
        eye = torch.eye(n, dtype=belief.mean.dtype)
        joined = [fields.need("A", k) for k in range(len(run))]
        joined = [torch.cat([A, eye.expand_as(A)], -1) for A in joined]
        moments = smooth_steps(run, given_start(belief, fields) if before else None, joined, delta, bool(lag))
    failed = (trouble.status != OK) & (trouble.status != IMPOSSIBLE)
    arrays = {}
    for i, name in enumerate(("mean", "cov", "lag_one_cov")[: 2 + bool(lag)]):
        stacked = [_blank(one[i], failed | ~step.inside) for one, step in zip(moments, run, strict=True)]
        arrays[name] = torch.stack(stacked, 1).numpy()
    if filtered:
        forward = filter_raw(problem, "filtered", 1)
        arrays |= {"filtered_mean": forward["mean"], "filtered_cov": forward["cov"]}
    arrays["loglik"] = torch.where(failed, torch.nan, total).numpy()
    arrays["status"] = trouble.status.numpy().astype(np.int32)
    arrays["failed_at"] = trouble.failed_at.numpy()
    return arrays


def _broken(trouble: Trouble, k: int) -> Tensor:
    """Series whose recursions have stopped by step k (an impossible observation does not stop them)."""
    return (trouble.status != OK) & (trouble.status != IMPOSSIBLE) & (trouble.failed_at <= k)


def _blank(value: Tensor, where: Tensor) -> Tensor:
    return torch.where(where.reshape(-1, *[1] * (value.ndim - 1)), torch.nan, value)


def _moments(step: Step, n: int) -> dict[str, Tensor]:
    N = len(step.inside)
    return {
        "mean": step.updated.mean[:, :n],
        "cov": step.updated.cov[:, :n, :n],
        "loglik_obs": step.loglik,
        "predicted_mean": step.predicted.mean,
        "predicted_cov": step.predicted.cov,
        "innovation": step.innovation,
        "innovation_cov": step.innovation_cov.expand(N, -1, -1),
    }


class _Last:
    """The belief about (x, pending w) after each series' own last step."""

    def __init__(self, problem: Any) -> None:
        self.belief: Belief | None = None
        self.n = problem.mean.shape[-1]

    def take(self, step: Step, broken: Tensor) -> None:
        """Keep this step's belief for the series that are still going."""
        new = step.updated
        new = Belief(_blank(new.mean, broken), _blank(new.cov, broken), *new[2:])
        if self.belief is None:
            self.belief = new
            return

        def pick(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(step.inside.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        self.belief = Belief(*(pick(a, b) for a, b in zip(new, self.belief, strict=True)))

    def arrays(self) -> Arrays:
        """Return the arrays that a later call takes as its start."""
        assert self.belief is not None
        n, (mean, cov, inf, rank, *_) = self.n, self.belief
        parts = {
            "state_mean": mean[:, :n],
            "state_cov": cov[:, :n, :n],
            "state_inf": inf[:, :n],
            "state_rank": rank,
            "state_noise_mean": mean[:, n:],
            "state_noise_cov": cov[:, n:, n:],
            "state_noise_cross": cov[:, :n, n:],
        }
        return {name: np.ascontiguousarray(part.numpy()) for name, part in parts.items()}


def _into(out: Arrays, arrays: Arrays) -> Arrays:
    """Write the results into the arrays given, where they have one of that name."""
    for name, value in arrays.items():
        if name in out:
            out[name][...] = value
            arrays[name] = out[name]
    return arrays
