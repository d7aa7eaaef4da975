"""Every example in docstrings, README and guide runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import kelman

ROOT = Path(__file__).resolve().parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL | doctest.FAIL_FAST
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS = {"scikit-learn.md": "sklearn", "pytorch.md": "torch"}
"""Pages whose examples need an extra package."""
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(kelman.__path__, "kelman.", onerror=lambda _: None) if "._core" not in m.name
)


def run(test: doctest.DocTest) -> None:
    """Run the examples of one docstring or page; fail with what differs."""
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    runner.run(test, out=lines.append)
    assert not runner.failures, "".join(lines)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let examples that write files write them into a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    """Each example in the docstrings of a module gives the output that it shows."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if str(error.name or "").partition(".")[0] == "kelman":
            raise
        pytest.skip(f"{error.name} is not installed")
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        run(test)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(page: Path) -> None:
    """Each example in README and guide gives the output that it shows, in one session per page."""
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name])
    text = page.read_text(encoding="utf-8")
    run(doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0))


def test_the_reference_names_every_public_name() -> None:
    """What `kelman.__all__` lists has an entry in the reference."""
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "api").glob("*.md"))
    missing = [name for name in kelman.__all__ if f"kelman.{name}\n" not in text]
    assert not missing
