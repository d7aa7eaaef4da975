"""Every cell with every option: forward, gradients, directional derivatives and normal equations of the core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kelman import _core
from tests.rnn.cell_loop import cell_forward, complex_step_jacobian

GATES = {"elman": 1, "gru": 3, "lstm": 4}
CELLS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "elman": ("elman", {"hidden": "tanh"}, ()),
    "elman-A": ("elman", {"hidden": "sigmoid"}, ("A",)),
    "elman-B": ("elman", {"hidden": "softplus"}, ("B",)),
    "elman-AB": ("elman", {"hidden": "tanh"}, ("A", "B")),
    "gru-after": ("gru", {"reset": "after"}, ("d",)),
    "gru-before": ("gru", {"reset": "before"}, ()),
    "lstm": ("lstm", {}, ()),
    "lstm-P": ("lstm", {}, ("P",)),
}
READOUTS = {"V": ("V", "c"), "VD": ("V", "c", "D"), "state": ()}


def make(
    name: str, readout: str = "VD", *, N: int = 5, T: int = 7, sizes: tuple[int, int, int] = (2, 3, 2), seed: int = 0
) -> dict[str, Any]:
    """Arguments of the oracle for a random network of this cell and readout."""
    kind, options, optional = CELLS[name]
    i, h, o = sizes
    rng = np.random.default_rng(seed)
    g = GATES[kind] * h
    shapes = {"U": (g, h), "W": (g, i), "b": (g,), "A": (h, h), "B": (h, i), "d": (h,), "P": (3, h)}
    shapes |= {"V": (o, h), "c": (o,), "D": (o, i)}
    names = ("U", "W", "b", *optional, *READOUTS[readout])
    scale = {"U": 1.0 / np.sqrt(h), "A": 0.4 / np.sqrt(h)}
    w = {key: scale.get(key, 0.7) * rng.normal(size=shapes[key]) for key in names}
    return {
        "kind": kind,
        "w": w,
        "options": options,
        "output": None if readout == "state" else "tanh",
        "x": rng.normal(size=(N, T, i)),
        "h0": 0.5 * rng.normal(size=(N, h)),
        "c0": 0.5 * rng.normal(size=(N, h)) if kind == "lstm" else None,
    }


def native(arguments: dict[str, Any], verb: str, **rest: Any) -> Any:
    """Call the core with the arguments of the oracle."""
    given = {**arguments, "weights": arguments["w"], "lengths": None, "threads": 1, **rest}
    compute = getattr(_core.recurrent(), f"{given.pop('kind')}_{verb}")
    del given["w"]
    return compute(**given)


def arguments_of(a: dict[str, Any]) -> list[str]:
    """Names of all that can be moved."""
    return [*a["w"], "h0", *(["c0"] if a["kind"] == "lstm" else [])]


def close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 1e-9) -> None:
    """Compare gradients by name, relative to the largest entry of all."""
    largest = max(np.abs(value).max() for value in expected.values())
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * largest, err_msg=name)


every_cell = pytest.mark.parametrize("name", CELLS)
every_readout = pytest.mark.parametrize("readout", READOUTS)


@every_cell
@every_readout
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (40, 19)])
def test_forward_equals_the_loop_in_numpy(name: str, readout: str, shape: tuple[int, int]) -> None:
    """Outputs and states of every cell and readout, for one, few and many series."""
    a = make(name, readout, N=shape[0], T=shape[1])
    expected = cell_forward(**a)
    found = native(a, "forward")
    assert (found["status"] == 0).all() and (found["failed_at"] == -1).all()
    assert (found["y"] is None) == (readout == "state")
    assert ("c" in found) == (a["kind"] == "lstm")
    for key in ("y", "h", "c"):
        if found.get(key) is not None:
            np.testing.assert_allclose(
                found[key], expected[key], rtol=0, atol=1e-13 * max(1, np.abs(expected[key]).max())
            )


def random_loss(a: dict[str, Any], seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Targets with gaps, a mask, lengths and a warm-up; and the weight of every number."""
    rng = np.random.default_rng(seed)
    outputs = len(a["w"]["V"]) if "V" in a["w"] else a["h0"].shape[1]
    N, T = a["x"].shape[:2]
    y, mask = rng.normal(size=(N, T, outputs)), rng.random((N, T, outputs))
    y[rng.random(y.shape) < 0.1] = np.nan
    lengths = rng.integers(1, T + 1, N)
    lengths[0] = T
    weight = mask * ~np.isnan(y)
    weight[np.arange(T)[None] >= lengths[:, None]] = 0
    weight[:, :1] = 0
    return {"y": y, "mask": mask, "lengths": lengths, "warmup": 1}, weight


