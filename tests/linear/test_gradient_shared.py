# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of series that share model, start and gaps: what does not depend on the data once, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kelman
from kelman import _core
from kelman.linear._problem import pose
from tests.linear.gradient_cases import STARTS, build
from tests.linear.score_oracle import START, score
from tests.linear.test_backward_lanes import gradient

NOT_DERIVATIVES = ("method", "status", "failed_at")
KINDS: dict[str, dict[str, Any]] = {
    "nothing missing": {"diagonal": True, "gaps": 0.0},
    "gaps": {"diagonal": True, "gaps": 0.3},
    "dense R with gaps": {"gaps": 0.3, "m": 3},
    "inputs and offsets": {"p": 2, "offsets": True},
    "inputs of the step before": {"p": 1, "offsets": True, "lag": 1},
    "everything varies": {"time": "A H Q R b c B D", "p": 1, "offsets": True},
    "singular Q": {"rank_Q": 1},
    "more measured than states": {"n": 2, "m": 5, "gaps": 0.4},
}


def same_gaps(z: np.ndarray) -> np.ndarray:
    """Measurements that miss what those of the first series miss."""
    rng = np.random.default_rng(len(z))
    return np.where(np.isnan(z[:1]), np.nan, rng.normal(size=z.shape))


def against_each_alone(
    model: kelman.StateSpace, z: np.ndarray, u: np.ndarray | None = None, method: str = "shared", to: float = 1e-11
) -> None:
    """Per series and summed, the gradient equals those of every series by itself."""
    own = gradient(model, z, u)
    total = gradient(model, z, u, summed=True)
    assert own["method"] == total["method"] == method
    assert np.isfinite(own["loglik"]).all()
    alone = [gradient(model, z[i : i + 1], None if u is None else u[i : i + 1]) for i in range(len(z))]
    assert all(one["method"] != "shared" for one in alone)
    for name in own.keys() - set(NOT_DERIVATIVES):
        right = np.concatenate([one[name] for one in alone])
        scale = to * max(1.0, np.abs(right).max())
        np.testing.assert_allclose(own[name], right, rtol=0, atol=scale, err_msg=name)
        if name not in ("loglik", "mean"):
            right, scale = right.sum(axis=0, keepdims=True), scale * len(z)
        np.testing.assert_allclose(total[name], right, rtol=0, atol=scale, err_msg=name)


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("m", [1, 2, 3])
def test_every_size_equals_complex_steps(n: int, m: int) -> None:
    """All entries, against the complex step through the textbook recursion."""
    model, z, u = build("x1", n=n, m=m, p=1, N=3, T=6, offsets=True, diagonal=m != 3)
    z = same_gaps(z)
    problem = pose(model, z, u).problem
    given = gradient(model, z, u)
    assert given["method"] == "shared"
    expected = [score(problem, i) for i in range(len(z))]
    for name in expected[0]:
        right = np.stack([one[name] for one in expected])
        if name not in ("loglik", *START) and given[name].ndim < right.ndim:
            right = right.sum(axis=1)
        np.testing.assert_allclose(given[name], right, rtol=0, atol=1e-10 * max(1.0, np.abs(right).max()), err_msg=name)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_every_start(kind: str, start: str) -> None:
    """More series than one group of lanes takes."""
    settings = dict(KINDS[kind])
    if start == "x0" and "lag" in settings:
        pytest.skip("such a model starts at the first measurement")
    if start in ("stationary", "auto") and "time" in settings:
        settings["time"] = "H R c D"
    model, z, u = build(start, **({"N": 27, "T": 13} | settings))
    against_each_alone(model, same_gaps(z), u)


@pytest.mark.parametrize("start", ["x0", "diffuse"])
@pytest.mark.parametrize("gaps", [0.0, 0.003])
@pytest.mark.parametrize(("n", "m"), [(4, 2), (9, 1)])
def test_long_series_go_by_segments_and_their_gains_settle(n: int, m: int, gaps: float, start: str) -> None:
    """Thousands of steps: segment by segment, repeating steps whose covariances have settled."""
    model, z, _ = build(start, n=n, m=m, N=3, T=2600, gaps=gaps, diagonal=True)
    against_each_alone(model, same_gaps(z), to=1e-10)


def test_a_small_variance_beside_a_large_one_settles_by_itself() -> None:
    """Whatever the units of the states: a fast one of 1e12 beside a slow one of 1e-6."""
    A, Q, R = np.diag([0.5, 0.999]), np.diag([1e12, 1e-12]), np.diag([1e12, 1e-7])
    model = kelman.StateSpace(A, np.eye(2), Q, R, m1=np.zeros(2), P1=np.diag([1e12, 1e-6]))
    z = np.random.default_rng(0).normal(size=(30, 600, 2)) * [1e6, 1e-3]
    total, g = kelman.loglik_and_grad(model, z)
    parts = [kelman.loglik_and_grad(model, one) for one in z]
    np.testing.assert_allclose(total, [part[0] for part in parts], rtol=1e-12)
    for name in ("A", "H", "Q", "R"):
        right = np.sum([part[1][name] for part in parts], 0)
        np.testing.assert_allclose(np.diag(g[name]), np.diag(right), rtol=1e-8, err_msg=name)


