"""What is refused at the door, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import KelmanError
from kelman.rnn import gauss_newton, pack, unpack
from tests.rnn.networks import data, network

NET = network(0)
X, Y = data(0, 3, 6)

WRONG_X = {
    "a scalar": (3.0, "x: expected shape"),
    "four axes": (np.zeros((1, 3, 6, 2)), "x: expected shape"),
    "one axis for two inputs": (np.zeros(6), r"x: expected shape \(T, i\)"),
    "too many columns": (np.zeros((3, 6, 4)), "x: expected i = 2 columns"),
    "time on the last axis": (np.zeros((3, 2, 6)), "time seems to be on the last axis"),
    "no series": (np.zeros((0, 6, 2)), "at least one series"),
    "no steps": (np.zeros((3, 0, 2)), "at least one series and one step"),
    "an empty series": (np.zeros((0, 2)), "at least one step"),
    "nan": (np.full((3, 6, 2), np.nan), "x: a network needs every input; got nan in series 0, step 0, column 0"),
    "infinity": (np.full((3, 6, 2), np.inf), "got inf"),
    "complex": (X + 0j, "x: expected real numbers"),
    "longdouble": (X.astype(np.longdouble), "longdouble"),
    "strings": (X.astype(str), "text"),
    "objects": (X.astype(object), "Python objects"),
    "dates": (X.astype("M8[s]"), "dates"),
    "None": (None, "None"),
    "a ragged nest": ([[1.0, 2.0], [1.0]], "x"),
    "an empty list": ([], "x"),
    "a list with a wrong series": ([X[0], X[1][:, :1]], r"x\[1\]: expected i = 2 columns"),
    "a list with an empty series": ([X[0], X[1][:0]], r"x\[1\]: expected at least one step"),
    "a dictionary": ({"x": 1}, "x: expected an array"),
}

VERBS: dict[str, Any] = {
    "forward": lambda x, **k: kelman.forward(NET, x, **k),
    "loss_and_grad": lambda x, y=Y, **k: kelman.loss_and_grad(NET, x, y, **k),
    "gauss_newton": lambda x, y=Y, **k: gauss_newton(NET, x, y, **k),
    "train": lambda x, y=Y, **k: kelman.train(NET, x, y, **k),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", WRONG_X)
def test_wrong_inputs_are_refused_by_name(verb: str, case: str) -> None:
    """Every verb on sequences refuses what is not finite real numbers of the network's shape, naming x."""
    value, words = WRONG_X[case]
    with pytest.raises(KelmanError, match=words):
        VERBS[verb](value)


WRONG_Y = {
    "other length": (Y[:, :5], "y: expected the series and steps of x"),
    "other batch": (Y[:2], "y: expected the series and steps of x"),
    "one series": (Y[0], "y: expected the series and steps of x"),
    "too many columns": (np.zeros((3, 6, 3)), "y: expected o = 2 columns"),
    "infinity": (np.where(np.arange(2) == 0, np.inf, Y), "y: infinite value"),
    "all missing": (np.full_like(Y, np.nan), "nothing is left to count"),
    "complex": (Y + 0j, "y: expected real numbers"),
    "objects": (Y.astype(object), "y: expected real numbers"),
    "None": (None, "y: expected an array"),
}


@pytest.mark.parametrize("verb", ["loss_and_grad", "gauss_newton", "train"])
@pytest.mark.parametrize("case", WRONG_Y)
def test_wrong_targets_are_refused_by_name(verb: str, case: str) -> None:
    """Every verb with targets refuses those that do not go with x, naming y."""
    value, words = WRONG_Y[case]
    with pytest.raises(KelmanError, match=words):
        VERBS[verb](X, value)


