"""benchmarks/compare_commits.py on a small test repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import load_script

DCFNET = """
class Box(tuple):
    def __new__(cls, *values):
        return super().__new__(cls, values)

class Tracker:
    def __init__(self, preset="balanced"):
        pass
    def init(self, frame, box):
        assert frame.shape == (90, 160, 3) and len(box) == 4
    def update(self, frame):
        return {answer}
"""


@pytest.fixture
def script() -> ModuleType:
    return load_script("compare_commits")


@pytest.fixture
def repository(tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the commits v1 and v2, with a fake dcfnet, and the commit empty, without one."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    for tag in ("v1", "v2"):
        (root / "runtime" / "dcfnet").mkdir(parents=True, exist_ok=True)
        (root / "runtime" / "dcfnet" / "__init__.py").write_text(DCFNET.format(answer=repr(tag)))
        commit(root, tag)
    (root / "runtime" / "dcfnet" / "__init__.py").unlink()
    (root / "README").touch()
    commit(root, "empty")
    monkeypatch.setattr(script, "ROOT", root)
    return root


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root: Path, tag: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--no-verify", "--message", tag)
    git(root, "tag", tag)


def has_no_extra_worktree(root: Path) -> bool:
    return len(git(root, "worktree", "list").splitlines()) == 1


def test_two_commits_are_measured_in_turns(
    script: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(["v1", "v2", "--pairs", "2", "--frames", "24", "--size", "160x90", "--with", "preset=fast"])
    lines = capsys.readouterr().out.splitlines()
    heads = [git(repository, "rev-parse", tag)[:10] for tag in ("v1", "v2")]
    assert lines[0] == f"A: {heads[0]} B: {heads[1]}"
    assert [line.split(":")[0] for line in lines[1:]] == ["p50", "p99", "mean"]
    assert all("B / A" in line and "2 pairs" in line for line in lines[1:])
    assert has_no_extra_worktree(repository)


def test_the_order_is_a_b_b_a(script: ModuleType) -> None:
    assert "".join(script.order(4)) == "ABBAABBA"
    assert "".join(script.order(3)) == "ABBAAB"


def test_an_installed_dcfnet_is_not_used_for_a_commit(script: ModuleType, repository: Path) -> None:
    with pytest.raises(script.CommitError, match=r"A-0: another dcfnet was imported, .*__init__\.py"):
        script.main(["empty", "v1", "--pairs", "1", "--frames", "24", "--size", "160x90"])
    assert has_no_extra_worktree(repository)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v1", "none"], "git rev-parse --verify none"),
        (["v1", "v2", "--frames", "20"], "at least 22 are needed"),
        (["v1", "v2", "--size", "big"], "for example 640x360"),
        (["v1", "v2", "--footage", "nowhere"], "nowhere"),
        (["v1", "v2", "--with", "preset"], "NAME=VALUE"),
        (["v1", "v2", "--size", "160x90", "--with-b", "speed=9"], "B-1: cannot be measured: TypeError"),
    ],
)
def test_invalid_arguments_are_errors(script: ModuleType, repository: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(script.CommitError, match=message):
        script.main([*arguments, "--pairs", "1"])
    assert has_no_extra_worktree(repository)


def test_tracker_arguments_are_parsed_as_json_if_possible(script: ModuleType) -> None:
    assert script.settings(["preset=fast", 'config={"scales": 1}', "n=3"]) == {
        "preset": "fast",
        "config": {"scales": 1},
        "n": 3,
    }
