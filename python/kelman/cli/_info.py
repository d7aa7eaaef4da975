# SPDX-License-Identifier: BSD-3-Clause
"""``kelman info``: what this installation is and can do."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from typing import Any

import typer

EXTRAS = {
    "app": ("typer", "rich", "matplotlib", "jinja2", "pandas", "pyarrow", "threadpoolctl"),
    "torch": ("torch",),
}


def collect() -> dict[str, Any]:
    """Gather version, compiled variants, threads, backends and extras."""
    from importlib.metadata import PackageNotFoundError, version

    import numpy as np

    import kelman
    from kelman import config

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    in_use, usable, built = config.core_variants()
    forced = os.environ.get("KELMAN_ISA") or None
    return {
        "kelman": getattr(kelman, "__version__", None) or installed("kelman"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": installed("scipy"),
        "system": f"{platform.system()} {platform.machine()}",
        "core": {"in use": in_use, "usable": list(usable), "built": list(built), "forced": forced},
        "threads": config.thread_count(),
        "backend": config.backend_name(),
        "backends": [name for name in config.BACKENDS if _has_backend(name, in_use)],
        "extras": {extra: {name: installed(name) for name in names} for extra, names in EXTRAS.items()},
        "location": os.path.dirname(kelman.__file__),  # noqa: PTH120
    }


def _has_backend(name: str, core: str | None) -> bool:
    return core is not None if name == "core" else importlib.util.find_spec(name) is not None


def info(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """Say which version, compiled core, threads, backends and extras this installation has."""
    values = collect()
    if as_json:
        json.dump(values, sys.stdout, indent=1)
        print()
        return
    core = values["core"]
    lines = {
        "kelman": values["kelman"],
        "Python": f"{values['python']}, numpy {values['numpy']}, scipy {values['scipy']}",
        "system": values["system"],
        "core": f"{core['in use'] or 'none'} (usable here: {', '.join(core['usable']) or 'none'}; built: {', '.join(core['built']) or 'none'})"
        + (f", forced by KELMAN_ISA={core['forced']}" if core["forced"] else ""),
        "threads": values["threads"],
        "backend": f"{values['backend']} (present: {', '.join(values['backends'])})",
        "location": values["location"],
    }
    for extra, packages in values["extras"].items():
        found = ", ".join(f"{name} {number or 'absent'}" for name, number in packages.items())
        lines[f"extra {extra}"] = found
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")