WRONG_OPTIONS = {
    "mask of another shape": ({"mask": np.ones((3, 5))}, "mask: expected shape"),
    "negative mask": ({"mask": -np.ones((3, 6))}, "mask: expected finite weights"),
    "nan in mask": ({"mask": np.full((3, 6), np.nan)}, "mask: expected finite weights"),
    "mask of zeros": ({"mask": np.zeros((3, 6))}, "nothing is left to count"),
    "mask of strings": ({"mask": np.full((3, 6), "a")}, "mask"),
    "too few lengths": ({"lengths": [6, 6]}, "lengths: expected 3 whole numbers"),
    "too long": ({"lengths": [6, 7, 6]}, "lengths: expected numbers from 1 to 6"),
    "zero length": ({"lengths": [6, 0, 6]}, "lengths: expected numbers from 1 to 6"),
    "fractional lengths": ({"lengths": [6.0, 5.0, 6.0]}, "lengths: expected 3 whole numbers"),
    "negative warmup": ({"warmup": -1}, "warmup: expected a whole number"),
    "fractional warmup": ({"warmup": 1.5}, "warmup: expected a whole number"),
    "warmup beyond the end": ({"warmup": 6}, "warmup"),
    "no threads": ({"threads": 0}, "threads: expected a positive whole number"),
    "unknown backend": ({"backend": "jax"}, "backend: expected one of"),
}


@pytest.mark.parametrize("verb", ["loss_and_grad", "gauss_newton", "train"])
@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_wrong_options_are_refused_by_name(verb: str, case: str) -> None:
    """Masks, lengths, warm-ups, threads and backends are checked, and the message names the argument."""
    options, words = WRONG_OPTIONS[case]
    with pytest.raises(KelmanError, match=words):
        VERBS[verb](X, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "ignore"}, "on_error: expected one of"),
        ({"threads": -1}, "threads"),
        ({"threads": True}, "threads"),
        ({"backend": "jax"}, "backend"),
        ({"lengths": [1]}, "lengths"),
    ],
)
def test_wrong_options_of_forward_are_refused(options: dict[str, Any], words: str) -> None:
    """Forward checks its options too."""
    with pytest.raises(KelmanError, match=words):
        kelman.forward(NET, X, **options)


def test_lists_that_do_not_match_are_refused() -> None:
    """Lists of series must go together: lengths of y, of masks, and no second word on lengths."""
    xs, ys = [X[0], X[1, :4]], [Y[0], Y[1, :4]]
    for options, words in (
        ({"y": [Y[0], Y[1]]}, r"y\[1\]: expected 4 steps"),
        ({"y": ys[:1]}, "y: expected the series and steps"),
        ({"y": np.stack(Y[:2])}, "y: expected the series and steps"),
        ({"y": ys, "lengths": [6, 4]}, "lengths: a list of series has its own"),
        ({"y": ys, "mask": np.ones((2, 6))}, "mask: expected a list"),
        ({"y": ys, "mask": [np.ones(6), np.ones(5)]}, "mask: expected as many steps"),
        ({"y": ys, "mask": [np.ones(6), np.ones((4, 2))]}, "mask: expected the same number of columns"),
        ({"y": ys, "mask": [np.ones(6), np.array([1, 1, np.nan, 1])]}, "mask: expected finite weights"),
    ):
        with pytest.raises(KelmanError, match=words):
            kelman.loss_and_grad(NET, xs, **options)
    assert np.isfinite(kelman.loss_and_grad(NET, xs, ys, mask=[np.ones(6, bool), np.ones(4, bool)])[0])


def test_models_of_another_kind_are_refused() -> None:
    """The first argument must be an Elman network, and the message says what came."""
    for verb in (kelman.forward, kelman.loss_and_grad, gauss_newton):
        arguments = (X,) if verb is kelman.forward else (X, Y)
        for wrong in (None, "net", np.eye(2), 3):
            with pytest.raises(KelmanError, match="rnn: expected an Elman"):
                verb(wrong, *arguments)


def test_start_for_other_series_is_refused() -> None:
    """h0 for four series cannot drive three."""
    with pytest.raises(KelmanError, match=r"rnn.h0: holds starts for 4 series, but x has 3"):
        kelman.forward(network(0, start=4), X)


