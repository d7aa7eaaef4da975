"""torch.nn.RNN, GRU and LSTM with a linear readout, gradients by autograd."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from benchmarks.networks import BATCH, EPOCHS, RATE, NetworkProblem, slope, training_answer

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

    def weights(self, part: Any) -> dict[str, np.ndarray]:
        """Return a part of every weight (its values, its gradient) by the names of the problem."""
        cell, readout = self.cell, self.readout
        found = {
            "U": cell.weight_hh_l0,
            "W": cell.weight_ih_l0,
            "b": cell.bias_ih_l0,
            "V": readout.weight,
            "c": readout.bias,
        }
        if isinstance(cell, torch.nn.GRU):
            found["d"] = cell.bias_hh_l0
        arrays = {name: part(value).detach().numpy() for name, value in found.items()}
        return arrays | ({"d": arrays["d"][2 * cell.hidden_size :]} if "d" in arrays else {})


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
        gradient = net.weights(lambda value: value.grad)
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


def net_train(problem: NetworkProblem) -> Any:
    """Epochs of Adam on shuffled batches; the cell's second bias, which the others have not got, stays zero."""
    problem = problem.standardised()
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)

    def run() -> Net:
        net = Net(problem)
        net.cell.bias_hh_l0.requires_grad_(False)
        adam = torch.optim.Adam([w for w in net.parameters() if w.requires_grad], lr=RATE)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(problem.N).split(BATCH):
                adam.zero_grad()
                ((net(x[chosen]) - y[chosen]) ** 2).mean().backward()
                adam.step()
        return net

    def answer(net: Any, few: int) -> dict[str, np.ndarray]:
        del few
        return training_answer(problem, net.weights(lambda value: value))

    return run, answer
