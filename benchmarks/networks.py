"""The rows of recurrent networks: their problems, the textbook answer, and the workloads. Knows nothing of kelman."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
GATES = {"elman": 1, "gru": 3, "lstm": 4}
WEIGHTS = ("U", "W", "b", "d", "V", "c")
TASKS = ("net_forward", "net_gradient", "net_stream", "net_train")
EPOCHS, BATCH, RATE = 50, 64, 3e-3  # of Adam, with the constants of its paper


@dataclass(frozen=True)
class Network:
    """Weights of a network with a linear readout: gates stacked by rows in PyTorch's order, tanh and sigmoid."""

    kind: str
    weights: dict[str, Array]

    @property
    def n(self) -> int:
        """Number of hidden units."""
        return int(self.weights["U"].shape[1])

    @property
    def m(self) -> int:
        """Number of inputs."""
        return int(self.weights["W"].shape[1])


@dataclass(frozen=True)
class NetworkProblem:
    """A network, inputs x (N, T, i) and targets y (N, T, o), all of one dtype; nothing is missing."""

    model: Network
    x: Array
    y: Array
    gaps: str = "none"

    @property
    def N(self) -> int:
        """Number of series."""
        return int(self.x.shape[0])

    @property
    def T(self) -> int:
        """Length of each series."""
        return int(self.x.shape[1])

    @property
    def tolerance(self) -> float:
        """How far apart two right answers may be."""
        return 1e-3 if self.x.dtype == np.float32 else 1e-9

    def head(self, N: int, T: int | None = None) -> NetworkProblem:
        """Return the first N series, and the first T steps of them."""
        return replace(self, x=self.x[:N, :T], y=self.y[:N, :T])

    def standardised(self) -> NetworkProblem:
        """Return the problem with columns of mean 0 and variance 1, as training wants them."""
        x, y = ((v - v.mean(axis=(0, 1))) / v.std(axis=(0, 1)) for v in (self.x, self.y))
        return replace(self, x=x, y=y)

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder."""
        np.savez(folder / "network.npz", kind=self.model.kind, x=self.x, y=self.y, **self.model.weights)

    @classmethod
    def load(cls, folder: Path, gaps: str) -> NetworkProblem:
        """Read what `save` wrote."""
        with np.load(folder / "network.npz") as data:
            weights = {name: data[name] for name in WEIGHTS if name in data}
            return cls(Network(str(data["kind"]), weights), data["x"], data["y"], gaps)


def make(kind: str, sizes: tuple[int, int, int], N: int, T: int, dtype: str, seed: int = 1) -> NetworkProblem:
    """Draw a network of (inputs, hidden units, outputs) and N series of length T."""
    rng = np.random.default_rng(seed)
    i, h, o = sizes
    g = GATES[kind] * h
    shapes = {"U": (g, h), "W": (g, i), "b": (g,), "V": (o, h), "c": (o,)} | ({"d": (h,)} if kind == "gru" else {})
    weights = {k: (rng.normal(size=s) / (np.sqrt(h) if k in "UV" else 2)).astype(dtype) for k, s in shapes.items()}
    x, y = rng.normal(size=(N, T, i)).astype(dtype), rng.normal(size=(N, T, o)).astype(dtype)
    return NetworkProblem(Network(kind, weights), x, y)


def _sigmoid(s: Array) -> Array:
    return 1 / (1 + np.exp(-s))


def states(model: Network, x: Array) -> Array:
    """Return the states h (N, T, h) as a textbook computes them; weights and inputs may be complex."""
    w, n = model.weights, model.n
    h = c = np.zeros((len(x), n), np.result_type(x, *w.values()))
    found = []
    for k in range(x.shape[1]):
        s = x[:, k] @ w["W"].T + w["b"]
        if model.kind == "elman":
            h = np.tanh(s + h @ w["U"].T)
        elif model.kind == "gru":
            u = h @ w["U"].T
            r, z = _sigmoid(s[:, :n] + u[:, :n]), _sigmoid(s[:, n : 2 * n] + u[:, n : 2 * n])
            h = (1 - z) * np.tanh(s[:, 2 * n :] + r * (u[:, 2 * n :] + w["d"])) + z * h
        else:
            i, f, g, o = np.split(s + h @ w["U"].T, 4, axis=1)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.stack(found, axis=1)


def outputs(model: Network, x: Array) -> Array:
    """Return y (N, T, o)."""
    result: Array = states(model, x) @ model.weights["V"].T + model.weights["c"]
    return result


def mean_loss(model: Network, problem: NetworkProblem) -> Any:
    """Return the mean squared error."""
    error = outputs(model, problem.x) - problem.y
    return (error * error).mean()


def taught(problem: NetworkProblem) -> NetworkProblem:
    """Return the problem with targets that can be learnt: the outputs of another network, with noise."""
    i, n, o = problem.model.m, problem.model.n, problem.y.shape[2]
    teacher = make(problem.model.kind, (i, n, o), 1, 1, str(problem.x.dtype), seed=2).model
    y = outputs(teacher, problem.x)
    return replace(problem, y=y + 0.5 * y.std() * problem.y)


def trained(model: Network, problem: NetworkProblem) -> Network:
    """Return the network after Adam's epochs where all series are one batch; gradients by complex steps."""
    if problem.N > BATCH:
        raise ValueError("the order of batches would count")
    names = [name for name in WEIGHTS if name in model.weights]
    ends = np.cumsum([model.weights[name].size for name in names])[:-1]

    def at(flat: Array) -> Network:
        parts = np.split(flat, ends)
        shaped = {name: part.reshape(model.weights[name].shape) for name, part in zip(names, parts, strict=True)}
        return Network(model.kind, shaped)

    theta = np.concatenate([model.weights[name].ravel() for name in names])
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for count in range(1, EPOCHS + 1):
        steps = 1e-20j * np.eye(len(theta))
        gradient = np.array([mean_loss(at(theta + step), problem).imag / 1e-20 for step in steps])
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        theta = theta - RATE * mean / (1 - 0.9**count) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
    return at(theta)