def test_vectors_of_wrong_size_are_refused() -> None:
    """unpack needs exactly the numbers that pack writes; the round trip is exact."""
    with pytest.raises(KelmanError, match=r"vector: expected shape \(26,\)"):
        unpack(NET, np.zeros(25))
    with pytest.raises(KelmanError, match=r"rnn\.h0"):
        pack(network(0, start=4), learn_h0=True)
    again = unpack(NET, pack(NET, learn_h0=True), learn_h0=True)
    for name in ("U", "W", "b", "V", "c"):
        np.testing.assert_array_equal(getattr(again, name), getattr(NET, name))
    assert (again.h0 == 0).all()


def test_well_meant_forms_are_taken() -> None:
    """Integers, booleans, lists of numbers, other byte orders, float16 and masked targets give the right answer."""
    net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None)
    x, y = np.array([1, 0, 1, 1]), np.array([0.5, 1, 2, 3])
    expected, gradient = kelman.loss_and_grad(net, x.astype(float), y)
    for form in (x, x.astype(bool), x.tolist(), tuple(x.tolist()), x.astype(">f8"), x[:, None], x.astype("i1")):
        assert kelman.loss_and_grad(net, form, y)[0] == expected
    assert kelman.loss_and_grad(net, x, y.astype("f2"))[0] == pytest.approx(expected)
    hidden = np.ma.masked_array(y, [0, 1, 0, 0])
    gap = kelman.loss_and_grad(net, x, np.where([0, 1, 0, 0], np.nan, y))[0]
    assert kelman.loss_and_grad(net, x, hidden)[0] == gap != expected
    assert gradient.U.shape == (1, 1) and "ElmanGradient" in repr(gradient)


def test_the_boundary_checks_memory_itself() -> None:
    """The core refuses arrays of wrong type, shape or layout that Python let through, and never reads beyond them."""
    from kelman import _core

    weights = {name: np.array(getattr(NET, name)) for name in ("U", "W", "b", "V", "c")}
    good = {"weights": weights, "options": {"hidden": "tanh"}, "output": "identity", "h0": np.zeros((3, 3)), "x": X}
    good |= {"c0": None, "lengths": None, "threads": 1}
    _core.elman_forward(**good)
    for change in (
        {"x": X[:, :, :1]},
        {"x": X[0]},
        {"x": X.astype("f4")},
        {"x": X.tolist()},
        {"x": np.asfortranarray(X)},
        {"x": np.zeros((3, 6, 2), dtype=int)},
        {"h0": np.zeros((2, 3))},
        {"h0": np.zeros(3)},
        {"lengths": np.array([1, 2])},
        {"lengths": np.array([1, 2, 9])},
        {"lengths": np.array([1.0, 2.0, 3.0])},
        {"options": {"hidden": "cosine"}},
        {"options": {}},
        {"c0": np.zeros((3, 3))},
        {"output": None},
        {"weights": {**weights, "U": np.zeros((3, 2))}},
        {"weights": {**weights, "b": np.zeros(2)}},
        {"weights": {**weights, "V": np.zeros((2, 2))}},
        {"weights": {name: weights[name] for name in ("U", "W", "b")}},
        {"weights": {**weights, "D": np.zeros((2, 3))}},
    ):
        with pytest.raises((TypeError, ValueError, KeyError)):
            _core.elman_forward(**{**good, **change})


def test_what_lies_past_the_end_is_not_looked_at() -> None:
    """Infinities there are nobody's business, and complete targets there do not count."""
    ends = np.array([3, 2, 1])
    past = (np.arange(6) >= ends[:, None])[:, :, None]
    expected = kelman.loss_and_grad(NET, X, Y, lengths=ends)[0]
    assert kelman.loss_and_grad(NET, np.where(past, np.nan, X), np.where(past, np.inf, Y), lengths=ends)[0] == expected
    with pytest.raises(KelmanError, match="nothing is left to count"):
        kelman.loss_and_grad(NET, X, Y, lengths=ends, warmup=3)
