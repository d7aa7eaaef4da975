# SPDX-License-Identifier: BSD-3-Clause
"""The compiled backend itself: memory checks, sharing, and numbers that are the same to the bit whatever the road."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _core
from kelman.linear._native import filter_raw, smooth_raw
from kelman.linear._problem import Problem, pose

if _core.core is None:
    pytest.skip("needs the compiled core", allow_module_level=True)

STATE = ("mean", "cov", "inf", "rank", "noise_mean", "noise_cov", "noise_cross")


def covariance(rng: np.random.Generator, n: int, rank: int | None = None) -> np.ndarray:
    """A random covariance matrix."""
    factor = rng.normal(size=(n, n if rank is None else rank))
    return factor @ factor.T


def case(kind: str, dtype: str = "float64", N: int = 5, T: int = 40) -> tuple[kelman.StateSpace, np.ndarray, Any]:
    """A model, measurements of N series, and inputs, of one of the kinds below."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    n, m, p = 3, 2, 2
    joint = covariance(rng, n + m)
    A = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    arrays: dict[str, Any] = {"A": A, "H": rng.normal(size=(m, n)), "Q": joint[:n, :n], "R": joint[n:, n:]}
    z, u = rng.normal(size=(N, T, m)), None
    if "gaps" in kind:
        z[rng.random(z.shape) < 0.3] = np.nan
    if "joint" in kind:
        arrays["S"] = joint[:n, n:]
    if "inputs" in kind:
        arrays |= {"B": rng.normal(size=(n, p)), "D": rng.normal(size=(m, p)), "b": np.ones(n), "c": np.ones(m)}
        u = rng.normal(size=(N, T, p))
    if "exact" in kind:
        arrays["R"] = np.zeros((m, m))
    if "diffuse" in kind:
        arrays |= {"m1": np.ones(n), "P1": covariance(rng, n, 1), "P1_inf": covariance(rng, n, 2)}
    else:
        arrays |= {"m0": np.ones(n), "P0": covariance(rng, n)}
    if "own" in kind:
        arrays["A"] = np.stack([A * (1 - 0.02 * i) for i in range(N)])[:, None]
    if "shifted" in kind:
        arrays = {{"m0": "m1", "P0": "P1"}.get(name, name): value for name, value in arrays.items()}
        return kelman.StateSpace.from_shifted(**arrays).astype(dtype), z.astype(dtype), u
    return kelman.StateSpace(**arrays).astype(dtype), z.astype(dtype), u


KINDS = (
    "plain",
    "gaps",
    "joint",
    "joint gaps",
    "inputs gaps",
    "inputs shifted",
    "inputs shifted joint gaps",
    "diffuse",
    "diffuse gaps",
    "diffuse joint gaps",
    "exact",
    "exact gaps",
    "own",
    "own diffuse gaps",
)


def problem_of(kind: str, dtype: str = "float64") -> Problem:
    """The problem of a case."""
    model, z, u = case(kind, dtype)
    return pose(model, z, None if u is None else u.astype(dtype)).problem


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Equal names and equal numbers, NaN included; a series alone may have gone another way."""
    assert a.keys() - {"method"} == b.keys() - {"method"}
    for name in a.keys() - {"method"}:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def assert_same_numbers(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Equal names, and equal numbers but for rounding."""
    assert a.keys() == b.keys() - {"method"}
    for name, array in a.items():
        scale = np.nanmax(np.abs(array), initial=1)
        rounding = (1e-12 if array.dtype == np.float64 else 1e-4) * scale
        np.testing.assert_allclose(array, b[name], rtol=0, atol=rounding, err_msg=name)


def one_series(problem: Problem, i: int) -> Problem:
    """Series i alone."""
    changes = {
        field.name: value[i : i + 1]
        for field in dataclasses.fields(problem)
        if isinstance(value := getattr(problem, field.name), np.ndarray)
    }
    return dataclasses.replace(problem, **changes)


