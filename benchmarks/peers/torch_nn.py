"""torch.nn.RNN, GRU and LSTM with a linear readout, gradients by autograd."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from benchmarks.networks import NetworkProblem, slope

NAME = "torch"
LOOPS = False
GAPS = {"none"}

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


class Net(torch.nn.Module):
    """A recurrent layer and its readout."""

    def __init__(self, problem: NetworkProblem) -> None:
        super().__init__()
        kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[problem.model.kind]
        w = {name: torch.tensor(value) for name, value in problem.model.weights.items()}
        dtype, hidden = w["U"].dtype, problem.model.n
        self.cell = kind(problem.model.m, hidden, batch_first=True, dtype=dtype)
        self.readout = torch.nn.Linear(hidden, len(w["V"]), dtype=dtype)
        with torch.no_grad():
            self.cell.weight_hh_l0.copy_(w["U"])
            self.cell.weight_ih_l0.copy_(w["W"])
            self.cell.bias_ih_l0.copy_(w["b"])
            self.cell.bias_hh_l0.zero_()
            if "d" in w:
                self.cell.bias_hh_l0[2 * hidden :] = w["d"]
            self.readout.weight.copy_(w["V"])
            self.readout.bias.copy_(w["c"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (N, T, o)."""
        y: torch.Tensor = self.readout(self.cell(x)[0])
        return y


def net_forward(problem: NetworkProblem) -> Any:
    """Outputs."""
    net, x = Net(problem), torch.tensor(problem.x)

    def run() -> torch.Tensor:
        with torch.no_grad():
            return net(x)

    return run, lambda y, few: {"y": y[:few].numpy()}


def net_gradient(problem: NetworkProblem) -> Any:
    """Mean squared error and its gradient by every weight."""
    net, x, y = Net(problem), torch.tensor(problem.x), torch.tensor(problem.y)

    def run() -> Any:
        net.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        return loss

    def answer(loss: Any, few: int) -> dict[str, np.ndarray]:
        del few
        cell, hidden = net.cell, problem.model.n
        found = {"U": cell.weight_hh_l0, "W": cell.weight_ih_l0, "b": cell.bias_ih_l0, "V": net.readout.weight}
        gradient = {name: value.grad.numpy() for name, value in {**found, "c": net.readout.bias}.items()}
        gradient["d"] = cell.bias_hh_l0.grad.numpy()[2 * hidden :]
        return {"loss": np.array([loss.item()]), "slope": slope(problem.model, gradient)}

    return run, answer


def net_stream(problem: NetworkProblem) -> Any:
    """One call of the layer and the readout for each step."""
    net = Net(problem)
    rows = [torch.tensor(x[None, None]) for x in problem.x[0]]

    def run() -> torch.Tensor:
        state, y = None, torch.empty(0)
        with torch.no_grad():
            for x in rows:
                h, state = net.cell(x, state)
                y = net.readout(h)
        return y

    return run, lambda y, few: {"y": y[:few, 0].numpy()}
