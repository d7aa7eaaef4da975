"""torch-kf: batches in PyTorch. Given one covariance for all series, which broadcasting allows where nothing is missing."""

from __future__ import annotations

from typing import Any

import torch
from torch_kf import GaussianState, KalmanFilter

from benchmarks.problems import Problem

NAME = "torch-kf"
LOOPS = False
GAPS = {"none", "whole", "single"}

torch.set_num_threads(1)


def _prepared(problem: Problem) -> tuple[Any, Any, Any]:
    model = problem.model
    kf = KalmanFilter(*(torch.tensor(x) for x in (model.A, model.H, model.Q, model.R)))
    m1, P1 = (torch.tensor(x) for x in model.first)
    mean = m1[:, None].expand(problem.N, -1, -1).contiguous()
    cov = P1 if problem.gaps == "none" else P1.expand(problem.N, -1, -1).contiguous()
    z = torch.tensor(problem.z).transpose(0, 1)[..., None].contiguous()
    return kf, (mean, cov), z


def _answer(state: Any, few: int) -> dict[str, Any]:
    mean = state.mean[:, :few, :, 0].transpose(0, 1).numpy()
    cov = state.covariance
    cov = cov[:, None].expand(-1, few, -1, -1) if cov.ndim == 3 else cov[:, :few]
    return {"mean": mean, "cov": cov.transpose(0, 1).numpy()}


def filter(problem: Problem) -> tuple[Any, Any]:
    """Filter the whole batch step by step."""
    kf, start, z = _prepared(problem)

    def run() -> Any:
        state = GaussianState(start[0].clone(), start[1].clone())
        return kf.filter(state, z, update_first=True, return_all=True)

    return run, _answer


def smooth(problem: Problem) -> tuple[Any, Any]:
    """Filter, then the package's Rauch-Tung-Striebel smoother in place."""
    run_filter, _ = filter(problem)
    kf = _prepared(problem.head(1))[0]
    return lambda: kf.rts_smooth(run_filter(), inplace=True), _answer
