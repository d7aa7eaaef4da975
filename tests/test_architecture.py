"""Who may know whom: Python imports and C++ includes, held to one table."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "kelman"
CPP = ROOT / "cpp"

# Each word imports only words of lower levels, and itself.
LEVELS = {
    "errors": 0, "_types": 0, "_core": 0,
    "config": 1,
    "_arrays": 2, "_registry": 2, "datasets": 2,
    "models": 3, "lti": 3,
    "linear": 4, "nonlinear": 4, "particle": 4, "rnn": 4, "systems": 4,
    "verbs": 5, "structural": 5, "identify": 5, "bridge": 5,
    "experiments": 6, "estimators": 6, "torch": 6,
    "interop": 7, "plotting": 7, "cli": 7,
}  # fmt: skip
MAY_TOUCH_CORE = {"linear", "nonlinear", "particle", "rnn", "config", "torch._functional"}
MAY_IMPORT_BY_NAME = {"__init__", "_registry", "_core", "verbs"}

# Each folder of the core includes only these, and itself.
INCLUDES = {
    "core": set(),
    "linalg": {"core"},
    "linear": {"core", "linalg"},
    "nonlinear": {"core", "linalg", "linear"},
    "particle": {"core", "linalg", "linear"},
    "rnn": {"core"},
}
NO_PLACE_IN_THE_CORE = {"Python.h", "iostream", "cstdio", "fstream", "stdio.h"}


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package, without `kelman.`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(path: Path) -> set[str]:
    """Return the dotted names below `kelman` that a file imports; `` stands for the package itself."""
    here = ["kelman", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                file = PACKAGE.joinpath(*module.split(".")[1:], alias.name)
                deeper = file.is_dir() or file.with_suffix(".py").exists()
                found.add(f"{module}.{alias.name}" if deeper else module)
    return {name.partition(".")[2] for name in found if name.split(".")[0] == "kelman"}


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_only_lower_levels(path: Path) -> None:
    """Every import inside the package goes down the table of levels."""
    name = module_name(path)
    word = name.split(".")[0]
    assert word in LEVELS, f"{word}: give it a level in the table of {Path(__file__).name}"
    for target in imported(path):
        other = target.split(".")[0]
        if other == "":
            assert LEVELS[word] >= LEVELS["experiments"], f"{name} imports kelman itself"
            continue
        assert other == word or LEVELS[other] < LEVELS[word], f"{name} imports kelman.{target}"
        if other == "_core" and word != "_core":
            assert {word, name} & MAY_TOUCH_CORE, f"{name} touches the core"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_the_registry_imports_by_name(path: Path) -> None:
    """What must reach upward goes through one road: no other module imports by a string."""
    if module_name(path).split(".")[0] in MAY_IMPORT_BY_NAME:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in {"import_module", "__import__"}]
    assert not calls, f"line {calls[0].lineno}"


def includes(path: Path) -> list[str]:
    """Return what a C++ file includes, own files as paths below cpp/."""
    found = []
    for quote, name in re.findall(
        r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE
    ):
        beside = path.parent / name
        if quote == '"' and beside.exists():
            name = beside.resolve().relative_to(CPP).as_posix()
        found.append(name)
    return found


SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in {".hpp", ".cpp"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(CPP).as_posix())
def test_a_source_includes_only_what_it_may(path: Path) -> None:
    """C++ includes go down the table, the core knows neither Python nor streams, and nobody includes the bindings."""
    parts = path.relative_to(CPP).parts
    for name in includes(path):
        target = name.split("/")
        if target[0] == "bindings":
            assert parts[0] == "bindings", f"includes {name}"
        if parts[0] == "kelman":
            assert target[0] != "pybind11" and name not in NO_PLACE_IN_THE_CORE, f"includes {name}"
            if target[0] == "kelman":
                assert target[1] == parts[1] or target[1] in INCLUDES[parts[1]], f"includes {name}"


def test_the_table_names_every_folder_of_the_core() -> None:
    """A new folder of the C++ core has a row in the table."""
    assert {p.name for p in (CPP / "kelman").iterdir() if p.is_dir()} <= set(INCLUDES)


@pytest.mark.parametrize("path", [*FILES, *SOURCES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    """A file longer than 400 lines hides a second file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
