# SPDX-License-Identifier: BSD-3-Clause
"""What lies below all steppers: a call goes straight to the core where its argument needs no conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import core

__all__ = ["StepperBase", "accelerate", "attach"]

if TYPE_CHECKING:

    class StepperBase:
        """What lies below a stepper: room for the core's handle."""

    def accelerate(subclass: type) -> None:
        """Let calls of the instances of a `StepperBase` try the attached handle before their `__call__`."""

    def attach(stepper: StepperBase, handle: Any, batched: bool) -> None:
        """Attach a handle to a stepper (None: none)."""

elif core is not None:
    StepperBase, accelerate, attach = core.StepperBase, core.accelerate, core.attach
else:

    class StepperBase:
        """Without the core every call goes to Python."""

    def attach(stepper, handle, batched):
        """Do nothing."""

    def accelerate(subclass):
        """Do nothing."""
