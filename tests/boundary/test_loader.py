"""The choice of the compiled core: by the machine, by force, and what is said where there is none."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

import pytest

import kelman
import kelman._core as core

from .variants import FOLDER, run

SHOW = "import kelman; c = kelman._core; print(c.isa, c.core is None)"


def test_the_best_runnable_variant_is_chosen() -> None:
    """Unforced, the loader takes the last of the variants that are present and run here."""
    assert run(SHOW).stdout.split() == [core.available()[-1], "False"]


@pytest.mark.variants
@pytest.mark.parametrize("name", core.available())
def test_a_variant_can_be_forced(name: str) -> None:
    """KELMAN_ISA=name loads that variant and no other."""
    assert run(SHOW, KELMAN_ISA=name).stdout.split() == [name, "False"]


def test_an_impossible_choice_lists_the_possible_ones() -> None:
    """KELMAN_ISA with a name that cannot be had is an ImportError that names every one that can."""
    result = run(SHOW, KELMAN_ISA="mmx")
    message = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert message.startswith("ImportError: KELMAN_ISA=mmx: expected one of ")
    assert all(name in message for name in core.available())


def test_an_impossible_choice_is_refused_under_the_torch_backend_too() -> None:
    """A forced variant that cannot be had is never silently replaced by the fallback."""
    assert "ImportError: KELMAN_ISA=mmx" in run(SHOW, KELMAN_ISA="mmx", KELMAN_BACKEND="torch").stderr


def test_available_is_a_part_of_what_is_built() -> None:
    """What is available is built, and the machine's own test agrees."""
    cpu = sys.modules["kelman._core._cpu"]
    assert set(core.available()) <= set(core.built()) <= set(cpu.levels())
    assert all(cpu.can_run(name) for name in core.available())
    with pytest.raises(ValueError, match="level"):
        cpu.can_run("mmx")


@pytest.fixture
def without_core(tmp_path: Path) -> str:
    """Return the start of a program that finds a copy of the package from which the compiled modules are gone."""
    shutil.copytree(FOLDER.parent, tmp_path / "kelman", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    return f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "


def test_without_a_core_the_import_says_why_and_what_to_do(without_core: str) -> None:
    """A package whose core is missing refuses to be imported, with the reason and the two ways out."""
    result = run(without_core + "import kelman")
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: kelman's compiled core cannot be used: ")
    assert "_cpu" in message
    assert "pip install" in message
    assert "KELMAN_BACKEND=torch" in message


def test_without_a_core_the_torch_backend_still_imports(without_core: str) -> None:
    """KELMAN_BACKEND=torch imports the whole package without a core, and a use of the core says what is missing."""
    show = without_core + SHOW
    assert run(show, KELMAN_BACKEND="torch").stdout.split() == ["None", "True"]
    result = run(without_core + "import kelman._core as c; c.native()", KELMAN_BACKEND="torch")
    assert "ImportError: kelman's compiled core cannot be used" in result.stderr


def test_one_version_everywhere() -> None:
    """The package, its metadata and its core carry the same version."""
    assert kelman.__version__ == core.native().__version__
    try:
        installed = importlib.metadata.version("kelman")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("kelman is not installed")
    assert installed == kelman.__version__
