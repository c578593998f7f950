"""Engines of the shipped model, built for real where TensorRT-RTX is installed, with keys of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from dcfnet.engines.flavour import Flavour, open_flavour
from dcfnet.engines.make import make_engine
from dcfnet.engines.options import BuildOptions
from dcfnet.model import load_model


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of signing keys that is nobody's: tests neither read nor make a person's own."""
    monkeypatch.setenv("DCFNET_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx", reason="engines are built with TensorRT-RTX, which has wheels for x86-64 alone")
    return open_flavour("tensorrt_rtx")


@pytest.fixture
def engine(rtx: Flavour, tmp_path: Path) -> Path:
    """An engine of the shipped model for SM 8.6 and 8.9."""
    model, file = load_model(), tmp_path / "net.engine"
    make_engine(model, file, BuildOptions.of(model, compute_capabilities="8.6,8.9"), rtx)
    return file