def past_end_is_nan(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Inputs with NaN where a series has ended."""
    return np.where((np.arange(x.shape[1])[None] >= lengths[:, None])[..., None], np.nan, x)


@every_cell
@every_readout
def test_loss_and_gradient_equal_complex_step(name: str, readout: str) -> None:
    """Loss, gradient of every weight and of the starts, with masks, gaps, ragged lengths and a warm-up."""
    a = make(name, readout, seed=1)
    options, weight = random_loss(a, 1)
    error = np.where(weight > 0, cell_forward(**a)["y"] - np.nan_to_num(options["y"]), 0)
    loss, total, found = native({**a, "x": past_end_is_nan(a["x"], options["lengths"])}, "loss_and_grad", **options)
    assert total == pytest.approx(weight.sum(), rel=1e-14)
    assert loss == pytest.approx((weight * error**2).sum() / weight.sum(), rel=1e-13)
    outer = 2 * weight * error / weight.sum()
    expected = {key: np.tensordot(outer, complex_step_jacobian(a, key)["y"], 3) for key in arguments_of(a)}
    close(found, expected)
    assert set(found) == set(expected)


@every_cell
@every_readout
@pytest.mark.parametrize("given", ["y", "h", "c", "all"])
def test_vjp_equals_complex_step(name: str, readout: str, given: str) -> None:
    """Gradients of given combinations of outputs, states and last cell states; ragged; of inputs too."""
    a = make(name, readout, N=4, T=5, seed=2)
    rng = np.random.default_rng(2)
    lengths = np.array([5, 2, 1, 4])
    runs = np.arange(5)[None] < lengths[:, None]
    shape = cell_forward(**a)["y"].shape
    g_y = rng.normal(size=shape) if given in ("y", "all") else None
    g_h = rng.normal(size=(4, 5, 3)) if given in ("h", "all") else None
    g_c = rng.normal(size=(4, 3)) if given in ("c", "all") and a["kind"] == "lstm" else None
    found = native(
        {**a, "x": past_end_is_nan(a["x"], lengths)}, "vjp", lengths=lengths, g_y=g_y, g_h=g_h, g_c=g_c, want_x=True
    )
    expected = {}
    for key in [*arguments_of(a), "x"]:
        J = complex_step_jacobian(a, key)
        value = np.zeros(np.shape(a[key] if key in a else a["w"][key]))
        if g_y is not None:
            value += np.tensordot(g_y * runs[..., None], J["y"], 3)
        if g_h is not None:
            value += np.tensordot(g_h * runs[..., None], J["h"], 3)
        if g_c is not None:
            value += np.tensordot(g_c, J["c"][np.arange(4), lengths - 1], 2)
        expected[key] = value
    if given == "c" and g_c is None:
        assert all((found[key] == 0).all() for key in expected)
        return
    close(found, expected)
    assert (found["x"][~runs] == 0).all()


@every_cell
@every_readout
def test_jvp_equals_complex_step(name: str, readout: str) -> None:
    """Directional derivatives along every argument at once, and along each alone."""
    a = make(name, readout, N=3, T=5, seed=3)
    rng = np.random.default_rng(3)
    names = [*arguments_of(a), "x"]
    tangents = {key: rng.normal(size=np.shape(a[key] if key in a else a["w"][key])) for key in names}
    jacobians = {key: complex_step_jacobian(a, key) for key in names}
    for chosen in [names, *([key] for key in names)]:
        found = native(a, "jvp", tangents={key: tangents[key] for key in chosen})
        for result in ("y", "h", "c"):
            if found.get(result) is None:
                continue
            expected = sum(np.tensordot(jacobians[k][result], tangents[k], tangents[k].ndim) for k in chosen)
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(
                found[result], expected, rtol=0, atol=1e-11 * scale, err_msg=f"{chosen} {result}"
            )


@every_cell
@pytest.mark.parametrize(("N", "T", "hidden"), [(1, 100, 20), (50, 33, 37), (19, 300, 8), (3, 1, 150)])
def test_vjp_and_jvp_are_adjoint(name: str, N: int, T: int, hidden: int) -> None:
    """<g, J v> equals <J' g, v> for random g and v at sizes that fill tiles, panels and chunks, or do not."""
    a = make(name, "VD", N=N, T=T, sizes=(5, hidden, 3), seed=4)
    adjoint(a, 1e-11)


@every_cell
def test_series_longer_than_a_segment_of_tape(name: str) -> None:
    """A tape that is made again in segments gives the gradient of the whole series."""
    a = make(name, "V", N=2, T=60_000, sizes=(1, 6, 1), seed=5)
    adjoint(a, 1e-9)


def adjoint(a: dict[str, Any], tolerance: float) -> None:
    """Compare both sides of the inner product, relative to the sizes of their terms."""
    rng = np.random.default_rng(4)
    names = [*arguments_of(a), "x"]
    v = {key: rng.normal(size=np.shape(a[key] if key in a else a["w"][key])) for key in names}
    dot = native(a, "jvp", tangents=v)
    g_y, g_h = rng.normal(size=dot["y"].shape), rng.normal(size=dot["h"].shape)
    g_c = rng.normal(size=a["c0"].shape) if a["kind"] == "lstm" else None
    back = native(a, "vjp", g_y=g_y, g_h=g_h, g_c=g_c, want_x=True)
    terms = [g_y * dot["y"], g_h * dot["h"]] + ([g_c * dot["c"][:, -1]] if g_c is not None else [])
    other = [back[key] * v[key] for key in names]
    scale = np.sqrt(sum((t**2).sum() for t in terms)) + np.sqrt(sum((t**2).sum() for t in other))
    assert abs(sum(t.sum() for t in terms) - sum(t.sum() for t in other)) < tolerance * scale


@every_cell
@every_readout
@pytest.mark.parametrize("learn", [False, True])
def test_normal_equations_equal_the_explicit_jacobian(name: str, readout: str, learn: bool) -> None:
    """J'WJ and J'We equal those of a Jacobian made by complex step; the start h0 (and c0) may belong to it."""
    a = make(name, readout, seed=6)
    for key in ("h0", "c0"):
        if a[key] is not None:
            a[key] = np.broadcast_to(a[key][0], a[key].shape)
    options, weight = random_loss(a, 6)
    error = np.where(weight > 0, cell_forward(**a)["y"] - np.nan_to_num(options["y"]), 0)
    loss, total, JtJ, Jtr = native(a, "gauss_newton", learn_h0=learn, **options)
    columns = []
    for key in [*a["w"], *(arguments_of(a)[len(a["w"]) :] if learn else [])]:
        J = complex_step_jacobian(a, key)["y"]
        if key in ("h0", "c0"):
            J = J.sum(axis=3)
        columns.append(J.reshape(*J.shape[:3], -1))
    J = np.concatenate(columns, axis=-1)
    expected = np.einsum("ntop,nto,ntoq->pq", J, weight, J) / total
    right = np.einsum("ntop,nto->p", J, weight * error) / total
    assert loss == pytest.approx((weight * error**2).sum() / weight.sum(), rel=1e-13)
    np.testing.assert_allclose(JtJ, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(Jtr, right, rtol=0, atol=1e-12 * np.abs(right).max())
    np.testing.assert_array_equal(JtJ, JtJ.T)


@every_cell
@every_readout
def test_normal_equations_of_every_series_equal_the_explicit_jacobian(name: str, readout: str) -> None:
    """Each series with a start of its own: sums over the weights, the start's rows, the last state and its derivatives."""
    a = make(name, readout, seed=8)
    options, weight = random_loss(a, 8)
    found = native(a, "gauss_newton_each", **options)
    tracks = cell_forward(**a)
    error = np.where(weight > 0, tracks["y"] - np.nan_to_num(options["y"]), 0)
    n, last = np.arange(5), options["lengths"] - 1
    parts = ("h", "c") if name.startswith("lstm") else ("h",)
    J, end_dot = [], []
    for key in arguments_of(a):
        moved = complex_step_jacobian(a, key)
        own = [part[n, ..., n, :] if key in ("h0", "c0") else part for part in moved.values()]
        columns = dict(zip(moved, (part.reshape(*part.shape[:3], -1) for part in own), strict=True))
        J.append(columns["y"])
        end_dot.append(np.concatenate([columns[part][n, last] for part in parts], axis=1))
    Js, dots = np.concatenate(J, axis=-1), np.concatenate(end_dot, axis=-1)
    state = 3 * len(parts)
    P = Js.shape[-1] - state
    square = np.einsum("ntop,nto,ntoq->npq", Js, weight, Js)
    right = np.einsum("ntop,nto->np", Js, weight * error)
    expected = {
        "JtJ": square[:, :P, :P].sum(axis=0), "Jtr": right[:, :P].sum(axis=0), "start": square[:, P:], "right": right[:, P:],
        "end": np.concatenate([tracks[part][n, last] for part in parts], axis=1), "end_dot": dots,
    }  # fmt: skip
    assert found["loss"] == pytest.approx((weight * error**2).sum(), rel=1e-12)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=key)


@every_cell
def test_threads_do_not_change_a_bit(name: str) -> None:
    """All verbs give the same bits for any number of threads."""
    a = make(name, "VD", N=150, T=60, sizes=(3, 11, 2), seed=7)
    y = np.random.default_rng(7).normal(size=(150, 60, 2))
    loss = {"y": y, "mask": None, "warmup": 0}
    calls: dict[str, dict[str, Any]] = {
        "forward": {},
        "loss_and_grad": loss,
        "vjp": {"g_y": y, "g_h": None, "g_c": None, "want_x": True},
        "jvp": {"tangents": {"U": a["w"]["U"], "x": a["x"]}},
        "gauss_newton": {**loss, "learn_h0": False},
        "gauss_newton_each": loss,
    }
    for verb, rest in calls.items():
        one = flat(native(a, verb, threads=1, **rest))
        for threads in (2, 5):
            for first, other in zip(one, flat(native(a, verb, threads=threads, **rest)), strict=True):
                np.testing.assert_array_equal(first, other, err_msg=verb)


def flat(result: Any) -> list[np.ndarray]:
    """All arrays of a result, in order."""
    if isinstance(result, dict):
        return [part for value in result.values() for part in flat(value)]
    if isinstance(result, tuple):
        return [part for value in result for part in flat(value)]
    return [np.asarray(result)]


@every_cell
def test_a_series_does_not_depend_on_its_neighbours(name: str) -> None:
    """Outputs are the same to the bit alone, in a batch, and at another place of it."""
    a = make(name, "VD", N=37, T=12, sizes=(3, 13, 2), seed=8)
    whole = native(a, "forward")["y"]
    for n in (0, 5, 36):
        alone = {
            key: value[n : n + 1] if key in ("x", "h0", "c0") and value is not None else value
            for key, value in a.items()
        }
        np.testing.assert_array_equal(native(alone, "forward")["y"][0], whole[n])


@every_cell
def test_float32_is_close_to_float64(name: str) -> None:
    """In float32, results are float32 and near those of float64."""
    a = make(name, "VD", N=20, T=30, sizes=(3, 9, 2), seed=9)
    narrow = {
        key: {k: v.astype("f4") for k, v in value.items()}
        if key == "w"
        else value.astype("f4")
        if isinstance(value, np.ndarray)
        else value
        for key, value in a.items()
    }
    y = np.random.default_rng(9).normal(size=(20, 30, 2))
    found, expected = native(narrow, "forward"), native(a, "forward")
    assert found["y"].dtype == found["h"].dtype == np.float32
    np.testing.assert_allclose(found["y"], expected["y"], atol=2e-4)
    rest = {"mask": None, "warmup": 0}
    loss, _, gradient = native(narrow, "loss_and_grad", y=y.astype("f4"), **rest)
    wide_loss, _, wide = native(a, "loss_and_grad", y=y, **rest)
    assert loss == pytest.approx(wide_loss, rel=1e-5)
    close({k: v.astype("f8") for k, v in gradient.items()}, wide, 1e-3)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["elman", "gru-after", "lstm"])