def steps(problem: Problem, begin: int, end: int, state: dict[str, np.ndarray] | None) -> Problem:
    """Steps begin..end, going on from the end state of a filter."""
    timed = {"z", "A", "H", "Q", "R", "B", "D", "b", "c", "S", "u"}
    changes: dict[str, Any] = {
        name: value[:, begin:end] for name in timed if (value := getattr(problem, name)) is not None
    }
    if state is not None:
        changes |= {name: state[f"state_{name}"] for name in STATE}
        changes["start_kind"] = 1
        if problem.u is not None and problem.input_lag:
            changes["u_before"] = problem.u[:, begin - 1].copy()
    return dataclasses.replace(problem, **changes)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_company_change_nothing(kind: str, dtype: str) -> None:
    """A series filtered or smoothed with care, alone, in a batch, or by four threads, has the same numbers to the bit."""
    problem = problem_of(kind, dtype)
    assert_same_bits(filter_raw(problem, "all", 1), filter_raw(problem, "all", 4))
    assert_same_bits(smooth_raw(problem, 1, 1), smooth_raw(problem, 1, 4))
    filtered = filter_raw(problem, "all", 1, form="univariate")
    smoothed = smooth_raw(problem, 1, 1, form="univariate")
    assert_same_bits(filtered, filter_raw(problem, "all", 4, form="univariate"))
    assert_same_bits(smoothed, smooth_raw(problem, 1, 4, form="univariate"))
    for i in range(len(problem.z)):
        own = {k: v[i : i + 1] for k, v in filtered.items() if k != "method"}
        assert_same_bits(own, filter_raw(one_series(problem, i), "all", 1, form="univariate"))
        assert_same_numbers(own, filter_raw(one_series(problem, i), "all", 1))
        own = {k: v[i : i + 1] for k, v in smoothed.items() if k != "method"}
        assert_same_bits(own, smooth_raw(one_series(problem, i), 1, 1, form="univariate"))
        assert_same_numbers(own, smooth_raw(one_series(problem, i), 1, 1))


def test_many_series_over_many_threads_are_the_same_to_the_bit() -> None:
    """Work that is large enough for threads to start gives the numbers of one thread."""
    rng = np.random.default_rng(1)
    model = case("plain")[0]
    for gaps in (False, True):
        z = rng.normal(size=(300, 200, 2))
        if gaps:
            z[rng.random(z.shape) < 0.1] = np.nan
        problem = pose(model, z).problem
        for threads in (2, 4):
            assert_same_bits(filter_raw(problem, "all", 1), filter_raw(problem, "all", threads))
            assert_same_bits(smooth_raw(problem, 1, 1), smooth_raw(problem, 1, threads))


