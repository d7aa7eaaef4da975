"""Default training reaches the loss of fifty epochs of Adam in PyTorch in a tenth of the time."""

from __future__ import annotations

import time

import numpy as np

import kelman
from acceptance._bed import series
from acceptance._check import Check, Row, Verdict, at_least, column, failures
from kelman.identify import Step

SERIES, STEPS, UNITS = 1_000, 200, 8
EPOCHS, BATCH, RATE = 50, 32, 1e-3


def adam_of_torch(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float]:
    """Seconds and final loss of torch.nn.RNN with a linear readout, float32, one thread."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rnn, readout = torch.nn.RNN(1, UNITS, batch_first=True), torch.nn.Linear(UNITS, 1)
    optimiser = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], RATE)
    inputs, targets = (torch.tensor(values, dtype=torch.float32) for values in (x, y))
    begin = time.perf_counter()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(SERIES).split(BATCH):
            optimiser.zero_grad()
            loss = ((readout(rnn(inputs[chosen])[0]) - targets[chosen]) ** 2).mean()
            loss.backward()
            optimiser.step()
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        return seconds, float(((readout(rnn(inputs)[0]) - targets) ** 2).mean())


def run(seed: int) -> Row:
    """Times of both on the same series: of PyTorch for all epochs, of kelman until its loss on all data is as low."""
    z = series(seed, SERIES * (STEPS + 1)).reshape(SERIES, STEPS + 1, 1)
    x, y = z[:, :-1], z[:, 1:]
    theirs, wanted = adam_of_torch(x, y, seed)
    reached: list[float] = []

    def watch(step: Step) -> None:
        if step.phase == "lm" and step.loss * y.var() <= wanted:
            reached.append(step.seconds)

    begin = time.perf_counter()
    result = kelman.train(UNITS, x, y, rng=seed, warmup=0, threads=1, progress=watch)
    whole = time.perf_counter() - begin
    return {
        "torch": theirs,
        "kelman": reached[0] if reached else float("inf"),
        "kelman_whole": whole,
        "ratio": theirs / reached[0] if reached else 0.0,
        "loss_torch": wanted,
        "loss_kelman": result.loss,
    }


def judge(rows: list[Row], full: bool) -> list[Verdict]:
    """Ten times faster in the median; seven times where only a few seeds ran, for a busy machine disturbs one run."""
    return [
        at_least("trainings that worked", len(rows) - failures(rows), len(rows)),
        at_least(
            "median ratio of times",
            np.median([0 if np.isinf(v) else v for v in column(rows, "ratio")]),
            10 if full else 7,
        ),
    ]


CHECK = Check(
    "training_speed",
    "tanh networks of 8 units on 1,000 series of 200 steps: ten times faster than 50 epochs of Adam in PyTorch to its loss, 5 seeds",
    range(5),
    ("python/kelman/identify", "python/kelman/rnn", "cpp/kelman/rnn"),
    run,
    judge,
    spot=0,  # a time on a busy machine judges nothing
)
