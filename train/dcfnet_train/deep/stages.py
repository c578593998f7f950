"""The first stages of EfficientNet-Lite0, as a network that gives one feature map per level.

Tan and Le, "EfficientNet" (ICML 2019); "Lite" has ReLU6 and no squeeze-and-excitation. The batch norms are folded
into the convolutions. So each convolution has a bias, and no result depends on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

STEM_CHANNELS = 32
Sides = tuple[int, int]  # pixels of padding before and after, the same along both axes


@dataclass(frozen=True)
class BlockShape:
    """Shape of one inverted residual block. expand: hidden channels per input channel."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expand: int

    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.inputs * self.expand

    def keeps(self) -> bool:
        """Whether the block has a residual connection, which adds its input to its output."""
        return self.stride == 1 and self.inputs == self.outputs


LITE0 = (
    BlockShape(32, 16, 3, 1, 1),  # stride 2
    BlockShape(16, 24, 3, 2, 6),  # stride 4
    BlockShape(24, 24, 3, 1, 6),
    BlockShape(24, 40, 5, 2, 6),  # stride 8
    BlockShape(40, 40, 5, 1, 6),
    BlockShape(40, 80, 3, 2, 6),  # stride 16
    BlockShape(80, 80, 3, 1, 6),
    BlockShape(80, 80, 3, 1, 6),
    BlockShape(80, 112, 5, 1, 6),
    BlockShape(112, 112, 5, 1, 6),
    BlockShape(112, 112, 5, 1, 6),
)


def same_padding(kernel: int, stride: int, late: bool = True) -> Sides:
    """Padding for which an even side becomes side / stride.

    If the padding is an odd number, TensorFlow puts the extra pixel after the map (right and bottom). This moves each
    feature by half an input pixel to the bottom right. late=False puts the extra pixel before the map.
    """
    total = kernel - stride
    less = total // 2
    return (less, total - less) if late else (total - less, less)


class Convolution(nn.Module):
    """A convolution with its own padding, then ReLU6 if `active`. Float32 (B, C, H, W) -> (B, C', H/s, W/s)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        padding: Sides,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        before, after = padding
        self.pad = nn.ZeroPad2d((before, after, before, after)) if before != after else nn.Identity()
        inner = before if before == after else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, inner, groups=groups)
        self.act = nn.ReLU6() if active else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv(self.pad(maps)))
        return out


class Block(nn.Module):
    """An inverted residual block: expand, depthwise, project. Float32 (B, C, H, W) -> (B, C', H/s, W/s)."""

    def __init__(self, shape: BlockShape, late: bool = True) -> None:
        super().__init__()
        hidden, padding = shape.hidden(), same_padding(shape.kernel, shape.stride, late)
        expanded = Convolution(shape.inputs, hidden, 1, (0, 0)) if shape.expand > 1 else nn.Identity()
        self.expand = expanded
        self.depthwise = Convolution(hidden, hidden, shape.kernel, padding, shape.stride, groups=hidden)
        self.project = Convolution(hidden, shape.outputs, 1, (0, 0), active=False)
        self.keeps = shape.keeps()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + out if self.keeps else out


class Stages(nn.Module):
    """Patches float32 (B, 3, S, S), BGR, mean subtracted -> the output of each block of `levels`, first to last.

    levels: indices into LITE0, in ascending order; blocks after the last one are not built.
    S: a multiple of the last stride.
    centred: True puts the extra pixel of strided convolutions after and before the map, alternately. Up to stride 8,
    the middle of a map is then at most 1.5 px from the middle of the patch. False pads as TensorFlow does; the distance
    is then 3.5 px at stride 8.
    """

    def __init__(self, levels: Sequence[int], centred: bool = True) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.stem = Convolution(3, STEM_CHANNELS, 3, same_padding(3, 2), 2)
        blocks, late = [], True
        for shape in LITE0[: self.levels[-1] + 1]:
            if shape.stride > 1 and centred:
                late = not late
            blocks.append(Block(shape, late))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, patches: Tensor) -> list[Tensor]:
        maps, taken = self.stem(patches), []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in self.levels:
                taken.append(maps)
        return taken


def channels_of(levels: Sequence[int]) -> list[int]:
    """Number of channels of each level, before its projection."""
    return [LITE0[level].outputs for level in levels]


def stride_of(level: int) -> int:
    """Pixels of the patch per feature of a level."""
    stride = 2
    for shape in LITE0[: level + 1]:
        stride *= shape.stride
    return stride
