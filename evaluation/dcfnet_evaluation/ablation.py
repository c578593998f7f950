"""The paper's ablation (Table 2): networks against sizes of the scale pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcfnet.model import load_model
from rich.table import Table

from dcfnet_evaluation.contenders import Contender, Dcfnet
from dcfnet_evaluation.scores import mean_score
from dcfnet_evaluation.sheet import Sheet

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
    """A row a network, a column a number of scales: success AUC, and frames a second where they were taken serially."""
    names = [name.rsplit(SEPARATOR, 1) for name in sheet.scores]
    table = Table("network")
    for size in dict.fromkeys(size for _, size in names):
        table.add_column(f"S = {size}", justify="right")
    for network in dict.fromkeys(network for network, _ in names):
        table.add_row(network, *(_cell(sheet, f"{n}{SEPARATOR}{size}") for n, size in names if n == network))
    return table


def _cell(sheet: Sheet, name: str) -> str:
    timing = sheet.timings.get(name)
    return f"{mean_score(sheet.scores[name]).auc:.3f}" + (f" ({timing.fps:.0f} FPS)" if timing else "")
