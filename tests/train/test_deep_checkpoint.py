"""Deep weights on disk."""

from pathlib import Path

import pytest
import torch
from dcfnet.errors import ModelError
from dcfnet_train.deep.backbone import DEEP, DeepBackbone
from dcfnet_train.deep.checkpoint import DeepCheckpoint, load_deep, save_deep


def checkpoint() -> DeepCheckpoint:
    torch.manual_seed(0)
    return DeepCheckpoint(DeepBackbone(DEEP["deep"]).state_dict(), "deep", 112, 7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made, file = checkpoint(), tmp_path / "deep.safetensors"
    save_deep(made, file)
    read = load_deep(file)
    assert (read.architecture, read.patch_size, read.step) == ("deep", 112, 7)
    patches = torch.randn(1, 3, 112, 112)
    assert torch.equal(read.backbone()(patches), made.backbone()(patches))


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.safetensors"
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_deep(file)


def test_what_differs_is_named(tmp_path: Path) -> None:
    made, file = checkpoint(), tmp_path / "deep.safetensors"
    weights = {**made.weights, "projections.0.bias": torch.zeros(5)}
    save_deep(DeepCheckpoint(weights, "deep", 112, 7), file)
    with pytest.raises(ModelError, match=r"projections\.0\.bias is \(5,\), expected \(32,\)"):
        load_deep(file)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    file = tmp_path / "deep.safetensors"
    save_deep(DeepCheckpoint(checkpoint().weights, "deepest", 112, 7), file)
    with pytest.raises(ModelError, match=r"'deepest'.*there are deep"):
        load_deep(file)
