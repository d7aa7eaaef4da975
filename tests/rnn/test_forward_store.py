"""What `forward` keeps, and where it writes it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError, NonFiniteError, NotKeptError
from tests.rnn.cells import CELLS, COMPOSED
from tests.rnn.networks import data

pytestmark = pytest.mark.torch
LENGTHS = [5, 1, 7]
NETWORKS: dict[str, Any] = {**CELLS, **COMPOSED, **{f"{k} alone": v for k, v in CELLS.items()}}


def made(kind: str, **options: Any) -> Any:
    """One of the networks."""
    return NETWORKS[kind](1, **(options | {"read": False} if kind.endswith(" alone") else options))


@pytest.mark.parametrize("backend", ["core", "torch"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_outputs_alone_are_those_with_states(kind: str, backend: Any) -> None:
    """The same bits for a batch, one series and ragged ones; what was not kept is refused by name."""
    net, x = made(kind), data(1, 3, 40)[0]
    for given, ends in ((x, None), (x[0], None), (x, LENGTHS), ([x[0], x[1, :9], x[2, :17]], None)):
        whole = kelman.forward(net, given, lengths=ends, backend=backend)
        alone = kelman.forward(net, given, lengths=ends, store="outputs", backend=backend)
        np.testing.assert_array_equal(alone.y, whole.y)
        np.testing.assert_array_equal(alone.status, whole.status)
        assert (alone.store, whole.store) == ("outputs", "all")
        assert " h (" in repr(whole) and " h (" not in repr(alone)
    for name in ("h", "c", "layers"):
        with pytest.raises(NotKeptError, match=f"{name}: not kept by store='outputs'; kept by 'all'"):
            getattr(alone, name)
        assert not hasattr(alone[0], name)
    np.testing.assert_array_equal(alone[1].y, whole[1].y)
    again = pickle.loads(pickle.dumps(alone))
    np.testing.assert_array_equal(again.y, alone.y)
    assert not hasattr(again, "h")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("store", ["outputs", "all"])
@pytest.mark.parametrize("backend", ["core", "torch"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_an_earlier_result_may_be_written_to(kind: str, backend: Any, store: Any, dtype: str) -> None:
    """With `out=` of a cell the arrays are those of the earlier result, and the numbers those without it."""
    net, (x, other) = made(kind).astype(dtype), (data(seed, 3, 40)[0].astype(dtype) for seed in (1, 2))
    names = ("y",) if store == "outputs" else ("y", "h", "c")
    for pick in (slice(None), 0):
        first = kelman.forward(net, other[pick], store=store, backend=backend)
        fresh = kelman.forward(net, x[pick], store=store, backend=backend)
        again = kelman.forward(net, x[pick], store=store, backend=backend, out=first)
        for name in names:
            if getattr(fresh, name) is None:
                continue
            np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name))
            if kind not in COMPOSED:
                assert np.shares_memory(getattr(again, name), getattr(first, name))


def test_a_result_that_does_not_fit_is_refused() -> None:
    """`out=` of another store, shape, dtype or type, and memory that is read by the same call."""
    net, x = CELLS["lstm"](1), data(1, 3, 20)[0]
    out = kelman.forward(net, x)
    with pytest.raises(KelmanError, match="out: was made with store='all', but this call has store='outputs'"):
        kelman.forward(net, x, store="outputs", out=out)
    with pytest.raises(KelmanError, match=r"out: its y has shape \(3, 20, 2\), but this call needs \(3, 9, 2\)"):
        kelman.forward(net, x[:, :9], out=out)
    with pytest.raises(KelmanError, match="out: its y has shape"):
        kelman.forward(net, x[0], out=out)
    with pytest.raises(KelmanError, match="out: its h has shape"):
        kelman.forward(CELLS["lstm"](1, h=4), x, out=out)
    with pytest.raises(KelmanError, match="out: its y has dtype float64, but this call needs float32"):
        kelman.forward(net.astype("f4"), x.astype("f4"), out=out)
    with pytest.raises(KelmanError, match="out: expected a ForwardResult, got dict"):
        kelman.forward(net, x, out={})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="y: output shares memory with input x"):
        kelman.forward(net, out.y, out=out)
    with pytest.raises(KelmanError, match=r"store: .*outputs.*all"):
        kelman.forward(net, x, store="means")  # type: ignore[arg-type]


@pytest.mark.parametrize("store", ["outputs", "all"])
@pytest.mark.parametrize("backend", ["core", "torch"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", NETWORKS)
def test_inputs_that_are_not_finite_are_refused_with_their_place(
    kind: str, bad: float, backend: Any, store: Any
) -> None:
    """The first in order of the array is named, also where an activation would swallow it, whatever `on_error` says."""
    net = made(kind)
    x = data(1, 20, 40)[0]
    x[17, 33, 1] = x[18, 0, 0] = bad
    for on_error in ("raise", "nan"):
        with pytest.raises(KelmanError, match=f"every input; got {bad} in series 17, step 33, column 1"):
            kelman.forward(net, x, on_error=on_error, store=store, backend=backend)  # type: ignore[arg-type]
    ends = np.full(20, 40)
    ends[17], ends[18] = 33, 20
    with pytest.raises(KelmanError, match=f"got {bad} in series 18, step 0, column 0"):
        kelman.forward(net, x, lengths=ends, store=store, backend=backend)
    x[18, 0, 0] = 0.0
    assert np.isfinite(kelman.forward(net, x, lengths=ends, store=store, backend=backend)[17].y).all()


@pytest.mark.parametrize("output", ["identity", "tanh"])
@pytest.mark.parametrize("store", ["outputs", "all"])
def test_an_overflow_is_noticed_without_states_too(store: Any, output: Any) -> None:
    """Also where the activation of the output would hide that the state is infinite."""
    net = kelman.Elman([[2.0]], [[1.0]], None, [[1.0]], None, hidden="identity", output=output)
    x = np.zeros((3, 1200, 1))
    x[1, 0] = 1.0
    with pytest.raises(NonFiniteError, match="1 of 3 series, first in series 1 at step 1024") as caught:
        kelman.forward(net, x, store=store)
    y = caught.value.result.y
    assert np.isfinite(y[1, :1024]).all() and np.isnan(y[1, 1024:]).all() and np.isfinite(y[[0, 2]]).all()


def test_a_state_that_no_output_weighs_still_speaks() -> None:
    """A unit that overflows is noticed though its weight in the output is zero."""
    net = kelman.Elman([[2.0, 0.0], [0.0, 0.5]], [[1.0], [1.0]], None, [[0.0, 1.0]], None, hidden="relu")
    x = np.zeros((1, 1200, 1))
    x[0, 0] = 1.0
    result = kelman.forward(net, x, on_error="nan", store="outputs")
    assert (
        result.status.tolist() == [3] and np.isfinite(result.y[0, :1024]).all() and np.isnan(result.y[0, 1024:]).all()
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", CELLS)
def test_states_that_are_not_kept_change_nothing_in_large_networks(kind: str, dtype: str) -> None:
    """There they are overwritten on the way: the same bits, the same failures with their steps."""
    net = CELLS[kind](3, h=70).astype(dtype)
    x = data(3, 40, 50)[0].astype(dtype)
    ends = np.random.default_rng(3).integers(1, 51, 40)
    for given in (net, net.replace(output="tanh"), net.replace(V=None, c=None, D=None)):
        for lengths in (None, ends):
            whole = kelman.forward(given, x, lengths=lengths)
            np.testing.assert_array_equal(kelman.forward(given, x, lengths=lengths, store="outputs").y, whole.y)
        big = float(np.finfo(dtype).max)
        for output in ("identity", "tanh"):
            if given.V is None:
                continue
            V = np.full(given.V.shape, big, dtype)
            failing = given.replace(V=V, output=output)
            one, two = (kelman.forward(failing, x, on_error="nan", store=store) for store in ("outputs", "all"))
            np.testing.assert_array_equal(one.status, two.status)
            np.testing.assert_array_equal(one.y, two.y)
    x[31, 44, 1] = np.nan
    with pytest.raises(KelmanError, match="got nan in series 31, step 44, column 1"):
        kelman.forward(net, x, store="outputs")


def test_an_overflow_in_a_large_network_is_noticed_without_states() -> None:
    """Its step is the one at which the state overflows, whatever the output makes of it."""
    h, x = 70, np.zeros((40, 1200, 1))
    x[1, 0] = 1.0
    for output in ("identity", "tanh"):
        net = kelman.Elman(2 * np.eye(h), np.ones((h, 1)), None, np.eye(h)[:1], None, hidden="relu", output=output)  # type: ignore[arg-type]
        with pytest.raises(NonFiniteError, match="1 of 40 series, first in series 1 at step 1024"):
            kelman.forward(net, x, store="outputs")
