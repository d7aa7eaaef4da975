"""Drop-in replacements of PyTorch's recurrent modules, networks as modules, and the ways of the weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from tests.cell_oracle import network_forward
from tests.rnn.cells import CELLS, COMPOSED, elman, gru, lstm
from tests.rnn.networks import data

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from kelman.torch import from_torch, modules, to_torch

KINDS: dict[str, dict[str, Any]] = {
    "RNN": {},
    "RNN, relu": {"nonlinearity": "relu"},
    "GRU": {},
    "LSTM": {},
    "GRU, deep": {"num_layers": 3, "bidirectional": True},
    "LSTM, deep": {"num_layers": 2, "bidirectional": True, "bias": False},
    "RNN, deep": {"num_layers": 2, "bidirectional": True},
}


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """Ours and theirs with the same weights, in double precision."""
    torch.manual_seed(1)
    name = kind.partition(",")[0]
    arguments = {"dtype": torch.float64} | KINDS[kind] | options
    theirs = getattr(torch.nn, name)(2, 3, **arguments)
    ours = getattr(modules, name)(2, 3, **arguments)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def starts(kind: str, module: Any, N: int | None) -> Any:
    """Random starts of all layers and directions."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    shape = (count, 3) if N is None else (count, N, 3)
    one = torch.randn(*shape, dtype=torch.float64)
    return (one, torch.randn(*shape, dtype=torch.float64)) if kind.startswith("LSTM") else one


def flat(result: Any) -> list[Any]:
    """All tensors of a result."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [tensor for part in result if part is not None for tensor in flat(part)]


def same(one: Any, two: Any) -> None:
    """Equal results to 1e-12."""
    for a, b in zip(flat(one), flat(two), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_results_and_gradients_are_those_of_torch_nn(kind: str, batch_first: bool) -> None:
    """Outputs, last states, with and without starts, of batches and of one series; gradients by inputs and parameters."""
    ours, theirs = pair(kind, batch_first=batch_first)
    torch.manual_seed(2)
    x = torch.randn(4, 6, 2, dtype=torch.float64, requires_grad=True)
    same(ours(x), theirs(x))
    N = 4 if batch_first else 6
    hx = starts(kind, ours, N)
    same(ours(x, hx), theirs(x, hx))
    single = starts(kind, ours, None)
    same(ours(x[0], single), theirs(x[0], single))
    same(ours(x[0]), theirs(x[0]))
    found = []
    for module in (ours, theirs):
        total = sum((part * torch.linspace(-1, 1, part.numel(), dtype=torch.float64).view_as(part)).sum()
                    for part in flat(module(x, hx)))  # fmt: skip
        found.append(torch.autograd.grad(total, [x, *module.parameters()]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_are_taken_and_given_back(kind: str, sort: bool) -> None:
    """Lengths sorted or not: the same packed data, order and last states as torch.nn."""
    ours, theirs = pair(kind)
    lengths = [6, 5, 5, 1] if sort else [5, 1, 6, 5]
    x = torch.randn(6, 4, 2, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=sort)
    hx = starts(kind, ours, 4)
    for arguments in ((packed,), (packed, hx)):
        (one, last), (two, other) = ours(*arguments), theirs(*arguments)
        same((one.data, last), (two.data, other))
        assert torch.equal(one.batch_sizes, two.batch_sizes)
        for a, b in ((one.sorted_indices, two.sorted_indices), (one.unsorted_indices, two.unsorted_indices)):
            assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_state_dicts_go_both_ways(kind: str) -> None:
    """The same keys and shapes; each loads the other's."""
    ours, theirs = pair(kind)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(0.5)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, 2, dtype=torch.float64)
    same(ours(x), theirs(x))
    same(copy.deepcopy(ours)(x), ours(x))
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["GRU, deep", "LSTM, deep", "RNN, deep"])
def test_dropout_is_that_of_torch_nn(kind: str, batch_first: bool) -> None:
    """From the same seed the same draws, between layers and in training only, of tensors and of packed sequences."""
    ours, theirs = pair(kind, dropout=0.4, batch_first=batch_first)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.randn(6, 4, 2, dtype=torch.float64), [2, 6, 5, 2], enforce_sorted=False
    )
    for training in (True, False):
        results = []
        for module in (ours.train(training), theirs.train(training)):
            torch.manual_seed(5)
            one = module(x)
            two = module(x)
            assert torch.equal(one[0], two[0]) is not training
            results.append((one, two, module(packed)[0].data, *torch.autograd.grad(one[0].square().sum(), x)))
        same(*results)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "LSTM, deep"])
