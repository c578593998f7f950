"""The documentation site: all pages are in its menu, its links work, and the API reference is complete."""

from __future__ import annotations

import dataclasses
import os
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import dcfnet
import pytest
from dcfnet.devices.filters import ArrayFilters
from dcfnet.devices.records import TARGET
from dcfnet.io.sinks.boxes import HEADERS
from dcfnet.lifecycle import state_file
from dcfnet.model import file as model_file
from dcfnet.model.file import METADATA_KEYS

ROOT = Path(__file__).parents[1]
REMEDY = (
    "A new page of docs/ needs a line under `nav` in mkdocs.yml, in the section where a reader would look for it. "
    "A page outside docs/ also needs a line in PAGES of website/links.py. Then run ./justw docs"
)


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.ids.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the site, by file; built strictly."""
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert built.returncode == 0, f"{built.stdout}{built.stderr}\n{REMEDY}"
    return {file: Page(file.read_text("utf-8")) for file in folder.rglob("*.html") if file.name != "404.html"}


def page(site: dict[Path, Page], name: str) -> tuple[Path, Page]:
    """The page NAME.html of the site."""
    top = min((file.parent for file in site), key=lambda folder: len(folder.parts))
    file = top / f"{name}.html"
    return file, site[file]


def test_each_page_is_in_the_menu(site: dict[Path, Page]) -> None:
    _, home = page(site, "index")
    for file in (ROOT / "docs").rglob("*.md"):
        name = file.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert name in home.links, f"{file.name} is not in the menu. {REMEDY}"


def test_links_within_the_site_lead_to_pages_and_anchors(site: dict[Path, Page]) -> None:
    bad = []
    for file, each in site.items():
        for link in each.links:
            target, anchor = urldefrag(unquote(link))
            if ":" in target or target.startswith("//"):
                continue
            goal = file if not target else (file.parent / target).resolve()
            if not goal.is_file() or (anchor and goal in site and anchor not in site[goal].ids):
                bad.append(f"{file.name}: {link}")
    assert not bad, f"{bad}\n{REMEDY}"


def test_the_reference_has_all_public_names(site: dict[Path, Page]) -> None:
    _, reference = page(site, "reference")
    missing = [name for name in dcfnet.__all__ if name[0] != "_" and f"dcfnet.{name}" not in reference.ids]
    assert not missing, f"add a line `::: dcfnet.NAME` to docs/reference.md for {missing}"


def test_arguments_and_constants_are_lists_in_the_reference(site: dict[Path, Page]) -> None:
    """The docstrings name them within the text; website/docstrings.py makes lists of them."""
    text = page(site, "reference")[0].read_text("utf-8")
    assert "<p>x, y, w, h, frame pixels, 0-based.</p>" in text  # of Tracker.init
    assert "<p>ratio of neighbouring scales</p>" in text  # a comment in config/constants.py


def test_the_pictures_of_the_method_are_those_of_their_script(tmp_path: Path) -> None:
    """The script is run by hand: other versions of a library change a few pixels. One picture is tried here."""
    script = runpy.run_path(str(ROOT / "website/method_pictures.py"))
    pictures, page = script["pictures"](), (ROOT / "docs/method.md").read_text("utf-8")
    assert sorted(f"{name}.webp" for name in pictures) == sorted(file.name for file in (ROOT / "docs/method").iterdir())
    assert [name for name in pictures if f"](method/{name}.webp)" not in page] == []
    script["save"](pictures["response"](), tmp_path / "response.webp")
    assert (tmp_path / "response.webp").stat().st_size > 2000


def test_the_formats_page_has_all_columns_and_tensors() -> None:
    page = (ROOT / "docs/formats.md").read_text("utf-8")
    assert f"```text\n{HEADERS['csv']}\n```" in page, "describe the new columns in docs/formats.md"
    tensors = TARGET.names or ()
    filters = [f"filters.{field.name}" for field in dataclasses.fields(ArrayFilters)]
    names = [*HEADERS["csv"].split(","), *tensors, *filters, *METADATA_KEYS]
    missing = [name for name in names if f"`{name}`" not in page]
    assert not missing, f"docs/formats.md does not describe {missing}"
    assert f"(the format, `{state_file.FORMAT}`)" in page
    assert f"| `dcfnet.format` | `{model_file.FORMAT}` |" in page