def test_gaps_that_begin_when_the_covariance_has_settled() -> None:
    """A settled step with a gap, and the gaps after it, are not repetitions of one another."""
    model, z, _ = build("x1", n=2, m=2, N=5, T=300, gaps=0.0, diagonal=True)
    z[:, 200] = z[:, 201, 0] = z[:, 202] = z[:, 203:206, 1] = np.nan
    z[:, 260:, 0] = np.nan
    against_each_alone(model, z)


@pytest.mark.parametrize("place", [(0, 3, 0), (17, 12, 1), (26, 0, 0)])
@pytest.mark.parametrize("missing", [True, False])
def test_one_series_with_other_gaps_sends_all_another_way(place: tuple[int, int, int], missing: bool) -> None:
    """More or fewer values than the others have are found wherever they are."""
    model, z, _ = build("x1", N=27, T=13, gaps=0.0, diagonal=True)
    if not missing:
        z[(slice(None), *place[1:])] = np.nan
    z[place] = np.nan if missing else 1.0
    narrow = _core.native().isa == "baseline"  # where the 26 others are enough for a group
    against_each_alone(model, z, method="lanes+grouped" if narrow else "lanes")


def test_what_cannot_be_shared_goes_another_way() -> None:
    """S, and components without noise."""
    model, z, _ = build("x1", N=5, S=True)
    against_each_alone(model, same_gaps(z), method="univariate")
    model, z, _ = build("x1", N=5, gaps=0.0, rank_R=1)
    against_each_alone(model, z, method="univariate")


def test_a_mean_that_overflows_is_left_to_its_series() -> None:
    """The other series keep their gradients."""
    model, z, _ = build("x1", N=30, T=20, gaps=0.0, diagonal=True)
    z[11, 4] = 1e308
    own = gradient(model, z)
    assert own["method"] == "lanes"
    fine = np.delete(np.arange(30), 11)
    expected = gradient(model, z[fine])
    assert expected["method"] == "shared"
    assert np.flatnonzero(own["status"]).tolist() == [11]
    for name in expected.keys() - set(NOT_DERIVATIVES):
        np.testing.assert_allclose(own[name][fine], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_equal_lengths_shorter_than_the_batch() -> None:
    """A list of series of one length, in a batch of more steps."""
    model, z, _ = build("x1", N=30, T=20, gaps=0.0, diagonal=True)
    series = list(z[:, :14])
    loglik, g = kelman.loglik_and_grad(model, series)
    other, h = kelman.loglik_and_grad(model, z[:, :14])
    np.testing.assert_array_equal(loglik, other)
    for name, array in g.items():
        np.testing.assert_allclose(array, h[name], rtol=1e-13)


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("T", [50, 1500])
def test_threads_change_no_bit(T: int, summed: bool) -> None:
    """Series go to threads by blocks that do not depend on their number."""
    model, z, _ = build("x1", n=2, m=1, N=1700 if T < 100 else 200, T=T, gaps=0.0)
    one = gradient(model, z, summed=summed)
    assert one["method"] == "shared"
    for threads in (2, 5):
        more = gradient(model, z, summed=summed, threads=threads)
        for name in one.keys() - {"method"}:
            np.testing.assert_array_equal(one[name], more[name], err_msg=name)


@pytest.mark.parametrize("start", ["x0", "stationary"])
@pytest.mark.parametrize("kind", ["gaps", "inputs and offsets", "everything varies"])
def test_groups_of_series_with_the_same_gaps(kind: str, start: str) -> None:
    """Two patterns, and a few series of their own in lanes."""
    settings: dict[str, Any] = {**KINDS[kind], "diagonal": True, "N": 150, "T": 9}
    if start == "stationary" and "time" in settings:
        settings["time"] = "H R c D"
    model, z, u = build(start, **settings)
    full = np.random.default_rng(0).normal(size=z.shape)
    full[::2] = np.where(np.isnan(z[:1]), np.nan, full[::2])
    against_each_alone(model, full, u, method="grouped")
    full[[3, 6, 149]] = z[[3, 6, 149]]
    full[5, 1:] = np.nan
    against_each_alone(model, full, u, method="lanes+grouped")
    one = gradient(model, full, u, summed=True)
    for threads in (2, 5):
        more = gradient(model, full, u, summed=True, threads=threads)
        for name in one.keys() - {"method"}:
            np.testing.assert_array_equal(one[name], more[name], err_msg=name)


def test_groups_of_ragged_series_one_of_which_overflows() -> None:
    """Two lengths; where a log-likelihood is not finite all go in lanes."""
    model, z, _ = build("x1", N=150, T=20, gaps=0.0, diagonal=True)
    series = [z[i, : 20 if i % 2 else 13] for i in range(150)]
    loglik, g = kelman.loglik_and_grad(model, series, per_series=True)
    for i in (0, 1, 149):
        other, h = kelman.loglik_and_grad(model, series[i])
        np.testing.assert_allclose(loglik[i], other, rtol=1e-12)
        for name, array in h.items():
            np.testing.assert_allclose(g[name][i], array, rtol=1e-10, atol=1e-10)
    z[::2, 4] = np.nan
    z[11, 5] = 1e308
    own = gradient(model, z)
    assert own["method"] == "lanes"
    assert np.flatnonzero(~np.isfinite(own["loglik"])).tolist() == [11]
    z[11, 5] = 0.0
    expected = gradient(model, z)
    assert expected["method"] == "grouped"
    np.testing.assert_allclose(own["A"][12:], expected["A"][12:], rtol=1e-9, atol=1e-9)