@pytest.mark.parametrize("kind", KINDS)
def test_filtering_in_two_parts_equals_one_pass(kind: str) -> None:
    """Going on from the end state gives the numbers of one pass to the bit."""
    problem = problem_of(kind)
    whole = filter_raw(problem, "all", 1)
    for cut in (1, 2, 17):
        first = filter_raw(steps(problem, 0, cut, None), "all", 1)
        second = filter_raw(steps(problem, cut, 40, first), "all", 1)
        for name in ("mean", "cov", "predicted_mean", "predicted_cov", "innovation", "innovation_cov", "loglik_obs"):
            np.testing.assert_array_equal(second[name], whole[name][:, cut:], err_msg=name)
        for name in STATE:
            np.testing.assert_array_equal(second[f"state_{name}"], whole[f"state_{name}"], err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_stepper_equals_the_filter(kind: str, dtype: str) -> None:
    """The online handle gives the careful filter's numbers, step by step, and its end state."""
    problem = problem_of(kind, dtype)
    whole = filter_raw(problem, "all", 1, form="univariate")
    step = _core.native().LinearStepper(problem=problem)
    N, T, _ = problem.z.shape
    close = {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-4}
    mean, loglik = np.empty((N, 3), dtype), np.empty(N, dtype)
    for k in range(T):
        u = None if problem.u is None else np.ascontiguousarray(problem.u[:, k])
        step.step(np.ascontiguousarray(problem.z[:, k]), u, mean=mean, loglik=loglik)
        np.testing.assert_allclose(mean, whole["mean"][:, k], **close)
        np.testing.assert_allclose(loglik, whole["loglik_obs"][:, k], **close)
        np.testing.assert_allclose(step.state()["state_cov"], whole["cov"][:, k], **close)
    state = step.state()
    for name in STATE:
        np.testing.assert_allclose(state[f"state_{name}"], whole[f"state_{name}"], err_msg=name, **close)
    assert step.steps == T


def test_shared_covariances_are_one_array() -> None:
    """What is equal for all series is computed once: a read-only view without a series stride."""
    problem = problem_of("plain")
    for raw in (filter_raw(problem, "all", 1), smooth_raw(problem, 1, 1)):
        for name, array in raw.items():
            if name.endswith("cov"):
                assert array.strides[0] == 0, name
                assert not array.flags.writeable, name
    gaps = filter_raw(problem_of("gaps"), "all", 1)
    assert gaps["cov"].strides[0] > 0
    assert gaps["cov"].flags.writeable


def test_out_is_filled_in_place() -> None:
    """Arrays given as out= are the ones that come back, shared covariances included."""
    problem = problem_of("plain")
    first = filter_raw(problem, "all", 1)
    second = filter_raw(problem, "all", 1, out=first)
    assert_same_bits(first, second)
    for name in ("mean", "cov", "loglik_obs", "innovation_cov"):
        assert np.shares_memory(first[name], second[name]), name
    full = {name: np.full(first[name].shape, 7.0) for name in ("mean", "cov")}
    third = filter_raw(problem, "filtered", 1, out=full)
    assert third["cov"] is full["cov"]
    np.testing.assert_array_equal(full["cov"], first["cov"])


def bad(problem: Problem, name: str, how: str) -> Problem:
    """The problem with one array spoilt."""
    array = getattr(problem, name)
    spoilt = {
        "list": lambda: array.tolist(),
        "int": lambda: array.astype(int),
        "longdouble": lambda: array.astype(np.longdouble),
        "other": lambda: array.astype("float32"),
        "swapped": lambda: array.astype(array.dtype.newbyteorder()),
        "rank": lambda: array[0],
        "shape": lambda: np.concatenate([array, array], axis=-1),
        "strided": lambda: np.concatenate([array, array], axis=-1)[..., ::2],
        "unaligned": lambda: np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape),
    }[how]()
    return dataclasses.replace(problem, **{name: spoilt})


@pytest.mark.parametrize(
    "how", ["list", "int", "longdouble", "other", "swapped", "rank", "shape", "strided", "unaligned"]
)
@pytest.mark.parametrize("name", ["z", "A", "H", "Q", "R", "S", "u", "B", "b", "mean", "cov", "noise_cov"])
def test_memory_that_does_not_fit_is_refused_by_name(name: str, how: str) -> None:
    """The core converts nothing: an array of another type, shape or layout is an error that names it."""
    problem = problem_of("inputs joint")
    if name == "z" and how == "other":
        problem = dataclasses.replace(problem)
    spoilt = bad(problem, name, how)
    # a z of another dtype, rank or size makes the others the odd ones out
    named = r"^\w+: " if name in ("z", "A", "B") and how in ("other", "shape", "rank", "int") else rf"^{name}: "
    for run in (lambda: filter_raw(spoilt, "all", 1), lambda: smooth_raw(spoilt, 0, 1)):
        with pytest.raises((TypeError, ValueError), match=named):
            run()


def test_wrong_outputs_are_refused_by_name() -> None:
    """An output of another shape or type, read-only, or overlapping an input is an error that names it."""
    problem = problem_of("gaps")
    fine = np.zeros((5, 40, 3))
    locked = fine.copy()
    locked.flags.writeable = False
    for wrong in (fine[:, :39], fine.astype("float32"), locked, np.empty((3, 40, 5)).T):
        with pytest.raises((TypeError, ValueError), match=r"^mean: "):
            filter_raw(problem, "means", 1, out={"mean": wrong})
    square = dataclasses.replace(problem, cov=np.ascontiguousarray(problem.cov))
    with pytest.raises(ValueError, match=r"^cov: output shares memory with input cov"):
        filter_raw(square, "last", 1, out={"cov": square.cov})
    pool = np.empty(5 * 40 * 3 + 8)
    one, other = pool[: 5 * 40 * 3].reshape(5, 40, 3), pool[8:].reshape(5, 40, 3)
    with pytest.raises(ValueError, match=r"^predicted_mean: output shares memory with output mean"):
        filter_raw(problem, "all", 1, out={"mean": one, "predicted_mean": other})


