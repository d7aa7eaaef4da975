"""Every compiled variant gives the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kelman._core as core

from .variants import run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """Return what each variant computes, each in a process of its own."""
    found = {}
    for name in core.available():
        file: Path = tmp_path_factory.mktemp("variants") / f"{name}.npz"
        process = run(f"import runpy, sys; sys.argv[1:] = [{str(file)!r}]; "
                      "runpy.run_module('tests.boundary.workload', run_name='__main__')", KELMAN_ISA=name)  # fmt: skip
        assert process.returncode == 0, process.stderr
        with np.load(file) as data:
            found[name] = dict(data)
        assert found[name].pop("isa") == name
    return found


@pytest.mark.variants
@pytest.mark.parametrize(
    "name", core.available()[1:] or [pytest.param("", marks=pytest.mark.skip(reason="one variant"))]
)
def test_variants_agree(name: str, results: dict[str, dict[str, np.ndarray]]) -> None:
    """Filter, smoother and networks of a variant agree with the plainest one to 1e-12 of the largest entry."""
    first = results[core.available()[0]]
    for key, value in results[name].items():
        tolerance = 1e-12 if value.dtype == np.float64 else 2e-4
        scale = max(1.0, np.nanmax(np.abs(first[key])))
        np.testing.assert_allclose(value, first[key], rtol=0, atol=tolerance * scale, err_msg=key)
