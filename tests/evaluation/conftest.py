"""Fixtures of the evaluation tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.evaluation import doubles
from tests.train.footage import make_otb_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in the OTB layout with two rendered sequences of 12 frames, Alpha and Beta."""
    return make_otb_dataset(tmp_path_factory.mktemp("otb"), length=12)


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with trackers that other processes can import, like a module of the user."""
    name = f"trackers_{os.getpid()}_{time.monotonic_ns()}"
    (tmp_path / "own").mkdir()
    source = Path(doubles.__file__).read_text()
    (tmp_path / "own" / f"{name}.py").write_text(
        source + "\n\nclass Deadly(Identity):\n"
        "    def update(self, frame):\n"
        "        import os, pathlib, signal\n"
        f"        mark = pathlib.Path({str(tmp_path / 'killed')!r})\n"
        "        if not mark.exists():\n"
        "            mark.touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return self.box\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    return name