def test_lengths_ranks_and_words_out_of_range_are_refused() -> None:
    """Integers that index memory, and words, are checked on every call."""
    problem = problem_of("diffuse gaps")
    for name, values in (("lengths", [41, 1, 1, 1, 1]), ("lengths", [-1, 1, 1, 1, 1]), ("rank", [9, 0, 0, 0, 0])):
        with pytest.raises(ValueError, match=rf"^{name}: "):
            filter_raw(dataclasses.replace(problem, **{name: np.array(values)}), "loglik", 1)
    with pytest.raises(ValueError, match=r"^store: "):
        filter_raw(problem, "everything", 1)
    with pytest.raises(ValueError, match=r"^threads: "):
        filter_raw(problem, "all", 0)
    with pytest.raises(ValueError, match=r"^lag: "):
        smooth_raw(problem, 2, 1)
    with pytest.raises(ValueError, match=r"^diffuse_constant: "):
        filter_raw(dataclasses.replace(problem, diffuse_constant="both"), "all", 1)


def test_ragged_series_end_where_they_end() -> None:
    """Entries past the length of a series are NaN, and do not matter; an empty series is all NaN."""
    problem = problem_of("gaps")
    lengths = np.array([40, 1, 0, 7, 39])
    ragged = dataclasses.replace(problem, lengths=lengths)
    raw, smoothed = filter_raw(ragged, "all", 2), smooth_raw(ragged, 1, 2)
    for i, length in enumerate(lengths):
        alone = one_series(problem, i)
        cut = steps(alone, 0, int(length), None)
        if length:
            own = filter_raw(cut, "all", 1)
            for name in ("mean", "cov", "innovation", "loglik_obs"):
                np.testing.assert_array_equal(raw[name][i, :length], own[name][0])
            for name in STATE:
                np.testing.assert_array_equal(raw[f"state_{name}"][i], own[f"state_{name}"][0])
            # the row that is left may be complete where others of the batch are not, and go another way
            alone_lag = smooth_raw(cut, 1, 1)["lag_one_cov"][0]
            np.testing.assert_allclose(smoothed["lag_one_cov"][i, :length], alone_lag, rtol=1e-12, atol=1e-14)
        assert np.isnan(raw["mean"][i, length:]).all()
        assert np.isnan(raw["predicted_cov"][i, length:]).all()
        assert np.isnan(smoothed["cov"][i, length:]).all()


def test_a_stepper_outlives_its_problem_and_knows_its_end() -> None:
    """The handle keeps the arrays it looks at, and a model that varies in time has a last step."""
    model, z, _ = case("plain")
    A = np.repeat(model.A[None], 3, axis=0)
    step = _core.native().LinearStepper(problem=pose(model.replace(A=A), z[:, :3]).problem)
    for k in range(3):
        step.step(np.ascontiguousarray(z[:, k]))
    with pytest.raises(IndexError, match="3 steps"):
        step.step(np.ascontiguousarray(z[:, 0]))


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize(("verb", "threads"), [("filter", 1), ("filter", 2), ("smooth", 1)])
def test_interrupt_is_noticed_within_a_second(verb: str, threads: int) -> None:
    """Ctrl-C ends a long call soon, with KeyboardInterrupt."""
    script = f"""
        import os, signal, threading, time
        import numpy as np, kelman
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore"
        n = 40
        model = kelman.StateSpace(0.5 * np.eye(n), np.eye(n), np.eye(n), np.eye(n))
        z = np.zeros((4, 6_000, n)); z[1:, 5] = np.nan
        kelman.{verb}(model, z[:, :6])  # what is imported lazily is there
        def stop():
            time.sleep(0.5)
            global sent
            sent = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=stop, daemon=True).start()
        try:
            while True:
                kelman.{verb}(model, z, threads={threads})
        except KeyboardInterrupt:
            print(time.monotonic() - sent, flush=True)
            os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(done.stdout) < 1.0
