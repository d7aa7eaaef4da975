"""Training of stacks and bidirectional networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kelman
from kelman._registry import backend
from kelman.errors import KelmanError
from kelman.identify import Step
from kelman.identify._train_composed import ComposedObjective, arrays_of, random_network, scaled
from kelman.identify._train_scaling import Scaling
from kelman.rnn import pack
from kelman.rnn._problem import loss_problem
from tests.identify.bed import series


def elman(i: int, n: int, o: int | None = None, hidden: Any = "tanh", **more: Any) -> kelman.Elman:
    """An Elman network of zeros, without a readout unless `o` is given."""
    V = None if o is None else np.zeros((o, n))
    return kelman.Elman(np.zeros((n, n)), np.zeros((n, i)), None, V, None, hidden, **more)


def gru(i: int, n: int, o: int | None = None) -> kelman.GRU:
    """A GRU network of zeros."""
    return kelman.GRU(np.zeros((3 * n, n)), np.zeros((3 * n, i)), None, None if o is None else np.zeros((o, n)), None)


def lstm(i: int, n: int, o: int | None = None) -> kelman.LSTM:
    """An LSTM network of zeros."""
    return kelman.LSTM(np.zeros((4 * n, n)), np.zeros((4 * n, i)), None, None if o is None else np.zeros((o, n)), None)


NETWORKS: dict[str, Any] = {
    "two layers": kelman.Stack([elman(2, 3), gru(3, 2, 2)]),
    "three layers, readout with a direct term": kelman.Stack(
        [lstm(2, 2), elman(2, 3, hidden="softplus"), elman(3, 2, 2, D=np.zeros((2, 3)))]
    ),
    "one layer": kelman.Stack([elman(2, 3, 2, D=np.zeros((2, 2)))]),
    "skip paths": kelman.Stack([elman(2, 3, A=np.zeros((3, 3)), B=np.zeros((3, 2))), elman(3, 2, 2)]),
    "both ways": kelman.Bidirectional(gru(2, 2), gru(2, 3), np.zeros((2, 5)), None, D=np.zeros((2, 2))),
    "both ways below": kelman.Stack([kelman.Bidirectional(lstm(2, 2), lstm(2, 1)), elman(3, 2, 2)]),
    "both ways above": kelman.Stack([elman(2, 3), kelman.Bidirectional(elman(3, 2), elman(3, 1), np.zeros((2, 3)), None)]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("learn_h0", [False, True])
def test_the_vector_has_its_gradient(name: str, learn_h0: bool) -> None:
    """Loss and gradient over the vector of all cells: central differences, ragged series with a warm-up and gaps in y."""
    rng = np.random.default_rng(0)
    net = random_network(NETWORKS[name], rng, learn_h0)
    x, y = rng.normal(size=(3, 12, 2)), rng.normal(size=(3, 12, 2))
    y[1, 5] = np.nan
    problem, _ = loss_problem(net, x, y, lengths=[12, 9, 4], warmup=2)
    objective = ComposedObjective(net, problem, backend("rnn", "core"), 1, learn_h0, 0.999)
    theta = pack(net, learn_h0=learn_h0)
    assert sum(int(np.prod(shape)) for shape in arrays_of(net, learn_h0).values()) == theta.size
    np.testing.assert_array_equal(np.concatenate([v.ravel() for v in objective.weights(theta).values()]), theta)
    loss, gradient = objective.gradient(theta)
    expected = kelman.loss_and_grad(objective.network(theta), x, y, lengths=[12, 9, 4], warmup=2)[0]
    assert loss == pytest.approx(expected, rel=1e-14)
    for k in range(theta.size):
        step = 1e-5 * np.eye(theta.size)[k]
        slope = (objective.gradient(theta + step)[0] - objective.gradient(theta - step)[0]) / 2e-5
        assert abs(slope - gradient[k]) <= 1e-7 * max(1, np.abs(gradient).max()), k


@pytest.mark.parametrize("name", NETWORKS)
def test_scaling_is_folded_back_exactly(name: str) -> None:
    """Outputs in the user's units are those of the scaled network on scaled data, and the way there and back is none."""
    rng = np.random.default_rng(1)
    net = random_network(NETWORKS[name], rng, learn_h0=False)
    movable = "skip" not in name
    scaling = Scaling(
        movable * rng.normal(size=2), rng.uniform(0.5, 2, 2), rng.normal(size=2), np.array([[1.5, 0], [0.3, 2]])
    )
    x = rng.normal(size=(20, 2))
    wanted = kelman.forward(net, x).y
    inside = scaled(net, scaling, "into")
    found = kelman.forward(inside, (x - scaling.x_mean) / scaling.x_std).y @ scaling.L.T + scaling.y_mean
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(pack(scaled(inside, scaling, "out_of")), pack(net), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["auto", "adam"])
def test_a_bidirectional_network_learns_what_comes(method: Any) -> None:
    """White noise of the next step: nothing that reads forward alone predicts it, one that reads both ways does."""
    x = np.random.default_rng(2).normal(size=3_000)
    y = np.append(x[1:], np.nan)
    both = kelman.Bidirectional(elman(1, 2), elman(1, 2), np.zeros((1, 4)), None)
    result = kelman.train(both, x, y, method=method, learning_rate=2e-2)
    assert result.method == ("lm" if method == "auto" else "adam")
    assert result.loss < 0.02
    assert kelman.train(4, x, y, max_iterations=20).loss > 0.9


