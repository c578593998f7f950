"""Readers of files that others wrote: a damaged file raises a documented error, or is read, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.damage import Reader, attempt
from tests.fuzz.readers import READERS

TRIALS = 12  # of each reader; benchmarks/fuzz.py runs more


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_raises_documented_errors_alone(reader: Reader, tmp_path: Path) -> None:
    reader.read(reader.write(tmp_path, reader.content()))
    accepted = [attempt(reader, tmp_path, seed) for seed in range(TRIALS)]
    assert not all(accepted)
