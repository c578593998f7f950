"""The manifest of the training footage, the repositories that it names, and the command that reads both."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcfnet.errors import ConfigError, SourceError
from dcfnet_evaluation.datasets.otb import OTB100
from dcfnet_train.training_set.cli import app
from dcfnet_train.training_set.manifest import SHIPPED, Entry, load_manifest
from dcfnet_train.training_set.repository import Repository, find_repository
from typer.testing import CliRunner

from tests.train.repositories import NAME, entry, git


def manifest(file: Path, *entries: Entry) -> Path:
    """Entries as a manifest. The sequences inherit the values of the first entry; their folder is part of its path."""
    shared = [f'{key} = "{getattr(entries[0], key)}"' for key in ("repository", "commit", "format", "boxes", "frames")]
    shared = [line.replace("a seq/", "{folder}/") for line in shared]
    rows = [
        f'{{ name = "{one.name}", folder = "a seq", last = {one.last}, sha256 = "{one.sha256}" }},' for one in entries
    ]
    file.write_text("\n".join(["[[source]]", *shared, "sequences = [", *rows, "]"]) + "\n")
    return file


def test_the_command_writes_the_others_where_one_is_refused(repositories: Path, tmp_path: Path) -> None:
    good = entry(repositories)
    listed = manifest(tmp_path / "m.toml", good, good.replace(name="other", sha256="2" * 64))
    arguments = [str(listed), "--repositories", str(repositories), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "one: 6 frames, 6 with a box, 160 x 120 px" in result.output
    assert "left out: other: someone/tracker at" in result.output
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["one"]
    assert CliRunner().invoke(app, [*arguments, "--only", "one"]).exit_code == 0
    unknown = CliRunner().invoke(app, [*arguments, "--only", "two"])
    assert (unknown.exit_code, "it lists one, other" in unknown.output) == (1, True)


def test_a_repository_that_is_not_there_is_named_with_its_place(repositories: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no repository a/b; clone it to .*a/b"):
        find_repository(repositories, "a/b")
    clone = tmp_path / NAME
    git(tmp_path, "clone", "--quiet", str(repositories.parent / "work"), str(clone))
    assert find_repository(tmp_path, NAME) == clone
    with Repository(clone) as repository:
        assert "xywh0.txt" in repository.blobs("HEAD")
        with pytest.raises(SourceError, match=r"object 1{40} is missing"):
            repository.read("1" * 40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../one"}, r"name='\.\./one'"),
        ({"commit": "HEAD"}, "commit='HEAD': must be 40 hexadecimal digits"),
        ({"frames": "img.jpg"}, "frames='img.jpg': must be a path with one number"),
        ({"format": "boxes"}, "format='boxes': must be one of corners"),
        ({"first": 9}, "last must not be below first"),
        ({"format": "mask"}, "in the format mask"),
        ({"at": (1, 2)}, "absent in the others"),
        ({"unknown": 1}, "unknown setting unknown"),
    ],
)
def test_an_entry_shows_value_and_rule(repositories: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        entry(repositories, sha256="0" * 64, **changes)


def test_all_that_is_wrong_in_a_manifest_is_told_at_once(repositories: Path, tmp_path: Path) -> None:
    good = entry(repositories)
    file = manifest(tmp_path / "m.toml", good, good, good.replace(name="two"))
    file.write_text(file.read_text().replace('name = "two"', 'name = "two", first = 8'))
    with pytest.raises(ConfigError, match=r"m\.toml: two: .*; one: named twice"):
        load_manifest(file)
    for text in ("source = 1", "not toml", "[[source]]\nsequences = 1"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"m\.toml: not a manifest"):
            load_manifest(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_manifest(tmp_path / "none.toml")


def test_the_shipped_manifest_names_no_video_of_otb() -> None:
    """VOT2014's names of them, too: motocross is OTB's MotorRolling."""
    entries = load_manifest(SHIPPED)
    names = {one.name.split("_", 1)[1].casefold() for one in entries}
    known = {name.casefold() for name in (*OTB100, *(name.split("-")[0] for name in OTB100))}
    assert len(entries) == 52
    assert not names & (known | {"motocross", "skating", "surfing", "gymnastics", "airplane"})
