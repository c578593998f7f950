"""The loss of several filters against the layer that works on maps."""

import torch
from dcfnet.filter.windows import cosine_window, gaussian_label
from dcfnet_train.deep.backbone import DEEP, DeepBackbone
from dcfnet_train.deep.levels import LEVEL_FILTERS, FeatureLevel, LevelsLoss
from dcfnet_train.objectives.correlation_filter import correlation_filter

SIDE, STRIDE, TARGET = 28, 4, 40.0


class Given(torch.nn.Module):
    """Gives the same features whatever it is asked."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return self.features


def features(channels: int, count: int = 4) -> torch.Tensor:
    return torch.randn(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def loss_of(levels: list[FeatureLevel]) -> LevelsLoss:
    return LevelsLoss(levels, SIDE * STRIDE, STRIDE, TARGET, 0.02)


def pairs() -> torch.Tensor:
    return torch.zeros(2, 2, 3, SIDE * STRIDE, SIDE * STRIDE)


def test_one_level_is_the_layer_on_maps() -> None:
    level, maps = FeatureLevel(6, 0.2), features(6)
    shifts = torch.tensor([[4.0, -8.0], [0.0, 12.0]])
    found = loss_of([level])(Given(maps), pairs(), shifts)

    window = torch.from_numpy(cosine_window(SIDE)).float()
    windowed = maps * torch.outer(window, window)
    label = torch.from_numpy(gaussian_label(SIDE, SIDE, level.label_sigma * TARGET / STRIDE))
    mean_energy = torch.fft.rfft2(windowed[:1]).abs().square().sum()  # only the scale: the share below is small
    assert mean_energy > 0
    response = torch.cat(
        [
            correlation_filter(t[None], s[None], label, _lambda(t, loss_of([level])))
            for t, s in zip(windowed[:2], windowed[2:], strict=True)
        ]
    )[:, 0]
    rolled = torch.stack([torch.roll(label, (int(y) // STRIDE, int(x) // STRIDE), (0, 1)) for x, y in shifts])
    expected = ((response - rolled) ** 2).sum(dim=(1, 2)) / (label**2).sum()
    # Frequencies beyond the label's band have no part in the loss, and next to none in the answer.
    torch.testing.assert_close(found, expected.mean(), rtol=2e-3, atol=1e-4)


def _lambda(template: torch.Tensor, loss: LevelsLoss) -> float:
    """The share of the mean energy that the loss takes, over the frequencies of its band."""
    energy = torch.fft.fft2(template).abs().square().sum(dim=0)
    rows = torch.arange(-loss.band, loss.band + 1) % SIDE
    return loss.regularisation * float(energy[rows][:, : loss.band + 1].mean())


def test_a_level_of_no_weight_has_no_part() -> None:
    maps, shifts = features(10), torch.zeros(2, 2)
    both = loss_of([FeatureLevel(6, 0.2), FeatureLevel(4, 0.3, 0.0)])(Given(maps), pairs(), shifts)
    one = loss_of([FeatureLevel(6, 0.2)])(Given(maps[:, :6]), pairs(), shifts)
    torch.testing.assert_close(both, one)


def test_a_template_that_is_found_again_costs_little() -> None:
    template = features(10, 2)
    maps, shifts = torch.cat([template, template]), torch.zeros(2, 2)
    levels = [FeatureLevel(6, 0.2), FeatureLevel(4, 0.3)]
    assert loss_of(levels)(Given(maps), pairs(), shifts) < 0.1
    assert loss_of(levels)(Given(maps), pairs(), torch.full((2, 2), 16.0)) > 1


def test_the_scale_of_the_target_costs_less_than_another() -> None:
    """The search patch shows the template at another size. Its response at that scale has the wanted height."""
    count, side = 2, SIDE
    coarse = torch.randn(count, 10, 7, 7, generator=torch.Generator().manual_seed(0))

    def at(size: float) -> torch.Tensor:
        line = torch.linspace(-0.8 / size, 0.8 / size, side)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).expand(count, -1, -1, -1)
        return torch.nn.functional.grid_sample(coarse, grid, mode="bicubic", align_corners=True)

    levels = [FeatureLevel(6, 0.2), FeatureLevel(4, 0.3)]
    loss = LevelsLoss(levels, SIDE * STRIDE, STRIDE, TARGET, 0.02, scale_weight=1.0)
    plain = LevelsLoss(levels, SIDE * STRIDE, STRIDE, TARGET, 0.02)
    shifts = torch.zeros(2, 2)
    maps = {size: torch.cat([at(1.0), at(size)]) for size in (1.0, 1.06)}
    part = {size: loss(Given(m), pairs(), shifts) - plain(Given(m), pairs(), shifts) for size, m in maps.items()}
    assert part[1.0] > 0
    assert part[1.0] < part[1.06] < 1


def test_every_parameter_learns() -> None:
    network = DeepBackbone(DEEP["deep"])
    loss = LevelsLoss(LEVEL_FILTERS["deep"], 112, 4, 112 / 3, 0.02)
    patches = torch.rand(1, 2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 255 - 110
    loss(network, patches, torch.tensor([[3.0, 5.0]])).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
