"""The paper's ablation (Table 2): networks against sizes of the scale pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcfnet.model import load_model
from rich.table import Table

from dcfnet_evaluation.contenders import Contender, Dcfnet
from dcfnet_evaluation.scores import mean_score
from dcfnet_evaluation.sheet import Sheet
from dcfnet_evaluation.tables import empty_table

SEPARATOR = " S="


def ablation_contenders(models: Sequence[Path], scales: Sequence[int]) -> list[Contender]:
    """A tracker for every model (the shipped one without any) and every number of scales, all else equal.

    Raises ModelError, and ConfigError for an even number of scales.
    """
    found: list[Contender] = []
    for model in models or (None,):
        config = load_model(model).config
        name = Path(model).stem if model else "shipped"
        found += [Dcfnet(f"{name}{SEPARATOR}{size}", model, config.replace(scales=size)) for size in scales]
    return found


def ablation_table(sheet: Sheet) -> Table:
    """A row a network and number of scales, the paper's columns and AUC; FPS where times were taken."""
    table = empty_table("network", "S", "OP@0.5", "DP@20", "CLE px", "AUC", "FPS")
    for name, scores in sheet.scores.items():
        mean, timing = mean_score(scores), sheet.timings.get(name)
        figures = (f"{value:.3f}" for value in (mean.overlap_precision, mean.precision))
        speed = f"{timing.fps:.0f}" if timing else "-"
        table.add_row(*name.rsplit(SEPARATOR, 1), *figures, f"{mean.centre_error:.1f}", f"{mean.auc:.3f}", speed)
    return table
