"""The ablation of the paper (Table 2): networks and sizes of the scale pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcfnet.backbones.loading import load_model
from rich.table import Table

from dcfnet_evaluation.scores import mean_score
from dcfnet_evaluation.scores.sheet import Sheet
from dcfnet_evaluation.scores.tables import empty_table
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet

SEPARATOR = " S="


def ablation_contenders(models: Sequence[Path], scales: Sequence[int]) -> list[Contender]:
    """One tracker for each pair of a model and a number of scales; all other constants are equal.

    models: () selects the shipped `dcfnet`, a network of the paper. Raises ModelError if a model cannot be read, and
    ConfigError if a number of scales is even.
    """
    contenders: list[Contender] = []
    for model in models or (Path("dcfnet"),):
        config = load_model(model).config
        contenders += [Dcfnet(f"{model.stem}{SEPARATOR}{size}", model, config.replace(scales=size)) for size in scales]
    return contenders


def ablation_table(sheet: Sheet) -> Table:
    """One row for each network and number of scales: the columns of the paper, AUC, and FPS if times were measured."""
    table = empty_table("network", "S", "OP@0.5", "DP@20", "CLE px", "AUC", "FPS")
    for name, scores in sheet.scores.items():
        mean, timing = mean_score(scores), sheet.timings.get(name)
        figures = (f"{value:.3f}" for value in (mean.overlap_precision, mean.precision))
        speed = f"{timing.fps:.0f}" if timing else "-"
        table.add_row(*name.rsplit(SEPARATOR, 1), *figures, f"{mean.centre_error:.1f}", f"{mean.auc:.3f}", speed)
    return table