@pytest.mark.parametrize("sizes", [(3, 8, 2), (8, 32, 8), (5, 140, 3)])
def test_forward_and_gradient_equal_torch(name: str, sizes: tuple[int, int, int]) -> None:
    """Outputs equal torch.nn.RNN, GRU and LSTM to 1e-12, gradients its autograd to 1e-9 of the largest entry."""
    import torch

    a = make(name, "V", N=20, T=50, sizes=sizes, seed=10)
    w = a["w"]
    hidden = sizes[1]
    kind = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[a["kind"]]
    rnn = kind(sizes[0], hidden, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_hh_l0[:] = torch.tensor(w["U"])
        rnn.weight_ih_l0[:] = torch.tensor(w["W"])
        rnn.bias_ih_l0[:] = torch.tensor(w["b"])
        rnn.bias_hh_l0[:] = 0
        if "d" in w:
            rnn.bias_hh_l0[2 * hidden :] = torch.tensor(w["d"])
    start = torch.tensor(a["h0"][None], requires_grad=True)
    x = torch.tensor(a["x"], requires_grad=True)
    c0 = None if a["c0"] is None else torch.tensor(a["c0"][None], requires_grad=True)
    h = rnn(x, start if c0 is None else (start, c0))[0]
    y = torch.tanh(h @ torch.tensor(w["V"]).T + torch.tensor(w["c"]))
    found = native(a, "forward")
    np.testing.assert_allclose(found["h"], h.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["y"], y.detach().numpy(), rtol=0, atol=1e-12)
    g = np.random.default_rng(10).normal(size=y.shape)
    (y * torch.tensor(g)).sum().backward()
    expected = {"U": rnn.weight_hh_l0.grad, "W": rnn.weight_ih_l0.grad, "b": rnn.bias_ih_l0.grad, "x": x.grad}
    expected |= {"h0": start.grad[0]} | ({} if c0 is None else {"c0": c0.grad[0]})
    if "d" in w:
        expected["d"] = rnn.bias_hh_l0.grad[2 * hidden :]
    back = native(a, "vjp", g_y=g, g_h=None, g_c=None, want_x=True)
    close(back, {key: value.numpy() for key, value in expected.items()})


@every_cell
def test_overflow_is_reported_with_series_and_step(name: str) -> None:
    """A series whose input overflows is named with its first bad step; the others stay as they are."""
    a = make(name, "V", N=20, T=40, seed=11)
    x = a["x"].copy()
    expected = native(a, "forward")
    x[3, 25] = np.nan
    found = native({**a, "x": x}, "forward")
    assert found["status"].nonzero()[0].tolist() == [3] and found["failed_at"][3] == 25
    keep = np.arange(20) != 3
    np.testing.assert_array_equal(found["y"][keep], expected["y"][keep])


@every_cell
@every_readout
@pytest.mark.parametrize("N", [1, 7, 40])
def test_one_step_at_a_time_gives_the_bits_of_one_pass(name: str, readout: str, N: int) -> None:
    """The stepper's outputs and states are those of the forward pass; it can begin again, and reports what is not finite."""
    a = make(name, readout, N=N, T=6, sizes=(2, 9, 3), seed=12)
    whole = native(a, "forward")
    given = {"weights": a["w"], "options": a["options"], "output": a["output"]}
    stepper = _core.recurrent().NetworkStepper(a["kind"], **given, h0=a["h0"], c0=a["c0"])
    y = np.empty((N, 9 if readout == "state" else 3))
    for _ in range(2):
        for k in range(6):
            assert stepper.step(np.ascontiguousarray(a["x"][:, k]), y) == 0
            np.testing.assert_array_equal(y, (whole["h"] if readout == "state" else whole["y"])[:, k])
        state = stepper.state()
        for key in state:
            np.testing.assert_array_equal(state[key], whole[key][:, -1])
        assert ("c" in state) == (a["kind"] == "lstm")
        stepper.restart(a["h0"], a["c0"])
    before = stepper.state()
    assert stepper.step(np.full((N, 2), np.nan)) == 1
    np.testing.assert_array_equal(stepper.state()["h"], before["h"])


def test_a_stepper_refuses_what_does_not_fit() -> None:
    """Shapes, types and shared memory of single steps."""
    a = make("gru-after", "V", N=3, sizes=(2, 4, 2))
    given = {"kind": "gru", "weights": a["w"], "options": a["options"], "output": "tanh", "h0": a["h0"]}
    make_stepper = _core.recurrent().NetworkStepper
    stepper = make_stepper(**given)
    both = np.zeros((3, 2))
    for x, y in (
        (np.zeros(2), None),
        (np.zeros((2, 2)), None),
        (np.zeros((3, 2), "f4"), None),
        (np.zeros((3, 2)), np.zeros((3, 3))),
        (both, both),
    ):
        with pytest.raises((TypeError, ValueError)):
            stepper.step(x, y)
    for change in ({"kind": "rnn"}, {"h0": np.zeros((0, 4))}, {"h0": np.zeros((3, 5))}, {"c0": np.zeros((3, 4))}):
        with pytest.raises((TypeError, ValueError)):
            make_stepper(**{**given, **change})


def test_what_does_not_fit_is_refused() -> None:
    """Shapes, words, missing weights and second states of cells that have none."""
    lstm, gru, elman = make("lstm"), make("gru-after"), make("elman-AB")
    ok = {"g_y": None, "g_h": None, "g_c": None, "want_x": False}
    for a, change in (
        (lstm, {"c0": np.zeros((4, 3))}),
        (lstm, {"w": {**lstm["w"], "P": np.zeros((4, 3))}}),
        (lstm, {"w": {**lstm["w"], "U": np.zeros((3, 3))}}),
        (gru, {"c0": np.zeros((5, 3))}),
        (gru, {"options": {"reset": "never"}}),
        (gru, {"options": {}}),
        (gru, {"w": {k: v for k, v in gru["w"].items() if k != "d"}}),
        (elman, {"w": {**elman["w"], "A": np.zeros((2, 2))}}),
        (elman, {"output": None}),
    ):
        with pytest.raises((TypeError, ValueError, KeyError)):
            native({**a, **change}, "vjp", **ok)
    for change in ({"g_c": np.zeros((5, 3))}, {"g_y": np.zeros((5, 7, 3))}, {"g_h": np.zeros((5, 7))}):
        with pytest.raises((TypeError, ValueError)):
            native(gru, "vjp", **{**ok, **change})
    with pytest.raises(ValueError, match="U"):
        native(gru, "jvp", tangents={"U": np.zeros((3, 3))})