def test_a_stack_learns_what_its_layers_alone_cannot() -> None:
    """A cascade of two leaky integrators: two layers of one linear unit find it, one unit does not."""
    one = kelman.Elman([[0.8]], [[1.0]], None, None, None, "identity")
    truth = kelman.Stack([one, kelman.Elman([[-0.5]], [[0.7]], None, [[2.0]], None, "identity")])
    x = np.random.default_rng(3).normal(size=2_000)
    y = kelman.forward(truth, x).y
    like = kelman.Stack([elman(1, 1, hidden="identity"), elman(1, 1, 1, hidden="identity")])
    for method in ("auto", "lbfgs"):
        result = kelman.train(like, x, y, warmup=30, starts=3, method=method)
        assert result.loss < 1e-8 * y.var() and result.radius < 0.9
    assert kelman.train(1, x, y, hidden="identity", warmup=30).loss > 1e-2 * y.var()


def test_adam_takes_the_steps_of_pytorch() -> None:
    """Twenty updates of a stack of two layers equal those of torch.optim.Adam on torch.nn.RNN, to 1e-9."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 1))
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)
    net = random_network(kelman.Stack([elman(2, 3), elman(3, 3, 1)]), rng, learn_h0=False)
    module = torch.nn.RNN(2, 3, num_layers=2, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(3, 1, dtype=torch.float64)
    with torch.no_grad():
        for k, layer in enumerate(net.layers):
            for word, value in (
                ("weight_hh", layer.U),
                ("weight_ih", layer.W),
                ("bias_ih", layer.b),
                ("bias_hh", 0 * layer.b),
            ):
                getattr(module, f"{word}_l{k}").copy_(torch.from_numpy(np.array(value)))
            getattr(module, f"bias_hh_l{k}").requires_grad_(False)
        head.weight.copy_(torch.from_numpy(np.array(net.layers[1].V)))
        head.bias.copy_(torch.from_numpy(np.array(net.layers[1].c)))
    free = [p for p in (*module.parameters(), *head.parameters()) if p.requires_grad]
    optimiser = torch.optim.Adam(free, lr=1e-3)
    for _ in range(20):
        optimiser.zero_grad()
        ((head(module(torch.from_numpy(x)[None])[0])[0] - torch.from_numpy(y)) ** 2).mean().backward()
        optimiser.step()
    result = kelman.train(
        net, x, y, method="adam", warmup=0, window=60, validation=0, max_iterations=20, learning_rate=1e-3, schedule="constant",
        clip=np.inf,
    )  # fmt: skip
    for k, layer in enumerate(result.rnn.layers):
        np.testing.assert_allclose(layer.U, getattr(module, f"weight_hh_l{k}").detach().numpy(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(layer.b, getattr(module, f"bias_ih_l{k}").detach().numpy(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.rnn.layers[1].V, head.weight.detach().numpy(), rtol=0, atol=1e-9)


RECIPES: dict[str, dict[str, Any]] = {
    "lm": {"max_iterations": 6, "starts": 2},
    "lbfgs": {"method": "lbfgs", "max_iterations": 12, "starts": 2},
    "adam": {"method": "adam", "max_iterations": 8, "window": 50, "schedule": "onecycle", "l2": 1e-3},
    "learnt start": {"max_iterations": 8, "learn_h0": True, "warmup": 0},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["two", "both"])
def test_training_goes_on_to_the_bit(recipe: str, name: str, tmp_path: Path) -> None:
    """Interrupted by Ctrl-C and taken up again from its file, a training ends as if nothing had happened."""
    z, file = series(60, 900), tmp_path / "training.npz"
    two = kelman.Stack([elman(1, 2), gru(2, 2, 1)])
    net = two if name == "two" else kelman.Bidirectional(gru(1, 2), gru(1, 2), np.zeros((1, 4)), None)
    whole = kelman.train(net, z[:-1], z[1:], **RECIPES[recipe])
    told: list[Step] = []

    def interrupt(step: Step) -> None:
        told.append(step)
        if len(told) == 7:
            raise KeyboardInterrupt

    cut = kelman.train(net, z[:-1], z[1:], **RECIPES[recipe], checkpoint=file, progress=interrupt)
    assert cut.interrupted and not cut.converged and np.isfinite(cut.loss) and file.exists()
    on = kelman.train(net, z[:-1], z[1:], **RECIPES[recipe], checkpoint=file)
    np.testing.assert_array_equal(pack(on.rnn, learn_h0=True), pack(whole.rnn, learn_h0=True))
    assert (on.loss, on.message, len(on.history)) == (whole.loss, whole.message, len(whole.history))
    other = kelman.train(net, z[:-1], z[1:], **RECIPES[recipe], rng=1)
    assert (pack(other.rnn) != pack(whole.rnn)).any()
    with pytest.raises(KelmanError, match="belongs to another training"):
        kelman.train(whole.rnn, z[:-1], z[1:], **RECIPES[recipe], checkpoint=file)


def test_a_given_network_is_gone_on_from() -> None:
    """Weights that are given are the start: the loss does not rise; early stopping and words work as for one cell."""
    z = series(61, 1_200)
    net = kelman.Stack([elman(1, 2), elman(2, 2, 1)])
    first = kelman.train(net, z[:-1], z[1:], max_iterations=5, inputs=("z",), target="z_next", warmup=60)
    assert (first.rnn.inputs, first.rnn.target, first.trials[0].kind) == (("z",), "z_next", "random")
    second = kelman.train(first.rnn, z[:-1], z[1:], max_iterations=5, warmup=60)
    assert second.loss < first.loss and second.trials[0].kind == "given" and second.rnn.inputs == ("z",)
    stopped = kelman.train(
        net, z[:-1], z[1:], method="adam", window=40, patience=2, learning_rate=0.05, max_iterations=200
    )
    assert stopped.converged and "held-out" in stopped.message
    assert all(np.isfinite(step.validation) for step in stopped.history if step.iteration == 0)


def test_the_loss_of_the_last_step_and_frozen_offsets() -> None:
    """steps="last" trains on one target per series; without offsets all b and c stay zero."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 12, 1))
    net = kelman.Stack([elman(1, 3), elman(3, 3, 1)])
    result = kelman.train(net, x, x.sum(axis=1), steps="last", offsets=False)
    assert result.loss < 0.05 * x.sum(axis=1).var()
    assert not any(layer.b.any() for layer in result.rnn.layers) and not result.rnn.layers[1].c.any()


