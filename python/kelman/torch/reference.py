# SPDX-License-Identifier: BSD-3-Clause
"""The reference backend: every verb in plain PyTorch, an independent second writing of what the compiled core computes.

Slow and simple. It is what ``backend="torch"`` selects, what a process falls back to with ``KELMAN_BACKEND=torch``, and
what ``kelman validate`` holds the core against. Gradients come from autograd.
"""

from __future__ import annotations

from kelman.torch._cells import forward_raw, jvp_raw, loss_and_grad_raw, vjp_raw
from kelman.torch._gauss_newton import gauss_newton_each_raw, gauss_newton_raw, jacobian_raw
from kelman.torch._gradient import gradient_raw
from kelman.torch._linear import filter_raw, loglik, smooth_raw

__all__ = [
    "filter_raw",
    "forward_raw",
    "gauss_newton_each_raw",
    "gauss_newton_raw",
    "gradient_raw",
    "jacobian_raw",
    "jvp_raw",
    "loglik",
    "loss_and_grad_raw",
    "smooth_raw",
    "vjp_raw",
]
