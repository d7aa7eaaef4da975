"""Memory: a verb needs its results and a workspace for each thread, and nothing that grows with the batch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.boundary.variants import ROOT

MEGABYTE = 2**20
WORKSPACE = 6 * MEGABYTE  # for each thread; less than the results of any case here

CODE = """
import resource, sys
import numpy as np
import kelman

verb, N, T, kind, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
rng = np.random.default_rng(1)
A = np.array([[1.0, 1.0], [0.0, 0.9]])
model = kelman.StateSpace(A, np.array([[1.0, 0.0]]), np.eye(2), np.eye(1), m0=np.zeros(2), P0=np.eye(2))


def data(N, T):
    z = np.empty((N, T, 1))
    for i in range(0, N, 500):
        z[i : i + 500] = rng.standard_normal((len(z[i : i + 500]), T, 1))
    if kind == "gaps":
        z[np.arange(N), np.arange(N) % T] = np.nan
    return z


call = {
    "loglik": lambda z: kelman.loglik(model, z, threads=threads),
    "filter": lambda z: kelman.filter(model, z, threads=threads),
    "means": lambda z: kelman.filter(model, z, store="means", threads=threads),
    "smooth": lambda z: kelman.smooth(model, z, threads=threads),
    "gradient": lambda z: kelman.loglik_and_grad(model, z, threads=threads),
}[verb]


def size(result):  # of the distinct memory of a result: a shared covariance is there once
    arrays = getattr(result, "_arrays", None)
    arrays = [result[0]] if arrays is None and isinstance(result, tuple) else list((arrays or {"": result}).values())
    return sum(int(np.prod([n for n, s in zip(a.shape, a.strides) if s])) * a.itemsize for a in arrays)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


call(data(20, min(T, 50)))  # what is loaded at the first call
z = data(N, T)
before = peak()
result = call(z)
print(peak() - before, size(result), z.nbytes)
"""


def added(verb: str, N: int, T: int, kind: str, threads: int = 1) -> tuple[int, int, int]:
    """Bytes that a call adds to the peak of its process, bytes of its results, bytes of its input."""
    child = subprocess.run(
        [sys.executable, "-c", CODE, verb, str(N), str(T), kind, str(threads)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    more, results, given = (int(x) for x in child.stdout.split())
    return more, results, given


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory in kilobytes")


@pytest.mark.parametrize("kind", ["complete", "gaps"])
@pytest.mark.parametrize("verb", ["loglik", "filter", "means", "smooth", "gradient"])
def test_a_call_needs_its_results_and_a_workspace(verb: str, kind: str) -> None:
    """4,000 series of 1,000 steps (32 MB of input): nothing is copied, nothing grows with the batch."""
    more, results, _ = added(verb, 4000, 1000, kind)
    assert more < results + WORKSPACE


@pytest.mark.parametrize("kind", ["complete", "gaps"])
@pytest.mark.parametrize("verb", ["loglik", "gradient"])
def test_a_workspace_is_one_for_each_thread(verb: str, kind: str) -> None:
    """Two threads take no more than twice the workspace of one."""
    more, results, _ = added(verb, 4000, 1000, kind, threads=2)
    assert more < results + 2 * WORKSPACE


@pytest.mark.parametrize("verb", ["loglik", "filter", "smooth", "gradient"])
def test_a_long_series_keeps_no_tape_of_its_length(verb: str) -> None:
    """The way back goes by checkpoints: 300,000 steps need what their results take."""
    more, results, _ = added(verb, 1, 300_000, "complete")
    assert more < results + WORKSPACE
