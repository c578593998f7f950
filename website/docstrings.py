"""An extension of Griffe: the docstrings of this project, with arguments and errors as lists.

The docstrings name arguments in the text: "frame: uint8 (H, W, 3) BGR. box: x, y, w, h." The site shows them as the
sections of Google's style. In "Raises InvalidBoxError." the name becomes a link.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ERRORS = re.compile(r"\b(?<![`\[.])([A-Z]\w+Error)\b")
CODE = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")


class ProjectDocstrings(griffe.Extension):
    """Rewrites the docstring of each class and function before the site renders it."""

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        if func.docstring is not None:
            names = [parameter.name for parameter in func.parameters if parameter.name not in ("self", "cls")]
            func.docstring.value = as_sections(func.docstring.value, names, "Args")

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for member in cls.members.values():
            if isinstance(member, griffe.Attribute) and member.docstring is None:
                member.docstring = trailing_comment(member)
        if cls.docstring is None:
            return
        init = cls.members.get("__init__")
        if isinstance(init, griffe.Function):
            names, section = [parameter.name for parameter in init.parameters if parameter.name != "self"], "Args"
        else:
            names, section = [name for name, member in cls.members.items() if member.is_attribute], "Attributes"
        cls.docstring.value = as_sections(cls.docstring.value, names, section)


def trailing_comment(attribute: griffe.Attribute) -> griffe.Docstring | None:
    """The comment after the value of a field: the unit and the meaning of a constant."""
    found = re.search(r"  # (.+)", "\n".join(attribute.lines))
    return griffe.Docstring(found[1], parent=attribute) if found else None


def as_sections(text: str, names: list[str], section: str) -> str:
    """The docstring with "name: description" parts of these names moved into a section of Google's style."""
    head = r"(?:(?<=\A)|(?<=\n)|(?<=[.;] ))"
    known = "|".join(map(re.escape, names)) or r"(?!)"
    start = re.compile(rf"{head}((?:{known})(?:, (?:{known}))*): ")
    prose: list[str] = []
    described: dict[str, str] = {}
    for block in re.split(r"\n(?=Raises |\n)", text):
        before, *parts = start.split(block)
        prose.append(before)
        for group, description in zip(parts[::2], parts[1::2], strict=True):
            for name in group.split(", "):
                described[name] = " ".join(description.split())
    body = _linked("\n\n".join(part.strip("\n") for part in prose if part.strip()))
    if not described:
        return body
    entries = "\n".join(f"    {name}: {_linked(words)}" for name, words in described.items())
    return f"{body}\n\n{section}:\n{entries}"


def _linked(text: str) -> str:
    """Names of errors become links to their entries in the reference."""
    return ERRORS.sub(r"[\1][dcfnet.\1]", text)
