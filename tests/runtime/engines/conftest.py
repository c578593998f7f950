"""Fixtures: engines of the model `dcfnet`, built with TensorRT-RTX if it is installed, and separate signing keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.make import make_engine
from dcfnet.engines.options import BuildOptions


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of signing keys. Tests do not read or create the keys of the user."""
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX, which has wheels for x86-64 only")
    return open_flavour("tensorrt_rtx")


@pytest.fixture
def engine(rtx: Flavour, tmp_path: Path) -> Path:
    """An engine of the model `dcfnet` for SM 8.6 and 8.9."""
    model, file = load_model("dcfnet"), tmp_path / "net.engine"
    make_engine(model, file, BuildOptions.of(model, compute_capabilities="8.6,8.9"), rtx)
    return file
