# SPDX-License-Identifier: BSD-3-Clause
"""Settings that come from arguments and, failing these, from the environment.

| setting | argument | environment | otherwise |
| --- | --- | --- | --- |
| threads | ``threads=`` | ``KELMAN_NUM_THREADS``, then ``OMP_NUM_THREADS`` | the CPUs this process may use |
| backend | ``backend=`` | ``KELMAN_BACKEND`` | ``"core"`` |

The environment is read at each call, so that a change takes effect at once (dask and loky set ``OMP_NUM_THREADS`` in their
workers).
"""

from __future__ import annotations

import operator
import os
from typing import Any, SupportsIndex

from .errors import BackendError, KelmanError

__all__ = ["BACKENDS", "backend_name", "core_variants", "thread_count"]

BACKENDS: tuple[str, ...] = ("core", "torch")
"""The backends that exist: the compiled core, and plain PyTorch (the reference that the core is validated against)."""

_MAX_THREADS = 1024


def thread_count(threads: SupportsIndex | None = None) -> int:
    """Return the number of threads to use: the argument, else the environment, else the CPUs of this process.

    Parameters
    ----------
    threads : int, optional
        A positive number of threads. None asks ``KELMAN_NUM_THREADS``, then ``OMP_NUM_THREADS`` (its first number, if it is
        a list), then the CPU affinity.

    Returns
    -------
    int
        At least 1. Results are the same to the bit for every number.

    Raises
    ------
    KelmanError
        If `threads` or ``KELMAN_NUM_THREADS`` is not a positive whole number.

    Examples
    --------
    >>> import kelman
    >>> kelman.config.thread_count(3)
    3
    """
    if threads is not None:
        try:
            count = operator.index(threads)
        except TypeError:
            raise KelmanError(f"threads: expected a positive whole number or None, got {threads!r}") from None
        if isinstance(threads, bool) or count < 1:
            raise KelmanError(f"threads: expected a positive whole number or None, got {threads!r}")
        return min(count, _MAX_THREADS)
    own = os.environ.get("KELMAN_NUM_THREADS", "").strip()
    if own:
        if not own.isdecimal() or int(own) < 1:
            raise KelmanError(f"KELMAN_NUM_THREADS: expected a positive whole number, got {own!r}")
        return min(int(own), _MAX_THREADS)
    shared = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if shared.isdecimal() and int(shared) >= 1:
        return min(int(shared), _MAX_THREADS)
    return _available_cpus()


def _available_cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    if affinity is not None:
        return max(1, len(affinity(0)))
    return max(1, os.cpu_count() or 1)


def backend_name(backend: str | None = None) -> str:
    """Return the name of the backend to use: the argument, else ``KELMAN_BACKEND``, else ``"core"``.

    Parameters
    ----------
    backend : {"core", "torch"}, optional
        The compiled core, or the plain PyTorch reference (extra ``torch``).

    Returns
    -------
    str
        One of `BACKENDS`.

    Raises
    ------
    BackendError
        If the name is not one of `BACKENDS`.

    Examples
    --------
    >>> import kelman
    >>> kelman.config.backend_name("torch")
    'torch'
    """
    source = "backend"
    name: Any = backend
    if name is None:
        source = "KELMAN_BACKEND"
        name = os.environ.get("KELMAN_BACKEND", "").strip() or "core"
    if not isinstance(name, str) or name not in BACKENDS:
        raise BackendError(f"{source}: expected one of {', '.join(map(repr, BACKENDS))}, got {name!r:.60}")
    return name


def core_variants() -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """Return which compiled variant of the core is in use, which ones run on this machine, and which ones were built.

    Returns
    -------
    in_use : str or None
        Name of the instruction set; None where the core is missing and ``KELMAN_BACKEND=torch`` stands in for it.
    usable, built : tuple of str
        Names, the plainest first.

    Raises
    ------
    ImportError
        If the core is missing or cannot run here, and nothing stands in for it.

    Examples
    --------
    >>> import kelman
    >>> in_use, usable, built = kelman.config.core_variants()
    >>> set(usable) <= set(built)
    True
    """
    from . import _core

    try:
        return _core.isa, _core.available(), _core.built()
    except ModuleNotFoundError:
        return _core.isa, (), ()
