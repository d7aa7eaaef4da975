# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2"]
# ///
"""The habits of this repository, one session each: `nox -l` lists them, CI runs the same names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
NATIVE_BUILD = ["cmake>=3.21", "ninja", "pybind11>=3.0", "cmeel-eigen>=3.4.1,<4"]
STUBS = ROOT / "python" / "kelman" / "_core"
ONE_VARIANT = {"SKBUILD_CMAKE_DEFINE": "KELMAN_ISA_LIST=native"}  # sessions that do not compare variants build one
PROGRAMS = ("kelman_tests", "kelman_benchmarks")  # without the modules, which `build` makes of every variant
STUBGEN = ["pybind11-stubgen==3.0.0", "numpy"]


def _install(session: nox.Session, extras: str = "") -> None:
    """Install the package: the wheel that KELMAN_WHEEL names, or this tree with one variant."""
    wheel = os.environ.get("KELMAN_WHEEL")
    session.install(f"{wheel or '.'}{extras}", env=None if wheel else ONE_VARIANT)


@nox.session
def lint(session: nox.Session) -> None:
    """Every hook of .pre-commit-config.yaml on every file: format, lint, spelling, repository habits."""
    session.install("pre-commit>=4")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Run mypy, strictly, on the package."""
    session.install("mypy==2.4.1", "numpy>=2", "pybind11>=3.0")
    session.run("mypy", *session.posargs)


@nox.session(default=False)
def stubs(session: nox.Session) -> None:
    """Compare the committed stubs of the core with fresh ones; `nox -s stubs -- --update` writes them."""
    session.install(*STUBGEN, "ruff==0.17.6")
    _install(session)
    fresh = Path(session.create_tmp()) / "stubs"
    session.run("python", "cmake/make_stubs.py", str(fresh))
    if "--update" in session.posargs:
        session.run("python", "cmake/make_stubs.py", str(STUBS))
        return
    session.run("python", "cmake/make_stubs.py", "--compare", str(fresh), str(STUBS))


@nox.session
def tests(session: nox.Session) -> None:
    """Install the package with its test extra and run pytest."""
    session.install(".[app,test]")
    session.run("pytest", *session.posargs)


def _cmake(session: nox.Session, preset: str, *targets: str) -> None:
    """Configure, build (all, or some targets) and test one preset of CMakePresets.json."""
    session.install(*NATIVE_BUILD)
    purelib = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    cmakedir = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    env = {"CMAKE_PREFIX_PATH": os.pathsep.join([f"{str(purelib).strip()}/cmeel.prefix", str(cmakedir).strip()])}
    python = Path(session.bin) / "python"
    session.run("cmake", "--preset", preset, f"-DPython_EXECUTABLE={python}", *session.posargs, env=env)
    chosen = ["--target", *targets] if targets else []
    session.run("cmake", "--build", "--preset", preset, "--parallel", "2", *chosen)
    session.run("ctest", "--preset", preset)


@nox.session(default=False)
@nox.parametrize("preset", ["dev", "all", "portable", "clang"], ids=["dev", "all", "portable", "clang"])
def cpp(session: nox.Session, preset: str) -> None:
    """Build and test the C++ core alone, warnings as errors: `cpp(dev)`, `cpp(all)`, `cpp(portable)`, `cpp(clang)`."""
    if preset == "clang" and shutil.which("clang++") is None:
        session.skip("clang++ is not installed")
    _cmake(session, preset, *(PROGRAMS if preset == "all" else ()))


@nox.session(default=False)
def benchmarks_cpp(session: nox.Session) -> None:
    """Build and run the C++ micro-benchmarks of every variant that runs here: `nox -s benchmarks_cpp -- loglik`."""
    names, session.posargs[:] = [*session.posargs], []
    _cmake(session, "all", *PROGRAMS)
    for program in sorted((ROOT / "build" / "all" / "benchmarks" / "cpp").glob("kelman_benchmarks_*")):
        session.run(str(program), *names, external=True)


@nox.session(default=False)
def instructions(session: nox.Session) -> None:
    """Count the instructions of the kernels (avx2, valgrind) and compare: `-- --update` writes the counts anew."""
    options, session.posargs[:] = [*session.posargs], []
    _cmake(session, "all", *PROGRAMS)
    program = ROOT / "build" / "all" / "benchmarks" / "cpp" / "kelman_benchmarks_avx2"
    session.run("python", "-m", "benchmarks.instructions", str(program), *options)


@nox.session(default=False)
def asan(session: nox.Session) -> None:
    """Run the C++ tests under the address and undefined-behaviour sanitizers."""
    _cmake(session, "asan")


@nox.session(default=False)
def tsan(session: nox.Session) -> None:
    """Run the C++ tests under the thread sanitizer."""
    _cmake(session, "tsan")


@nox.session(default=False)
def tidy(session: nox.Session) -> None:
    """Run clang-tidy on every source of the core, warnings as errors."""
    session.install(*NATIVE_BUILD, "clang-tidy==23.1.4")
    purelib = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    cmakedir = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    env = {"CMAKE_PREFIX_PATH": os.pathsep.join([f"{str(purelib).strip()}/cmeel.prefix", str(cmakedir).strip()])}
    session.run("cmake", "--preset", "tidy", f"-DPython_EXECUTABLE={Path(session.bin) / 'python'}", env=env)
    sources = sorted(
        str(p.relative_to(ROOT)) for d in ("bindings", "instantiate") for p in (ROOT / "cpp" / d).glob("*.cpp")
    )
    session.run(
        "clang-tidy", "-p", "build/tidy", "--quiet", "--removed-arg=-fno-gnu-unique", *(session.posargs or sources)
    )


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation: every reference must resolve, every warning is an error."""
    _install(session, "[app,sklearn]")
    session.install("-r", "docs/requirements.txt")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks: `nox -s bench -- K1 --quick`."""
    _install(session)
    session.run("python", "-m", "benchmarks", *(session.posargs or ["import", "K1", "--quick"]))


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """Run the benchmarks beside other packages, in an environment of their own: `nox -s peers -- K1 --quick`."""
    _install(session)
    folder = session.cache_dir / "peers"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        session.run("python", "-m", "benchmarks", "--setup-peers", str(folder))
    session.run("python", "-m", "benchmarks", "--peers", "all", "--peers-python", str(python), *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist, the wheel from it with every instruction set, and check both."""
    session.install("build", "twine", "auditwheel; sys_platform == 'linux'")
    out = Path(session.create_tmp()) / "dist"
    shutil.rmtree(out, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(out), "-Ccmake.define.KELMAN_ISA_LIST=all", *session.posargs)
    session.run("twine", "check", "--strict", *(str(p) for p in sorted(out.iterdir())))
    for wheel in out.glob("*linux*.whl"):
        session.run("auditwheel", "show", str(wheel))
    shutil.copytree(out, ROOT / "dist", dirs_exist_ok=True)


@nox.session(default=False)
def acceptance(session: nox.Session) -> None:
    """Run the long statistical checks and write acceptance/*.json; names choose: `nox -s acceptance -- poles`."""
    _install(session)
    session.run("python", "-m", "acceptance", *session.posargs)


if __name__ == "__main__":
    nox.main()
