"""Choose the compiled core that fits this machine.

The package carries two extension modules per instruction set (``_core_baseline``, ``_core_avx2``, ``_core_avx512``, and
``_core_rnn_...`` for recurrent networks) and ``_cpu``, which says what the machine can run. The best set present is
loaded at import, its recurrent networks when they are first used. ``KELMAN_ISA=avx2`` forces one; an impossible choice
is an ImportError that lists the possible ones. Without any, the import fails with the reason, unless
``KELMAN_BACKEND=torch`` asks for the PyTorch fallback.

Attributes of the chosen modules are found here: ``_core.filter(...)`` is the function of the variant in use.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["available", "built", "core", "isa", "native", "recurrent"]

_PREFIX = "_core_"
_RECURRENT = "_core_rnn_"


def _machine() -> ModuleType:
    return importlib.import_module("._cpu", __name__)


def built() -> tuple[str, ...]:
    """Names of the variants that this installation carries, the plainest first."""
    return tuple(n for n in _machine().levels() if all(_present(f"{p}{n}") for p in (_PREFIX, _RECURRENT)))


def _present(name: str) -> bool:
    return importlib.util.find_spec(f".{name}", __name__) is not None


def available() -> tuple[str, ...]:
    """Names of the variants that are present and that this machine can run, the plainest first."""
    return tuple(n for n in built() if _machine().can_run(n))


def _choose(names: tuple[str, ...], forced: str | None) -> str:
    if forced:
        if forced not in names:
            raise ImportError(
                f"KELMAN_ISA={forced}: expected one of {', '.join(names) or '(none)'} on this machine with this "
                f"installation; unset KELMAN_ISA to let kelman choose"
            )
        return forced
    if not names:
        raise ImportError(
            f"none of the compiled variants ({', '.join(built()) or 'none is installed'}) runs on this machine"
        )
    return names[-1]


def _load() -> tuple[ModuleType | None, str | None]:
    """Return the chosen extension module, or None and why there is none."""
    forced = os.environ.get("KELMAN_ISA", "").strip().lower() or None
    try:
        try:
            names = available()
        except ModuleNotFoundError as error:
            raise ImportError(f"the compiled core is missing ({error})") from error
        return importlib.import_module(f".{_PREFIX}{_choose(names, forced)}", __name__), None
    except ImportError as error:
        reason = str(error)
        if forced or os.environ.get("KELMAN_BACKEND", "").strip().lower() != "torch":
            raise ImportError(_explain(reason)) from error
        return None, reason


def _explain(reason: str) -> str:
    if reason.startswith("KELMAN_ISA="):
        return reason
    return (
        f"kelman's compiled core cannot be used: {reason}. Install kelman again for this Python and machine "
        "(`pip install --force-reinstall --no-cache-dir kelman`; from a clone `pip install .`), "
        "or set KELMAN_BACKEND=torch to use the slower PyTorch fallback."
    )


core, _reason = _load()
isa: str | None = None if core is None else core.isa
__version__: str | None = None if core is None else core.__version__


def native() -> ModuleType:
    """Return the loaded variant; ImportError with the reason where there is none."""
    if core is None:
        raise ImportError(_explain(_reason or "it was not loaded"))
    return core


@functools.cache
def recurrent() -> ModuleType:
    """Return the recurrent networks of the loaded variant; ImportError with the reason where there is none."""
    native()
    return importlib.import_module(f".{_RECURRENT}{isa}", __name__)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    module = native()
    return getattr(module if hasattr(module, name) else recurrent(), name)
