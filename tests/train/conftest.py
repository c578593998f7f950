"""Footage that every training test reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.footage import make_otb_sequence, make_photos


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos/`, one rendered sequence of 12 frames, and `photos/`, three textures."""
    root = tmp_path_factory.mktemp("footage")
    make_otb_sequence(root / "videos" / "first", length=12)
    make_photos(root / "photos", count=3)
    return root
