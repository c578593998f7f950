"""The commands in the documents: each exists, accepts its options, and does not refuse the output of the one before."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md"))))
APPS = {
    "dcfnet-run": "dcfnet.cli.run",
    "dcfnet-train": "dcfnet_train.cli",
    "dcfnet-crops": "dcfnet_train.crops.cli",
    "dcfnet-adapt": "dcfnet_train.adaptation.cli",
    "dcfnet-export": "dcfnet_export.cli",
    "dcfnet-eval": "dcfnet_evaluation.cli",
    "dcfnet-calibrate": "dcfnet_calibration.cli",
    "dcfnet-bench": "dcfnet_evaluation.bench.cli",
    "dcfnet_train": "dcfnet_train.cli",
    "dcfnet_train.deep": "dcfnet_train.deep.cli",
    "dcfnet_train.training_set": "dcfnet_train.training_set.cli",
}


def blocks(document: str) -> Iterator[list[list[str]]]:
    """The fenced blocks without a language, as the words of each line. Lines that end in a backslash are joined."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / document).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for text in (text for language, text in fenced if not language):
        lines = text.replace("\\\n", " ").splitlines()
        yield [words for line in lines if (words := _words(line))]


def _words(line: str) -> list[str]:
    """The words of a command of this project, from its name on; [] for another line, and for one with variables."""
    found = re.search(r"(?:^|\s)(dcfnet-[a-z]+ |(?:python )?-m dcfnet_|\./justw\b)", line)
    if found is None or "-->" in line or "$" in line:
        return []
    words = shlex.split(line[found.start() :].split(";")[0], comments=True)
    return words[words.index("-m") + 1 :] if "-m" in words[:2] else words


def parse(words: list[str]) -> Any:
    """Parses the command as its program does, without running it: the values of the options."""
    name, *arguments = words
    command: Any = typer.main.get_command(import_module(APPS[name]).app)
    if hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    return command.make_context(name, arguments).params


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_a_document_exist(document: str) -> None:
    recipes = re.findall(r"^([a-z][a-z-]*)(?: [^\n]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE)
    for block in blocks(document):
        outputs = []
        for words in block:
            assert "..." not in words, f"{document}: {words}: a reader cannot run this"
            if words[0] == "./justw":
                assert words[1:2] == [] or words[1] in recipes, words
                continue
            params = parse(words)
            if APPS[words[0]] == "dcfnet_train.cli" and not params["resume"]:
                outputs.append(params["output"])
        assert len(set(outputs)) == len(outputs), f"{document}: dcfnet-train refuses the folder of another run"


@pytest.mark.parametrize("name", APPS)
def test_help_has_no_brackets_that_its_reader_does_not_see(name: str) -> None:
    """rich takes "[default]" for markup and prints nothing."""
    command: Any = typer.main.get_command(import_module(APPS[name]).app)
    for each in (command, *getattr(command, "commands", {}).values()):
        for parameter in each.params:
            text = getattr(parameter, "help", None) or ""
            assert not re.search(r"\[[a-z/#@]", text), f"{each.name} {parameter.name}: {text}"
