"""What `import kelman` brings along."""

from __future__ import annotations

import json

from .variants import run

HEAVY = {"scipy", "torch", "pandas", "matplotlib", "pyarrow", "rich", "typer", "jinja2", "sklearn", "statsmodels"}


def test_import_loads_numpy_and_the_core_and_nothing_else() -> None:
    """After `import kelman` no optional or heavy package is among the loaded modules."""
    result = run("import kelman, sys, json; print(json.dumps(sorted(sys.modules)))")
    assert result.returncode == 0, result.stderr
    loaded = {name.split(".")[0] for name in json.loads(result.stdout)}
    assert not loaded & HEAVY
    assert "numpy" in loaded


def test_import_prints_and_warns_nothing() -> None:
    """Importing the package is silent, with every warning shown."""
    result = run("import warnings; warnings.simplefilter('error'); import kelman")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_every_public_name_can_be_reached() -> None:
    """Each name of `kelman.__all__` that needs no extra package resolves, and `dir` lists it."""
    code = """
import kelman
for name in kelman.__all__:
    assert name in dir(kelman), name
    try:
        getattr(kelman, name)
    except ImportError as error:
        assert name in ("torch", "estimators", "plotting", "experiments"), (name, error)
assert list(kelman.__all__) == sorted(kelman.__all__), "unsorted"
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
