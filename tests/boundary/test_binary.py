"""What is in the compiled modules: their exports and their instructions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kelman._core as core

from .variants import binary

SUBJECTS = ("_core_", "_core_rnn_")
MODULES = ["_cpu", *(f"{subject}{name}" for name in core.built() for subject in SUBJECTS)]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")


@linux
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_exports_its_entry_point_only(name: str) -> None:
    """Nothing but PyInit_<name> is visible, so that two modules never share a symbol."""
    out = subprocess.run(["nm", "-D", "--defined-only", str(binary(name))], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in out.stdout.splitlines()] == [f"PyInit_{name}"]


@linux
@pytest.mark.skipif(shutil.which("strip") is None, reason="needs strip")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_small(name: str, tmp_path: Path) -> None:
    """No module has more than 3 MB without its symbols."""
    stripped = tmp_path / name
    subprocess.run(["strip", "-o", str(stripped), str(binary(name))], check=True)
    assert stripped.stat().st_size < 3_000_000


@linux
@pytest.mark.variants
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
@pytest.mark.skipif("avx2" not in sys.modules["kelman._core._cpu"].levels(), reason="an x86 matter")
@pytest.mark.parametrize(
    ("name", "forbidden"),
    [
        ("_cpu", "%[yz]mm"),
        *((f"{subject}baseline", "%[yz]mm") for subject in SUBJECTS),
        *((f"{subject}avx2", "%zmm|%k[1-7]") for subject in SUBJECTS),
    ],
)
def test_a_variant_holds_no_instruction_of_a_better_one(name: str, forbidden: str) -> None:
    """The disassembly of a plainer variant names no register that only a better processor has."""
    path = binary(name)
    if path is None:
        pytest.skip(f"{name} is not in this installation")
    pattern = re.compile(forbidden)
    with subprocess.Popen(
        ["objdump", "-d", "--no-show-raw-insn", str(path)], stdout=subprocess.PIPE, text=True
    ) as dump:
        assert dump.stdout is not None
        found = [line for line in dump.stdout if pattern.search(line)]
    assert not found, found[:3]