def test_linear_layers_are_held_stable() -> None:
    """A wild rate does not bring a linear layer of a stack above the limit, and the best weights are kept."""
    z = np.cumsum(np.random.default_rng(6).normal(size=800))
    net = kelman.Stack([elman(1, 2, hidden="identity"), elman(2, 2, 1)])
    for options in ({"method": "adam", "learning_rate": 0.5, "max_iterations": 20}, {"max_iterations": 30}):
        result = kelman.train(net, z[:-1], z[1:], **options)
        assert result.radius <= 0.999 and result.loss < z.var()


def test_several_outputs_are_whitened() -> None:
    """Two outputs with dependent errors are weighted by the covariance of the residuals, as of one cell."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(1_500, 1))
    noise = rng.normal(size=(1_500, 2)) @ np.array([[1.0, 0.95], [0.0, 0.3]])
    y = np.tanh(x) * [1.0, 2.0] + noise
    result = kelman.train(kelman.Stack([elman(1, 2), elman(2, 2, 2)]), x, y, max_iterations=60)
    plain = kelman.train(kelman.Stack([elman(1, 2), elman(2, 2, 2)]), x, y, max_iterations=60, whiten=False)
    assert (pack(result.rnn) != pack(plain.rnn)).any()
    assert result.loss == pytest.approx(plain.loss, rel=0.02)


def test_levenberg_marquardt_goes_deeper_than_lbfgs() -> None:
    """Two layers whose own data they meet to the noise: LM gets there, L-BFGS is still above it after 500 iterations."""
    rng = np.random.default_rng(0)

    def orthogonal(gain: float) -> np.ndarray:
        return gain * np.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])

    x = rng.normal(size=(20, 200, 1))
    below = kelman.Elman(orthogonal(0.6), rng.normal(size=(3, 1)), None, None, None)
    truth = kelman.Stack(
        [below, kelman.Elman(orthogonal(0.5), rng.normal(size=(3, 3)), None, rng.normal(size=(1, 3)), None)]
    )
    y = kelman.forward(truth, x).y
    noise = 0.05 * y.std()
    y = y + noise * rng.normal(size=y.shape)
    like = kelman.Stack([elman(1, 3), elman(3, 3, 1)])
    one, two = (kelman.train(like, x, y, method=m, starts=1) for m in ("lm", "lbfgs"))
    assert one.loss < 1.1 * noise**2 and one.loss < two.loss


def test_the_method_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """LM for few weights; L-BFGS for many and for very long series; what was asked for in any case."""
    monkeypatch.setattr("kelman.identify._train_settings.LM_COMPOSED", (200, 2**15))
    z = series(63, 80)
    small, large = kelman.Stack([elman(1, 2), elman(2, 2, 1)]), kelman.Stack([elman(1, 10), elman(10, 10, 1)])
    long = np.random.default_rng(0).normal(size=2_000)
    found = [
        kelman.train(net, x, x, max_iterations=1, **options)
        for net, x, options in (
            (small, z, {}),
            (large, z, {}),
            (small, long, {"warmup": 0}),
            (large, z, {"method": "lm"}),
        )
    ]
    assert [result.method for result in found] == ["lm", "lbfgs", "lbfgs", "lm"]
    words = ("at most 200", "more than 200", "fill the memory", "asked for")
    assert all(word in result.why for word, result in zip(words, found, strict=True))


@pytest.mark.torch
def test_pytorch_trains_stacks_by_lbfgs() -> None:
    """The reference's dense derivatives are not for training: the method is L-BFGS, and says why."""
    z, net = series(63, 80), kelman.Stack([elman(1, 2), elman(2, 2, 1)])
    found = kelman.train(net, z, z, max_iterations=1, backend="torch")
    assert found.method == "lbfgs" and "compiled core only" in found.why


REFUSED = {
    "subspace": ({"start": "subspace"}, "start: only a network of one cell"),
    "grow": ({"start": "grow"}, "start: only a network of one cell"),
    "lasso": ({"group_lasso": 1.0}, "group_lasso: only a network of one cell"),
    "segment": ({"segment": 20}, "segment: only a network of one cell"),
    "shrinkage": ({"shrinkage": 1.0}, "shrinkage: only a network of one cell"),
    "carry": ({"method": "adam", "carry": True}, "carry: only a network of one cell"),
    "l2": ({"l2": {"0.Q": 1.0}}, "l2: no weights '0.Q'; there are 0.U, 0.W"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_has_not_got_is_refused_by_name(case: str) -> None:
    """Options that need one cell say so."""
    options, message = REFUSED[case]
    z = series(62, 200)
    with pytest.raises(KelmanError, match=message):
        kelman.train(kelman.Stack([elman(1, 2), elman(2, 2, 1)]), z[:-1], z[1:], **options)
