# SPDX-License-Identifier: BSD-3-Clause
"""A file from which an interrupted training goes on, to the same bits as if it had never stopped.

Every call of an optimiser keeps its state at the top of its iterations: weights, best weights, prior, what the method
itself remembers, and its lines of the history. Starting points and data are not in the file: they follow from the
arguments, whose fingerprint is. Calls that had ended are not computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KelmanError, KelmanWarning

if TYPE_CHECKING:
    from .._types import Array

EVERY = 10.0
"""Seconds between two writings."""

FORMAT = 1


class Checkpoint:
    """States of all optimisers of one training, in memory and in a file (npz, without pickled objects)."""

    def __init__(self, path: Any, fingerprint: str, seeds: Array, *, fresh: bool) -> None:
        try:
            self.path = Path(os.fspath(path))
        except TypeError:
            raise KelmanError(f"checkpoint: expected a path, got {path!r:.60}") from None
        self.fingerprint, self.seeds = fingerprint, seeds
        self._states: dict[str, dict[str, Any]] = {}
        self._written = time.monotonic()
        self._lock = threading.Lock()
        self._refused = False
        if self.path.exists():
            self._read(fresh)
        elif not self.path.parent.is_dir():
            raise KelmanError(f"checkpoint: there is no folder {str(self.path.parent)!r}")

    def get(self, key: str) -> dict[str, Any] | None:
        """The state kept under a key."""
        return self._states.get(key)

    def put(self, key: str, state: dict[str, Any]) -> None:
        """Keep a state, and write the file if the last writing is some time ago. Arrays must not be changed in place."""
        with self._lock:
            self._states[key] = state
            due = time.monotonic() - self._written > EVERY
        if due:
            self.write()

    def write(self) -> None:
        """Write the file: all of it or nothing. A disk that refuses is a warning: the training is worth more than the file."""
        with self._lock:
            arrays: dict[str, Array] = {}
            words: dict[str, Any] = {}
            for key, state in self._states.items():
                words[key] = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
                arrays |= {f"{key}/{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
            head = {"format": FORMAT, "fingerprint": self.fingerprint, "words": words}
            text = np.frombuffer(json.dumps(head).encode(), np.uint8)
            self._written = time.monotonic()
            try:
                self._replace({"head": text, "seeds": self.seeds, **arrays})
            except OSError as error:
                if not self._refused:
                    warnings.warn(f"checkpoint: {error}; the training goes on without", KelmanWarning, stacklevel=2)
                self._refused = True

    def _replace(self, arrays: dict[str, Array]) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def _read(self, fresh: bool) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                head = json.loads(bytes(file["head"]))
                arrays = {name: file[name] for name in file.files if "/" in name}
                seeds = file["seeds"]
        except Exception as error:
            raise KelmanError(f"checkpoint: {str(self.path)!r} is no file of a training ({error})") from error
        if head.get("format") != FORMAT:
            raise KelmanError(f"checkpoint: {str(self.path)!r} was written by another version; remove it to begin anew")
        if head["fingerprint"] != self.fingerprint or not (fresh or np.array_equal(seeds, self.seeds)):
            raise KelmanError(
                f"checkpoint: {str(self.path)!r} belongs to another training (other data, network, options or rng); "
                "give another path, or remove the file to begin anew"
            )
        self.seeds = seeds
        self._states = {key: dict(words) for key, words in head["words"].items()}
        for name, array in arrays.items():
            key, _, rest = name.partition("/")
            self._states[key][rest] = array


def fingerprint(*parts: Any) -> str:
    """A word for everything that a training depends on."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).tobytes())
        else:
            total.update(repr(part).encode())
    return total.hexdigest()
