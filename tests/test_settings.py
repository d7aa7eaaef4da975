"""Settings, errors, coercion and the registry: the ground that everything stands on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _arrays, _registry, config, errors
from kelman.errors import BackendError, KelmanError


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [("3", "7", 3), ("", "7", 7), ("", "4,2,1", 4), (" 2 ", "7", 2), ("99999", "", 1024)],
)
def test_threads_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, own: str, shared: str, expected: int
) -> None:
    """KELMAN_NUM_THREADS, then the first number of OMP_NUM_THREADS; an argument beats both."""
    monkeypatch.setenv("KELMAN_NUM_THREADS", own)
    monkeypatch.setenv("OMP_NUM_THREADS", shared)
    assert config.thread_count() == expected
    assert config.thread_count(5) == 5
    assert config.thread_count(np.int64(2)) == 2


@pytest.mark.parametrize("shared", ["", "auto", "0", "-2"])
def test_threads_otherwise_are_the_cpus_of_the_process(monkeypatch: pytest.MonkeyPatch, shared: str) -> None:
    """Without a usable number in the environment, the CPU affinity counts."""
    monkeypatch.delenv("KELMAN_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", shared)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert config.thread_count() == cpus


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """The variable and its value are in the message."""
    monkeypatch.setenv("KELMAN_NUM_THREADS", wrong)
    with pytest.raises(KelmanError, match=f"KELMAN_NUM_THREADS: expected a positive whole number, got '{wrong}'"):
        config.thread_count()


def test_the_backend_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """backend=, then KELMAN_BACKEND, then the core."""
    monkeypatch.delenv("KELMAN_BACKEND", raising=False)
    assert config.backend_name() == "core"
    monkeypatch.setenv("KELMAN_BACKEND", "torch")
    assert config.backend_name() == "torch"
    assert config.backend_name("core") == "core"


def test_every_error_is_a_kelman_error_and_survives_pickling() -> None:
    """One base class, a ValueError; attributes such as `.mode` and `.failures` make the round trip."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        base = UserWarning if name.endswith("Warning") else ValueError
        assert issubclass(kind, base), name
        assert issubclass(kind, errors.KelmanWarning if name.endswith("Warning") else KelmanError), name
        back = pickle.loads(pickle.dumps(kind("what happened")))
        assert type(back) is kind
        assert str(back) == "what happened"
    assert pickle.loads(pickle.dumps(errors.NoSteadyStateError("no", 1 + 2j))).mode == 1 + 2j
    assert pickle.loads(pickle.dumps(errors.ConvergenceError("no", [1]))).result == [1]


def test_nothing_draws_what_is_not_listed() -> None:
    """The registry names what can be drawn."""
    with pytest.raises(BackendError, match=r"nothing draws results of type int; drawn are .*FilterResult"):
        _registry.plot(3)


@pytest.mark.parametrize(
    ("make", "same"),
    [
        (lambda: np.zeros((3, 2)), True),
        (lambda: np.zeros((3, 2), np.float32), True),
        (lambda: np.zeros((3, 2), int), False),
        (lambda: np.zeros((3, 2), ">f8"), False),
    ],
    ids=["float64", "float32", "int", "big-endian"],
)
def test_floats_are_passed_on_and_others_converted(make: Any, same: bool) -> None:
    """A native float array is the same object afterwards."""
    array = make()
    assert (_arrays.as_floats(array, "z") is array) == same


def test_layout_is_judged_by_inner_axes_and_strides() -> None:
    """Leading axes may skip or stand still; they may not go backwards, and inner axes must be dense."""
    base = np.zeros((4, 6, 3, 3))
    for good in (base, base[::2], base[:, ::3], np.broadcast_to(base[:1], (9, 6, 3, 3)), base[:, :0]):
        assert _arrays.well_laid_out(good, 2)
    for bad in (base[::-1], base[..., ::2], base.swapaxes(-1, -2), base[:, ::-1]):
        assert not _arrays.well_laid_out(bad, 2)
    moved = np.frombuffer(bytearray(73), dtype=np.uint8)[1:].view(np.float64)
    assert not _arrays.well_laid_out(moved, 1)


def test_public_names_are_listed_sorted_and_found() -> None:
    """`__all__` is sorted, every name in it loads, dir() knows them, and a wrong one is an AttributeError."""
    assert kelman.__all__ == sorted(kelman.__all__)
    assert set(kelman.__all__) <= set(dir(kelman))
    for name in kelman.__all__:
        assert getattr(kelman, name) is not None
    with pytest.raises(AttributeError, match="module 'kelman' has no attribute 'fliter'"):
        kelman.fliter  # noqa: B018


def test_verbs_look_like_functions() -> None:
    """The dispatching verbs keep the signature and the documentation of what they call."""
    import inspect

    for name in ("filter", "loglik", "smooth", "forecast", "simulate", "steady_state"):
        verb = getattr(kelman, name)
        assert verb.__name__ == name
        assert "Examples" in verb.__doc__
        assert next(iter(inspect.signature(verb).parameters)) == "model"
    assert kelman.loglik(model=kelman.StateSpace([[0.5]], [[1.0]], [[1.0]], [[1.0]]), z=[1.0]) < 0


def test_the_package_has_a_version() -> None:
    """`__version__` is found, lazily."""
    assert kelman.__version__.count(".") >= 1


def test_the_core_is_asked_for_only_when_something_is_computed() -> None:
    """Importing the package and making a model load neither scipy nor torch."""
    code = (
        "import sys, kelman; kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]]); "
        "kelman.loglik(kelman.StateSpace([[1.0]], [[1.0]], [[1.0]], [[1.0]], m1=[0], P1=[[1]]), [1.0]); "
        "print([n for n in ('scipy', 'torch', 'pandas', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
