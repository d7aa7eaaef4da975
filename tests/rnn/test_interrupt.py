"""Long calls release the interpreter and notice Ctrl-C."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import kelman
from kelman.rnn import gauss_newton
from tests.rnn.networks import network


@pytest.fixture(autouse=True)
def _ctrl_c_raises() -> Iterator[None]:
    """Python's own handler, which a job in the background does not have: it inherits "ignore"."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


NET = network(1, "tanh", sizes=(1, 8, 1))


@pytest.mark.parametrize("verb", ["forward", "loss_and_grad", "gauss_newton"])
def test_ctrl_c_ends_a_long_call(verb: str) -> None:
    """An interrupt that comes while the core works raises KeyboardInterrupt before the work would end."""
    x = np.zeros((4_000_000, 1))
    finished = []
    calls = {
        "forward": lambda: finished.append(kelman.forward(NET, x)),
        "loss_and_grad": lambda: finished.append(kelman.loss_and_grad(NET, x, x)),
        "gauss_newton": lambda: finished.append(gauss_newton(NET, x, x)),
    }
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_and_wait(calls[verb])
    timer.join()
    assert not finished


def run_and_wait(call: Callable[[], None]) -> None:
    """Call, and wait for an interrupt that came too late."""
    call()
    time.sleep(30)


def test_other_threads_run_while_the_core_works() -> None:
    """The interpreter is free during a long call: another thread counts on."""
    counted, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    x = np.zeros((600_000, 1))
    kelman.loss_and_grad(NET, x, x)
    done.set()
    thread.join()
    assert counted[0] > 10
