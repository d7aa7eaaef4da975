# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch side of the package (extra ``torch``): the reference backend.

``backend="torch"`` in any verb, or ``KELMAN_BACKEND=torch`` for a process, computes with `kelman.torch.reference`
instead of the compiled core. `kelman.torch.functional` has the compiled kernels as differentiable functions of tensors,
`kelman.torch.modules` as modules.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError('kelman.torch needs PyTorch, which is not installed: pip install "kelman[torch]"') from error

from kelman.torch import functional as functional, modules as modules
from kelman.torch._weights import from_torch as from_torch, to_torch as to_torch

__all__ = ["from_torch", "functional", "modules", "to_torch"]
