"""Wrong arguments of every linear verb: the error names the argument, or the answer is right; never a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kelman
from kelman.errors import BackendError, KelmanError, ModelTypeError
from tests.linear.cases import data, inputs, model

VERBS: dict[str, Callable[..., Any]] = {
    "filter": kelman.filter,
    "loglik": kelman.loglik,
    "loglik_and_grad": lambda *args, **options: kelman.loglik_and_grad(*args, **options)[0],
    "smooth": kelman.smooth,
    "forecast": lambda m, z, u=None, **options: kelman.forecast(
        m, z, 2, u, None if u is None else np.zeros((2, m.dims.p)), **options
    ),
}
every_verb = pytest.mark.parametrize("verb", VERBS)

WRONG_Z: dict[str, tuple[Any, str]] = {
    "none": (lambda _: None, "z: expected an array of numbers, got None"),
    "text": (lambda _: "data.csv", "z: expected an array of numbers, got the text 'data.csv'"),
    "texts": (lambda z: z.astype(str), "z: expected real numbers .* got text"),
    "bytes": (lambda _: b"123", "z: expected an array of numbers, got a bytes"),
    "dictionary": (lambda z: {"z": z}, "z: expected an array of numbers, got a dict"),
    "set": (lambda _: {1.0, 2.0}, "z: expected an array of numbers, got a set"),
    "function": (lambda _: np.mean, "z: expected real numbers .*Python objects"),
    "generator": (lambda z: (x for x in z), "z: expected real numbers .*Python objects"),
    "complex": (lambda z: z + 0j, "z: expected real numbers .* got complex128"),
    "longdouble": (
        lambda z: z.astype(np.longdouble),
        r"z: expected real numbers .*longdouble.*astype\(numpy.float64\)",
    ),
    "object": (lambda z: z.astype(object), "z: expected real numbers .*Python objects"),
    "object with None": (lambda z: np.where(np.isnan(z), None, z), "nan for what is missing"),
    "dates": (lambda z: np.zeros(z.shape, "datetime64[D]"), "z: expected real numbers .*dates"),
    "records": (lambda _: np.zeros(4, [("a", "f8")]), "z: expected real numbers .*dtype"),
    "a number": (lambda _: 3.0, r"z: expected shape \(T, 2\).*a single number is not a series"),
    "one axis": (lambda z: z[0, :, 0], r"z: expected shape \(T, 2\) or \(N, T, 2\), got \(25,\).*m = 2"),
    "four axes": (lambda z: z[None], r"z: expected shape .* got \(1, 4, 25, 2\)"),
    "time last": (lambda z: z[0].T, r"got \(2, 25\); time seems to be on the wrong axis: pass z\.T"),
    "time last, many": (lambda z: z.transpose(0, 2, 1), r"pass z\.transpose\(0, 2, 1\)"),
    "values first": (lambda z: z.transpose(2, 0, 1), "values seem to be on the first axis"),
    "too many values": (lambda _: np.zeros((25, 3)), r"got \(25, 3\)"),
    "no steps": (lambda _: np.zeros((0, 2)), r"z: holds no measurement \(shape \(0, 2\)\)"),
    "no series": (lambda _: np.zeros((0, 5, 2)), "z: holds no measurement"),
    "no steps of some series": (lambda _: np.zeros((3, 0, 2)), "z: holds no measurement"),
    "no values": (lambda _: np.zeros((5, 0)), r"z: expected shape .* got \(5, 0\)"),
    "empty list": (lambda _: [], "z: the list is empty"),
    "empty tuple": (lambda _: (), "z: the list is empty"),
    "an empty series in a list": (lambda z: [z[0], z[1][:0]], r"z\[1\]: the series is empty"),
    "a wrong series in a list": (lambda z: [z[0], z[1][:, :1]], r"z\[1\]: expected shape \(T, 2\).*got \(25, 1\)"),
    "a transposed series in a list": (lambda z: [z[0], z[1].T], r"z\[1\]: expected shape \(T, 2\)"),
    "flat series in a list": (lambda z: [z[0, :, 0], z[1, :, 0]], r"z\[0\]: expected shape \(T, 2\).*got \(25,\)"),
    "a batch in a list": (lambda z: [z, z], r"z\[0\]: expected shape \(T, 2\).*got \(4, 25, 2\)"),
    "objects in a list": (lambda z: [z[0], z[1].astype(object)], r"z\[1\]: expected real numbers"),
    "text in a list": (lambda z: [z[0], "x"], r"z\[1\]: expected an array of numbers"),
    "deeply ragged": (lambda _: [[[1.0, 2.0], [1.0]], [[1.0, 2.0]]], r"z\[0\]: cannot be read as an array of numbers"),
    "infinite": (lambda z: np.where(np.isnan(z), np.inf, z), "z: infinite value inf at index .*missing value is nan"),
    "minus infinite": (lambda z: np.where(np.isnan(z), -np.inf, z), "z: infinite value -inf"),
    "infinite in a list": (lambda z: [z[0], np.full((3, 2), np.inf)], "z: infinite value"),
    "huge whole numbers": (lambda _: [[10**400, 1], [1, 1]], "z: expected real numbers .*Python objects"),
}


@every_verb
@pytest.mark.parametrize("kind", WRONG_Z)
def test_a_wrong_z_is_refused_by_every_verb(verb: str, kind: str) -> None:
    """Each kind of value that z cannot be, given to each verb: the error says what was expected and what came."""
    make, message = WRONG_Z[kind]
    with pytest.raises(KelmanError, match=rf"^z.*{message}" if not message.startswith("z") else f"^{message}"):
        VERBS[verb](model(), make(data()))


WRONG_U: dict[str, tuple[Any, str]] = {
    "missing": (lambda _: None, "u: the model has 2 inputs .*so u is needed"),
    "text": (lambda _: "u.csv", "u: expected an array of numbers"),
    "complex": (lambda u: u + 0j, "u: expected real numbers"),
    "object": (lambda u: u.astype(object), "u: expected real numbers"),
    "longdouble": (lambda u: u.astype(np.longdouble), "u: expected real numbers"),
    "one axis": (lambda u: u[0, :, 0], r"u: expected shape \(25, 2\) or \(4, 25, 2\), got \(25,\)"),
    "time last": (lambda u: u[0].T, r"u: .*time seems to be on the wrong axis: pass u\.T"),
    "too short": (lambda u: u[:, :24], r"u: expected shape .* got \(4, 24, 2\)"),
    "too long": (lambda _: np.zeros((26, 2)), r"u: expected shape .* got \(26, 2\)"),
    "other series": (lambda u: u[:3], r"u: expected shape .* got \(3, 25, 2\)"),
    "other width": (lambda u: u[..., :1], r"u: expected shape .* got \(4, 25, 1\)"),
    "a number": (lambda _: 1.0, r"u: expected shape .* got \(\)"),
    "empty": (lambda _: np.zeros((0, 2)), r"u: expected shape .* got \(0, 2\)"),
    "nan": (
        lambda u: np.where(np.arange(25)[:, None] == 7, np.nan, u),
        "u: every entry must be finite, got nan at index",
    ),
    "infinite": (lambda u: u + np.inf, "u: every entry must be finite, got inf"),
    "masked": (lambda u: np.ma.masked_less(u, 0), "u: holds masked entries"),
    "a short list": (lambda u: [u[0], u[1]], "u: a list of inputs needs one array for each of the 4 series, got 2"),
    "a wrong one in a list": (lambda u: [*u[:3], u[3][:20]], r"u\[3\]: expected shape \(25, 2\), got \(20, 2\)"),
    "nan in a list": (lambda u: [*u[:3], u[3] * np.nan], r"u\[3\]: every entry must be finite"),
}


@every_verb
@pytest.mark.parametrize("kind", WRONG_U)
def test_a_wrong_u_is_refused_by_every_verb(verb: str, kind: str) -> None:
    """Each kind of value that u cannot be, given to each verb."""
    make, message = WRONG_U[kind]
    with pytest.raises(KelmanError, match=f"^{message}"):
        VERBS[verb](model(p=2), data(), make(inputs(p=2)))


@every_verb
def test_inputs_that_the_model_has_not_are_refused(verb: str) -> None:
    """Neither B nor D is set: u has no place."""
    with pytest.raises(KelmanError, match="u: the model has no inputs"):
        kelman.filter(model(), data(), inputs()) if verb == "forecast" else VERBS[verb](model(), data(), inputs())


@every_verb
def test_inputs_of_each_series_with_one_value_show_the_cure(verb: str) -> None:
    """(N, T) for p = 1 is ambiguous with (T, p), so it is refused with the index expression."""
    with pytest.raises(KelmanError, match=r"for inputs of each series pass u\[:, :, None\]"):
        VERBS[verb](model(p=1), data(), inputs()[..., 0])


@every_verb
def test_many_series_of_one_value_show_the_cure(verb: str) -> None:
    """(N, T) for m = 1 is not guessed: two axes are (T, m)."""
    with pytest.raises(KelmanError, match=r"for N series of one value each pass z\[:, :, None\]"):
        VERBS[verb](model(m=1), data(m=1)[..., 0])


@every_verb
@pytest.mark.parametrize(
    ("wrong", "named"),
    [(None, "None"), ("model", "str"), (3, "int"), (np.eye(2), "ndarray"), ({"A": 1}, "dict"), ([model()], "list")],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_model_is_named(verb: str, wrong: Any, named: str) -> None:
    """The verb says that it expects a StateSpace and what came; the error is a TypeError too."""
    with pytest.raises(ModelTypeError, match=f"model: {verb} expects a StateSpace, got {named}") as caught:
        VERBS[verb](wrong, data())
    assert isinstance(caught.value, TypeError)


@every_verb
def test_a_network_is_pointed_to_its_own_verbs(verb: str) -> None:
    """An Elman network is not a model of these verbs; the error names those that take it."""
    net = kelman.Elman([[0.5]], [[1.0]], None, [[1.0]], None)
    with pytest.raises(ModelTypeError, match=r"got Elman; for a network use kelman\.forward"):
        VERBS[verb](net, data())


@every_verb
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"on_error": "ignore"}, "on_error: expected one of 'raise', 'warn', 'nan', got 'ignore'"),
        ({"on_error": None}, "on_error: expected one of"),
        ({"threads": 0}, "threads: expected a positive whole number or None, got 0"),
        ({"threads": -1}, "threads: expected a positive whole number"),
        ({"threads": 2.5}, "threads: expected a positive whole number"),
        ({"threads": "two"}, "threads: expected a positive whole number"),
        ({"threads": True}, "threads: expected a positive whole number"),
        ({"backend": "cuda"}, "backend: expected one of 'core', 'torch', got 'cuda'"),
        ({"backend": 1}, "backend: expected one of"),
        ({"start": "state"}, "start: expected the .state of a filter's result, got str"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(verb: str, option: dict[str, Any], message: str) -> None:
    """Options that all verbs share are checked by all of them."""
    with pytest.raises(KelmanError, match=message):
        VERBS[verb](model(), data(), **option)


@pytest.mark.parametrize("verb", [kelman.filter, kelman.loglik, kelman.smooth])
def test_a_wrong_diffuse_constant_is_named(verb: Any) -> None:
    """The two conventions are listed."""
    with pytest.raises(KelmanError, match="diffuse_constant: expected one of 'kfas', 'statsmodels', got 'stata'"):
        verb(model(), data(), diffuse_constant="stata")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"store": "everything"},
            "store: expected one of 'loglik', 'last', 'means', 'filtered', 'all', got 'everything'",
        ),
        ({"store": None}, "store: expected one of"),
        ({"form": "square_root"}, "form: expected one of 'auto', 'covariance', 'univariate', got 'square_root'"),
        ({"store": ["all"]}, "store: expected one of"),
    ],
    ids=str,
)
def test_a_wrong_option_of_filter_is_named(option: dict[str, Any], message: str) -> None:
    """What is kept and the form are words of a list."""
    with pytest.raises(KelmanError, match=message):
        kelman.filter(model(), data(), **option)


@every_verb
def test_options_go_by_name_only(verb: str) -> None:
    """A third positional argument after u is a TypeError, as Python gives it."""
    if verb != "forecast":
        with pytest.raises(TypeError, match="positional"):
            VERBS[verb](model(), data(), None, "auto")


@every_verb
@pytest.mark.parametrize("name", ["A", "H", "Q", "R", "B", "D", "b", "c", "S"])
def test_a_model_of_another_length_shows_the_cure(verb: str, name: str) -> None:
    """A leading axis that is neither 1 nor T names the matrix, both lengths, and `[:, None]`."""
    value = {"b": np.ones(3), "c": np.ones(2), "S": np.zeros((3, 2))}.get(name)
    base = model(p=2)
    value = getattr(base, name) if value is None else value
    m = model(p=2, **{name: np.stack([value] * 7)})
    message = (
        f"{name}: varies over 7 steps, but 2 steps after the 25"
        if verb == "forecast"
        else rf"{name}: its leading length 7 is neither 1 nor T = 25.*{name}\[:, None\]"
    )
    with pytest.raises(KelmanError, match=message):
        VERBS[verb](m, data(), inputs(p=2))


@every_verb
def test_a_model_for_other_series_is_refused(verb: str) -> None:
    """N of the model and N of z differ: both are named."""
    with pytest.raises(KelmanError, match="z: holds 4 series, but the model is for 3"):
        VERBS[verb](kelman.StateSpace.stack([model()] * 3), data())


def test_an_infinity_in_a_big_z_is_found_too() -> None:
    """Beyond the size that is scanned beforehand an infinity is found by what it does to the result."""
    z = data(N=50, T=2000, gaps=0)
    z[33, 1999, 1] = -np.inf
    for verb in (kelman.filter, kelman.loglik, kelman.smooth):
        with pytest.raises(KelmanError, match=r"z: infinite value -inf at index \[33, 1999, 1\]"):
            verb(model(), z)
    z[33, 1999, 1] = 0.0
    z[33, 0, 1] = np.inf  # while the start is diffuse an innovation may not enter the log-likelihood
    for verb in (kelman.filter, kelman.loglik, kelman.smooth):
        with pytest.raises(KelmanError, match=r"z: infinite value inf at index \[33, 0, 1\]"):
            verb(model(initial="diffuse"), z)


def test_read_only_input_is_fine() -> None:
    """Nothing is written to what the user gave."""
    z, u = data(), inputs(p=2)
    before = z.copy(), u.copy()
    z.flags.writeable = u.flags.writeable = False
    for verb in VERBS.values():
        verb(model(p=2), z, u)
    np.testing.assert_array_equal(z, before[0])
    np.testing.assert_array_equal(u, before[1])


def test_a_broadcast_z_of_huge_size_takes_no_memory() -> None:
    """10^9 values that are one number in memory are filtered for a log-likelihood without being copied."""
    z = np.broadcast_to(np.float64(0.5), (4, 200_000, 1))
    level = kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]])
    np.testing.assert_array_equal(kelman.loglik(level, z), kelman.loglik(level, np.ascontiguousarray(z)))


def test_a_backend_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """KELMAN_BACKEND is checked like the argument, and named in the message."""
    monkeypatch.setenv("KELMAN_BACKEND", "fortran")
    with pytest.raises(BackendError, match="KELMAN_BACKEND: expected one of 'core', 'torch', got 'fortran'"):
        kelman.loglik(model(), data())
