# SPDX-License-Identifier: BSD-3-Clause
"""The reference backend: every verb in plain PyTorch, an independent second writing of what the compiled core computes.

Slow and simple. It is what ``backend="torch"`` selects, what a process falls back to with ``KELMAN_BACKEND=torch``, and
what ``kelman validate`` holds the core against. Gradients come from autograd.
"""

from __future__ import annotations

from kelman.torch._linear import filter_raw as filter_raw, loglik as loglik, smooth_raw as smooth_raw

__all__ = ["filter_raw", "loglik", "smooth_raw"]
