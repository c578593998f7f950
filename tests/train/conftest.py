"""Footage for the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.footage import make_otb_sequence, make_photos
from tests.train.repositories import make_repositories


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos/`, one rendered sequence of 12 frames, and `photos/`, three textures."""
    root = tmp_path_factory.mktemp("footage")
    make_otb_sequence(root / "videos" / "first", length=12)
    make_photos(root / "photos", count=3)
    return root


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clones, with one bare repository of annotated frames."""
    return make_repositories(tmp_path_factory.mktemp("git"))
