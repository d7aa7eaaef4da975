# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch side of the package (extra ``torch``): the reference backend.

``backend="torch"`` in any verb, or ``KELMAN_BACKEND=torch`` for a process, computes with `kelman.torch.reference`
instead of the compiled core.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError('kelman.torch needs PyTorch, which is not installed: pip install "kelman[torch]"') from error

__all__: list[str] = []