def test_gradients_by_starts_and_of_packed_sequences(kind: str, bias: bool) -> None:
    """By hx, by the data of a packed batch, and by parameters, with and without biases."""
    ours, theirs = pair(kind, bias=bias)
    data = torch.randn(6, 3, 2, dtype=torch.float64, requires_grad=True)
    found, hx = [], [part.requires_grad_() for part in flat(starts(kind, ours, 3))]
    for module in (ours, theirs):
        packed = torch.nn.utils.rnn.pack_padded_sequence(data, [4, 6, 1], enforce_sorted=False)
        out, last = module(packed, tuple(hx) if kind.startswith("LSTM") else hx[0])
        total = sum((part * torch.linspace(-1, 1, part.numel(), dtype=torch.float64).view_as(part)).sum()
                    for part in (out.data, *flat(last)))  # fmt: skip
        found.append(torch.autograd.grad(total, [data, *hx, *module.parameters()]))
    same(*found)


@pytest.mark.parametrize("kind", KINDS)
def test_modules_live_as_pytorchs_do(kind: str) -> None:
    """Pickled, copied, cast, frozen, without gradients, in inference mode, called by names, on strided tensors."""
    ours, theirs = pair(kind)
    x = torch.randn(6, 4, 4, dtype=torch.float64)[..., ::2]
    expected = theirs(x)
    for module in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), ours):
        assert type(module) is type(ours)
        same(module(x), expected)
        same(module(input=x, hx=None), expected)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            got = ours(x)
            same(got, expected)
            assert not got[0].requires_grad
    ours.requires_grad_(False)
    assert not ours(x)[0].requires_grad
    narrow = copy.deepcopy(ours).float()
    assert narrow(x.float())[0].dtype == torch.float32
    np.testing.assert_allclose(narrow(x.float())[0], expected[0].detach(), atol=1e-5)
    assert modules.GRU(2, 3, device="cpu", dtype=torch.float64).weight_ih_l0.dtype == torch.float64


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_wrong_calls_end_as_those_of_torch_nn(kind: str) -> None:
    """The same errors; and clear ones where PyTorch has an AttributeError or none."""
    ours, theirs = pair(kind)
    x = torch.randn(6, 4, 2, dtype=torch.float64)
    wrong_starts = [starts(kind, ours, 5), starts(kind, ours, None)]
    calls = [(x, start) for start in wrong_starts] + [(x[:, 0], starts(kind, ours, 1))]
    calls += [(one,) for one in (x[..., :1], x[None], x[0, 0], x.float(), x[:0])]
    for arguments in calls:
        raised = []
        for module in (ours, theirs):
            with pytest.raises((RuntimeError, ValueError)) as caught:
                module(*arguments)
            raised.append((caught.type, str(caught.value)))
        assert raised[0] == raised[1]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [6, 4, 4, 1])
    with pytest.raises(
        RuntimeError, match=r"Expected hidden size \(1, 4, 3\) for the packed sequences, got \(1, 5, 3\)"
    ):
        ours(packed, wrong_starts[0])
    if kind != "LSTM":
        with pytest.raises(TypeError, match=f"hx: expected one tensor for {kind}, got a tuple"):
            ours(x, (wrong_starts[0],))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_what_the_kernels_do_not_have_pytorch_computes() -> None:
    """Projections, other precisions and devices; and PyTorch's own errors for wrong inputs."""
    torch.manual_seed(1)
    theirs, ours = torch.nn.LSTM(2, 4, proj_size=3), modules.LSTM(2, 4, proj_size=3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 3, 2)
    assert torch.equal(ours(x)[0], theirs(x)[0])
    assert modules.GRU(2, 3, device="meta")(torch.zeros(5, 3, 2, device="meta"))[0].shape == (5, 3, 3)
    for wrong in (torch.zeros(5, 3, 4), torch.zeros(5, 3, 2, dtype=torch.float64)):
        with pytest.raises((RuntimeError, ValueError)):
            modules.GRU(2, 3)(wrong)
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        modules.GRU(2, 3)(x, torch.zeros(1, 4, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_from_torch_and_back_compute_the_same(kind: str) -> None:
    """A module becomes a network with a readout; without it the network becomes a module again."""
    _, theirs = pair(kind, batch_first=True)
    x = torch.randn(3, 5, 2, dtype=torch.float64)
    read = torch.nn.Linear(6 if theirs.bidirectional else 3, 2, dtype=torch.float64)
    net = from_torch(theirs, V=read)
    expected = read(theirs(x)[0]).detach().numpy()
    np.testing.assert_allclose(kelman.forward(net, x.numpy(), backend="torch").y, expected, rtol=0, atol=1e-12)
    bare = from_torch(theirs)
    for kernels in (False, True):
        again = to_torch(bare, kernels=kernels)
        assert type(again) is getattr(modules if kernels else torch.nn, kind.partition(",")[0])
        same(again(x), theirs(x))
    assert from_torch(theirs.to(torch.float32)).dtype == np.float32


def test_what_pytorch_cannot_hold_is_refused_with_the_reason() -> None:
    """to_torch names what is in the way; from_torch names what came."""
    for net, why in (
        (gru(1), "a readout"),
        (elman(1, read=False, skip="A"), "a skip path or peepholes"),
        (lstm(1, read=False, peepholes=True), "a skip path or peepholes"),
        (gru(1, read=False, reset="before"), 'reset="before"'),
        (elman(1, read=False, hidden="softplus"), "hidden='softplus'"),
        (gru(1, read=False, start="shared"), "starts of its own"),
        (kelman.Stack([gru(1, read=False), lstm(1, i=3, read=False)]), "layers of different kinds"),
    ):
        with pytest.raises(kelman.errors.KelmanError, match=f"the network has {why}"):
            to_torch(net)
    for module in (torch.nn.Linear(2, 3), torch.nn.LSTM(2, 4, proj_size=3), 3):
        with pytest.raises(kelman.errors.KelmanError, match=r"module: expected a torch\.nn\.RNN, GRU or LSTM"):
            from_torch(module)


@pytest.mark.parametrize("lengths", [None, [4, 1, 5]])
@pytest.mark.parametrize("kind", [*CELLS, *COMPOSED])
def test_any_network_is_a_module(kind: str, lengths: Any) -> None:
    """Outputs as the verb's, gradients as loss_and_grad's, and the value comes back."""
    net = CELLS[kind](3, direct=True, start="shared") if kind in CELLS else COMPOSED[kind](3)
    module = modules.Network(net, learn_starts=True)
    x, y = data(3, 3, 5, 2, net.dims.outputs)
    out = module(torch.tensor(x), lengths)
    expected, _ = network_forward(net, x, lengths)
    inside = np.arange(5)[None] < np.array(lengths or [5] * 3)[:, None]
    np.testing.assert_allclose(out.detach().numpy()[inside], expected[inside], rtol=0, atol=1e-12)
    assert not out.detach().numpy()[~inside].any()
    loss = (out - torch.tensor(y))[torch.tensor(inside)].square().mean()
    loss.backward()
    value, g = kelman.loss_and_grad(net, x, y, lengths=lengths, backend="torch")
    assert float(loss.detach()) == pytest.approx(value, rel=1e-12)
    for name, parameter in module.named_parameters():
        record: Any = g
        *path, last = name.split(".")
        for step in path:
            record = record[int(step)] if step.isdigit() else getattr(record, step.rstrip("_"))
        np.testing.assert_allclose(parameter.grad.numpy(), getattr(record, last), rtol=0, atol=1e-11)
    again = module.value()
    assert repr(again) == repr(net)
    np.testing.assert_array_equal(kelman.rnn.pack(again), kelman.rnn.pack(net))
    assert repr(from_torch(module)) == repr(net) and repr(net) in repr(module)
    if lengths is None:
        np.testing.assert_allclose(module(torch.tensor(x[1])).detach().numpy(), expected[1], rtol=0, atol=1e-12)


def test_a_module_is_trained_by_pytorch() -> None:
    """Adam lowers the loss of a GRU with a readout, and starts learn only if asked to."""
    net = gru(4, start="shared")
    x, _ = data(4, 8, 20)
    y = kelman.forward(gru(5), x, backend="torch").y
    module = modules.Network(net)
    assert "h0" not in dict(module.named_parameters()) and "h0" in module.state_dict()
    adam = torch.optim.Adam(module.parameters(), 0.02)
    losses = []
    for _ in range(60):
        adam.zero_grad()
        loss = (module(torch.tensor(x)) - torch.tensor(y)).square().mean()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    trained = module.value()
    np.testing.assert_array_equal(trained.h0, net.h0)
    assert np.mean((kelman.forward(trained, x, backend="torch").y - y) ** 2) < losses[0]
