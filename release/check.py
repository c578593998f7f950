"""Builds wheel and sdist, checks them, and uses them in clean environments: ./justw release-check [OPTIONS].

Writes dist/: the wheel, the sdist and an SBOM in the format of CycloneDX. Exit code 1 if a check fails. A version of
Python that is not on this machine is skipped, and the last line names it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tomllib
from dockerfile import run_lines

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
BIN = Path(sys.executable).parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
CONSTRAINTS = ("--constraint", str(ROOT / "constraints.txt"))


@dataclass(frozen=True)
class Installation:
    """One clean environment. steps: arguments of `pip install`, one call each. engine: see smoke.py."""

    name: str
    steps: tuple[tuple[str, ...], ...]
    engine: str
    consistent: bool = True  # whether `pip check` must be silent


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Runs a command and returns its output. Raises SystemExit with the output if it fails."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=variables, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"release-check: {words} failed (exit code {done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def build() -> tuple[Path, Path]:
    """A new wheel and a new sdist in dist/; the wheel is built from the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def check_files(wheel: Path, sdist: Path) -> None:
    """The metadata, its text for a package index, and the content of the wheel."""
    run(BIN / "twine", "check", "--strict", wheel, sdist)
    # W009: the wheel has several packages at its top level, which is intended.
    run(BIN / "check-wheel-contents", "--ignore", "W009", wheel)


def interpreters(wanted: Iterable[str]) -> dict[str, Path | None]:
    """{version: interpreter, or None}: from PATH, or from the folder of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found: dict[str, Path | None] = {}
    for version in wanted:
        names = [shutil.which(f"python{version}"), sys.executable]
        names += [str(file) for file in sorted(pyenv.glob(f"{version}*/bin/python"))]
        found[version] = next((Path(name) for name in names if name and _version(name) == version), None)
    return found


def _version(interpreter: str) -> str:
    """The version of an interpreter, such as 3.12; empty if it does not run (a shim of pyenv may not)."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True)
    return done.stdout.strip()


def installations(wheel: Path, sdist: Path) -> list[Installation]:
    """What is installed on every version of Python. The pins of constraints.txt must resolve there."""
    headless = ("-r", str(ROOT / "requirements-headless.txt"), *CONSTRAINTS)
    return [
        Installation("wheel", ((str(wheel), *CONSTRAINTS),), "opencv"),
        Installation("wheel[cpu]", ((f"{wheel}[cpu]", *CONSTRAINTS),), "onnxruntime"),
        Installation("sdist[cpu], newest versions", ((f"{sdist}[cpu]",),), "onnxruntime"),
        Installation("wheel, headless OpenCV", (headless, ("--no-deps", str(wheel))), "onnxruntime", consistent=False),
    ]


def use(interpreter: Path, installation: Installation, folder: Path) -> Path:
    """Installs in a new environment and runs smoke.py there. Returns the environment's interpreter."""
    run(interpreter, "-m", "venv", folder)
    python = folder / "bin/python"
    for step in installation.steps:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step)
    if installation.consistent:
        run(python, "-m", "pip", "check")
    work = folder / "work"
    work.mkdir()
    run(python, ROOT / "release/smoke.py", installation.engine, cwd=work)
    return python


def try_dockerfile() -> None:
    """Raises SystemExit if a line of the Dockerfile fails, or the demo does not track its clip."""
    with tempfile.TemporaryDirectory(prefix="dcfnet-release-") as folder:
        try:
            printed = run_lines(Path(folder))
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"release-check: Dockerfile: {error}\n{error.stdout}{error.stderr}") from error
    overlap = re.search(r"mean overlap with the true boxes (0\.\d+)", printed)
    if overlap is None or float(overlap[1]) < 0.8:
        raise SystemExit(f"release-check: Dockerfile: the demo printed {printed!r}; its overlap must be at least 0.8")


def write_sbom(python: Path) -> Path:
    """The components of an environment in CycloneDX's format; the tool validates it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    file = DIST / f"{project}.cdx.json"
    options = ("--pyproject", ROOT / "pyproject.toml", "--mc-type", "library", "--output-reproducible")
    run(BIN / "cyclonedx-py", "environment", *options, "--output-file", file, python)
    return file


def main() -> None:
    """Parses the options and runs all checks."""
    parser = argparse.ArgumentParser(prog="release-check", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--python", action="append", help="version of Python to test, for example 3.12; repeatable")
    parser.add_argument("--quick", action="store_true", help="only the wheel with [cpu], on the running Python")
    options = parser.parse_args()
    wheel, sdist = build()
    check_files(wheel, sdist)
    print(f"{wheel.name}, {sdist.name}: metadata and content are valid", flush=True)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    pythons = interpreters(options.python or ([running] if options.quick else VERSIONS))
    chosen = [each for each in installations(wheel, sdist) if not options.quick or each.name == "wheel[cpu]"]
    for version, interpreter in pythons.items():
        for installation in chosen if interpreter else ():
            with tempfile.TemporaryDirectory(prefix="dcfnet-release-") as folder:
                python = use(interpreter, installation, Path(folder))
                print(f"Python {version}, {installation.name}: installed, tracks", flush=True)
                if installation.name == "wheel[cpu]" and not (DIST / "dcfnet.cdx.json").exists():
                    print(f"{write_sbom(python).name}: written", flush=True)
    if not options.quick:
        try_dockerfile()
        print("Dockerfile: its lines install the package and run the demo (the image itself was not built)", flush=True)
    missing = [version for version, interpreter in pythons.items() if interpreter is None]
    print(f"release-check: done{'; not on this machine: Python ' + ', '.join(missing) if missing else ''}")
    sys.exit(len(missing) == len(pythons))


if __name__ == "__main__":
    main()
