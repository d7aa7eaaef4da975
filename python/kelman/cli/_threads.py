# SPDX-License-Identifier: BSD-3-Clause
"""BLAS with one thread: for the small matrices of this package more of them only wait for each other."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread inside this context, where threadpoolctl is installed; kelman's own threads stay."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which must be there to be limited

    with threadpool_limits(limits=1, user_api="blas"):
        yield
