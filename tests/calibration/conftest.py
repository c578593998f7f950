"""Fixtures for the calibration tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.sequences import AnnotatedSequence

from tests.train.footage import make_otb_sequence


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rendered sequences of 16 frames in the layout of OTB: A, B and C."""
    root = tmp_path_factory.mktemp("footage")
    for seed, name in enumerate("ABC"):
        make_otb_sequence(root / name, length=16, seed=seed)
    return root


@pytest.fixture(scope="session")
def sequences(footage: Path) -> list[AnnotatedSequence]:
    return open_dataset("otb", footage)


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    """The shipped tracker, with small patches."""
    return open_pipeline("dcfnet", preset="fast")
