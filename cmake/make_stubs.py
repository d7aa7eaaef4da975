"""Write the type stubs of the compiled core, or compare two folders of them.

Usage: ``make_stubs.py FOLDER`` writes ``_cpu.pyi``, ``_native.pyi`` and ``_recurrent.pyi`` (what every variant shares);
``make_stubs.py --compare FRESH COMMITTED`` exits with 1 and a diff where they are not the same.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kelman import _core

HEADER = "# Written by `nox -s stubs -- --update`; not to be edited.\n"


def write(folder: Path) -> None:
    """Generate the stubs of the variant in use and of ``_cpu`` into `folder`."""
    names = {
        _core.native().__name__: "_native",
        _core.recurrent().__name__: "_recurrent",
        "kelman._core._cpu": "_cpu",
    }
    with tempfile.TemporaryDirectory() as scratch:
        for module, shared in names.items():
            subprocess.run(
                [sys.executable, "-m", "pybind11_stubgen", module, "-o", scratch, "--exit-code"],
                check=True,
            )
            source = Path(scratch, "kelman", "_core", f"{module.rpartition('.')[2]}.pyi")
            text = source.read_text().replace(module, f"kelman._core.{shared}")
            text = re.sub(r"^(isa|__version__): str = .*$", r"\1: str", text, flags=re.MULTILINE)
            text = re.sub(r"^(__all__.*)['\"]isa['\"](, )?", r"\1", text, flags=re.MULTILINE)
            name = f"{shared}.pyi"
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(HEADER + text)
    subprocess.run(
        [shutil.which("ruff") or "ruff", "format", "--quiet", "--isolated", "--line-length", "120", str(folder)],
        check=True,
    )


def compare(fresh: Path, committed: Path) -> int:
    """Print how the committed stubs differ from fresh ones; return how many do."""
    differing = 0
    names = {p.relative_to(root).as_posix() for root in (fresh, committed) for p in root.rglob("*.pyi")}
    for name in sorted(names):
        texts = [
            (root / name).read_text().splitlines(True) if (root / name).exists() else [] for root in (committed, fresh)
        ]
        if texts[0] != texts[1]:
            differing += 1
            sys.stdout.writelines(difflib.unified_diff(*texts, f"committed/{name}", f"fresh/{name}"))
    return differing


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(min(1, compare(Path(sys.argv[2]), Path(sys.argv[3]))))
    write(Path(sys.argv[1]))