def training_answer(problem: NetworkProblem, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return what is compared of a trained network: its loss on all data, and its weights along one direction."""
    model = Network(problem.model.kind, {name: np.asarray(value, "f8") for name, value in weights.items()})
    return {"loss": np.array([mean_loss(model, problem)]), "weights": slope(model, model.weights)}


def reference(task: str, problem: NetworkProblem) -> dict[str, Array]:
    """Return the textbook answer in float64: outputs, or loss and its slope along one direction of all weights."""
    wide = {name: value.astype("f8") for name, value in problem.model.weights.items()}
    problem = replace(
        problem, model=Network(problem.model.kind, wide), x=problem.x.astype("f8"), y=problem.y.astype("f8")
    )
    if task == "net_train":
        problem = problem.standardised()
        return training_answer(problem, trained(problem.model, problem).weights)
    if task != "net_gradient":
        y = outputs(problem.model, problem.x)
        return {"y": y} if task == "net_forward" else {"y": y[:, -1]}
    along = direction(problem.model)
    moved = Network(problem.model.kind, {name: value + 1e-20j * along[name] for name, value in wide.items()})
    loss = mean_loss(moved, problem)
    return {"loss": np.array([loss.real]), "slope": np.array([loss.imag / 1e-20])}


def direction(model: Network) -> dict[str, Array]:
    """Return the direction in which the derivative is compared."""
    rng = np.random.default_rng(7)
    return {name: rng.standard_normal(model.weights[name].shape) for name in WEIGHTS if name in model.weights}


def slope(model: Network, gradient: Mapping[str, Array]) -> Array:
    """Return the derivative along that direction, which a gradient predicts."""
    along = direction(model)
    return np.array([sum(float(np.sum(np.asarray(gradient[name], "f8") * along[name])) for name in along)])


@dataclass(frozen=True)
class NetworkWorkload:
    """One row; the attributes that it shares with `benchmarks.workloads.Workload` mean the same."""

    name: str
    what: str
    task: str
    kind: str
    sizes: tuple[int, int, int]
    N: int
    T: int
    quick: tuple[int, int]
    goals: Mapping[str, float]
    dtype: str = "float64"
    unit: str = "ms"
    checked: tuple[int, int] = (10, 50)
    shared: bool = False
    per_series: bool = False
    by_hand: bool = False

    def problem(self, quick: bool) -> NetworkProblem:
        """Return the network and the data."""
        N, T = self.quick if quick else (self.N, self.T)
        problem = make(self.kind, self.sizes, N, T, self.dtype)
        return taught(problem) if self.task == "net_train" else problem

    def scale(self, problem: NetworkProblem) -> float:
        """Return what seconds are multiplied by to give the unit."""
        return 1e3 if self.unit == "ms" else 1e9 / (problem.N * problem.T)

    def activations(self) -> dict[str, int]:
        """Return how many numbers of one series-step each activation is taken of; its slope costs next to nothing."""
        h, times = self.sizes[1], EPOCHS if self.task == "net_train" else 1
        per_unit = {"elman": {"tanh": 1}, "gru": {"sigmoid": 2, "tanh": 1}, "lstm": {"sigmoid": 3, "tanh": 2}}[
            self.kind
        ]
        return {word: count * h * times for word, count in per_unit.items()}

    def flops(self) -> float:
        """Return multiplications and additions of one series-step, as if of float64: float32 takes half the time."""
        i, h, o = self.sizes
        forward = 2 * (GATES[self.kind] * h * (h + i) + h * o)
        both = {"net_gradient": 3, "net_train": 3 * EPOCHS}.get(self.task, 1)
        return both * forward / (2 if self.dtype == "float32" else 1)


SIZES: dict[str, tuple[tuple[int, int, int], int, int, tuple[int, int], dict[str, float], dict[str, float]]] = {
    "1": ((8, 32, 8), 64, 100, (64, 20), {"forward": 2}, {"gradient": 3}),
    "2": ((8, 256, 8), 128, 100, (128, 5), {"forward": 1.4}, {"gradient": 1.4}),
    "3": ((2, 8, 2), 1024, 200, (1024, 20), {"forward": 8}, {"gradient": 10}),
}
NAMES = {"elman": "R", "gru": "G", "lstm": "L"}
GATED = 1.5  # times as fast as the best peer


def _rows() -> list[NetworkWorkload]:
    rows = []
    for kind, letter in NAMES.items():
        for number, (sizes, N, T, quick, forward, gradient) in SIZES.items():
            for dtype, suffix in (("float64", ""), ("float32", "f")):
                for task, end, goals in (("net_forward", "", forward), ("net_gradient", "b", gradient)):
                    verb = "outputs" if task == "net_forward" else "loss and gradient"
                    aim = goals if kind == "elman" else dict.fromkeys(goals, GATED)
                    rows.append(
                        NetworkWorkload(
                            f"{letter}{number}{end}{suffix}",
                            f"{kind} {'-'.join(map(str, sizes))}, {dtype}, {verb}",
                            task,
                            kind,
                            sizes,
                            N,
                            T,
                            quick,
                            aim,
                            dtype,
                        )
                    )
    for kind, letter in NAMES.items():
        rows.append(
            NetworkWorkload(
                f"{letter}4",
                f"{kind} 8-32-8 online: one call for each step of one series",
                "net_stream",
                kind,
                (8, 32, 8),
                1,
                5000,
                (1, 1000),
                {"stepper": 10} if kind == "elman" else {},
                unit="ns",
                checked=(1, 100),
            )
        )
    rows.append(
        NetworkWorkload(
            "R5",
            f"elman 2-8-2, training: {EPOCHS} epochs of Adam on batches of {BATCH}",
            "net_train",
            "elman",
            (2, 8, 2),
            1000,
            200,
            (1000, 40),
            {"adam": 5},
            checked=(BATCH, 20),
        )
    )
    return rows


NETWORKS = tuple(_rows())
