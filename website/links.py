"""A hook of MkDocs: pages that are outside docs/, and links that work in the repository and on the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Files outside docs/ that are pages (or files) of the site, and their names there.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "QUALITY_DECLARATION.md": "quality.md",
    "runtime/dcfnet/model/shipped/README.md": "model_card.md",
    "benchmarks/README.md": "runs.md",
    "integrations/cpp/README.md": "cpp.md",
    "LICENSE": "LICENSE.txt",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")  # ](target#anchor), but no address with a scheme


def on_files(files: Any, config: Any) -> Any:
    """Adds the files of PAGES to the site."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page with its links made those of the site."""
    names = {name: source for source, name in PAGES.items()}
    name = page.file.src_uri
    return site_links(markdown, names.get(name, f"docs/{name}"), name)


def site_links(markdown: str, source: str, name: str) -> str:
    """Rewrites relative links. source: path of the text in the repository, name: of its page on the site.

    A link to a file that is not on the site stays as it is; a strict build then stops.
    """

    def rewritten(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        if target in PAGES:
            target = PAGES[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        else:
            return link[0]
        return link[1] + posixpath.relpath(target, posixpath.dirname(name) or ".") + link[3]

    return LINK.sub(rewritten, markdown)
