# Written by `nox -s stubs -- --update`; not to be edited.
"""
What instruction sets this machine can run.
"""
from __future__ import annotations
__all__: list[str] = ['can_run', 'levels']
def can_run(level: str) -> bool:
    """
    True if this machine runs the instruction set of this name.
    """
def levels() -> list[str]:
    """
    Names of every known instruction set, the plainest first.
    """
