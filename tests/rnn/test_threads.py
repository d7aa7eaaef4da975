"""Threads that the core keeps between calls: through forks, at exit, and beside other callers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import kelman
from tests.rnn.networks import data, network

NET = network(3, "tanh", sizes=(2, 16, 2), direct=True)
X, Y = data(3, 256, 50)  # enough that a second thread is worth waking


def numbers(threads: int) -> list[Any]:
    """Loss and gradient, as plain numbers that can be compared to the bit."""
    loss, gradient = kelman.loss_and_grad(NET, X, Y, threads=threads)
    return [loss, *(value.tolist() for _, value in gradient.items())]


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_helpers_are_kept_and_reused() -> None:
    """Many calls with two threads start one helper, not one each."""
    numbers(2)
    before = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(20):
        numbers(2)
    assert len(list(Path("/proc/self/task").iterdir())) <= before + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    """After a fork, and a fork of the child, the kept threads are gone: results are the same, and nothing waits for them."""
    expected = numbers(2)

    def child(generations: int) -> int:
        pid = os.fork()
        if pid == 0:
            good = numbers(2) == expected == numbers(3) and (generations == 0 or child(generations - 1) == 0)
            os._exit(0 if good else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert child(1) == 0
    assert numbers(2) == expected


def test_callers_at_the_same_time_get_the_same_numbers() -> None:
    """Several Python threads call with several threads each; every result is that of one thread, to the bit."""
    expected = numbers(1)
    start = threading.Barrier(4)

    def call(threads: int) -> bool:
        start.wait()
        return all(numbers(threads) == expected for _ in range(5))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(call, (2, 3, 4, 2)))


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "os._exit(0)"])
def test_a_program_with_kept_threads_ends(end: str) -> None:
    """The end of the interpreter does not wait for the threads that sleep."""
    code = f"""
import os, sys
import numpy as np, kelman
net = kelman.Elman(0.1 * np.eye(8), np.ones((8, 1)), None, np.ones((1, 8)), None)
x = np.ones((256, 200, 1))
kelman.loss_and_grad(net, x, x, threads=3)
print("done", flush=True)
{end}
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
