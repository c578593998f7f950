"""Reads files of a git repository through `git`, without a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

from dcfnet.errors import SourceError


class Repository:
    """A repository to read from. It is a context manager: leaving it ends its `git cat-file` process."""

    def __init__(self, folder: Path) -> None:
        """folder: a bare repository, or a clone with a work tree."""
        self.folder = folder
        self._git = folder / ".git" if (folder / ".git").exists() else folder
        self._reader: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.communicate()  # closes its input, and the process ends
            self._reader = None

    def commit(self, wanted: str) -> str:
        """`wanted`, 40 hexadecimal digits, if the repository has this commit, else "HEAD".

        The caller then checks the content hash.
        """
        found = self._run("cat-file", "-t", wanted)
        return wanted if found.returncode == 0 and found.stdout.strip() == b"commit" else "HEAD"

    def blobs(self, commit: str) -> dict[str, str]:
        """Git id of each file of a commit, by path. Raises SourceError if git cannot list the commit."""
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", commit)
        if listed.returncode:
            raise SourceError(f"{self.folder}: git cannot list {commit} ({_last_line(listed.stderr)}); clone it again")
        found = {}
        for line in filter(None, listed.stdout.split(b"\0")):
            about, path = line.split(b"\t", 1)
            found[path.decode("utf-8", "surrogateescape")] = about.split()[2].decode()
        return found

    def read(self, blob: str) -> bytes:
        """Content of the file with this git id. Raises SourceError if the repository does not hold it."""
        reader = self._reader = self._reader or self._start()
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            reader.stdin.write(f"{blob}\n".encode())
            reader.stdin.flush()
        except OSError as error:
            raise SourceError(f"{self.folder}: git cat-file ended ({error.strerror}); clone it again") from error
        header = reader.stdout.readline().split()
        if len(header) != 3 or header[1] != b"blob":
            raise SourceError(f"{self.folder}: the object {blob} is missing; clone it again, without --filter")
        content = reader.stdout.read(int(header[2]) + 1)
        if len(content) != int(header[2]) + 1:
            raise SourceError(f"{self.folder}: the object {blob} is damaged; clone the repository again")
        return content[:-1]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [*self._command(), "cat-file", "--batch"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self._command(), *arguments], capture_output=True)

    def _command(self) -> list[str]:
        # --git-dir: git must not search the parent folders. No replacements: an id must belong to its content.
        return ["git", f"--git-dir={os.path.abspath(self._git)}", "--no-replace-objects"]


def find_repository(root: Path, name: str) -> Path:
    """Folder of the repository `name` (OWNER/NAME) under `root`: OWNER+NAME or OWNER/NAME, or `repo` inside it.

    Raises SourceError that names the missing repository and the folder to clone it to.
    """
    for place in (root / name.replace("/", "+"), root / name):
        for folder in (place / "repo", place):
            if (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir()):
                return folder
    raise SourceError(f"{root}: holds no repository {name}; clone it to {root / name}")


def _last_line(text: bytes) -> str:
    return (text.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
