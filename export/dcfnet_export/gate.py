"""The gate of `--verify`: verifies the exported files, prints the results and decides whether they pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dcfnet.backbones.loading import load_model
from dcfnet.backbones.selection import open_backbone
from dcfnet.cli.progress import CommandProgress
from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import DeviceError, MissingDependencyError
from dcfnet.model.backbone import Backbone
from dcfnet_evaluation.scores import CONFIDENCE
from dcfnet_evaluation.sequences import AnnotatedSequence
from rich.console import Console
from rich.progress import Progress, TaskID

from dcfnet_export.changes import Source
from dcfnet_export.files import ExportedFile
from dcfnet_export.verify import MARGINS, Verification, verify


def passes_gate(
    source: Source,
    files: Sequence[ExportedFile],
    sequences: Sequence[AnnotatedSequence],
    data: str | None,
    margin: float | None,
) -> bool:
    """Whether all files of a source, in one precision, track as well as its reference.

    data: name of the sequences. margin: see `Verification.objections`; None uses the margin of the precision. Prints
    the results, and writes them into the passport of an engine. Raises SequenceError.
    """
    model, console = files[0].model, Console(soft_wrap=True)
    config = model.preset(DEFAULT_PRESET)
    margin = MARGINS[model.precision] if margin is None else margin
    backbones = {
        exported.model.name: open_backbone(exported.model, "onnxruntime", config.patch_size) for exported in files
    }
    for exported in files:
        backbones |= _open_engine(exported.file, config.patch_size, console) if exported.engine else {}
    control = open_backbone(source.model, "onnxruntime", config.patch_size)
    with CommandProgress("dcfnet-export") as bar:
        task = bar.add_task("verify", total=1)
        advance = partial(_advance, bar, task)
        results = verify(model, source.reference, control, backbones, sequences, config, progress=advance)
    objections = {name: result.objections(model.precision, margin) for name, result in results.items()}
    for name, result in results.items():
        _report(console, name, result, objections[name], margin, source.reference_name)
    for exported in files:
        if exported.engine:
            _write_to_passport(exported, results, data)
    return not any(objections.values())


def _advance(bar: Progress, task: TaskID, share: float) -> None:
    bar.update(task, completed=share)


def _open_engine(file: Path, side: int, console: Console) -> dict[str, Backbone]:
    """The engine by its name, ready to run. Without a GPU, prints a message and returns {}."""
    try:
        return {str(file): open_backbone(load_model(file), "tensorrt", side)}
    except (DeviceError, MissingDependencyError) as error:
        console.print(f"{file}: built, not executed: {error}", style="yellow", markup=False)
        return {}


def _write_to_passport(exported: ExportedFile, results: Mapping[str, Verification], data: str | None) -> None:
    """Writes the verification of an engine, or of its graph if the engine was not executed, into its passport."""
    from dcfnet.engines.make import note_verification

    executed = str(exported.file) in results
    result = results[str(exported.file) if executed else exported.model.name]
    note_verification(exported.file, {"data": data, "executed": executed, **result.to_mapping()})


def _report(
    console: Console, name: str, result: Verification, objections: Sequence[str], margin: float, reference: str
) -> None:
    comparison = result.comparison
    lines = [
        f"{name}, compared with {reference} on {len(comparison.sequences)} sequences:",
        f"  features differ by up to {result.feature_error:.1e} of the largest feature, "
        f"peaks by up to {result.peak_shift:.3f} cells ({result.patches} patches)",
        f"  success AUC {result.auc:.4f}, {reference} {result.reference:.4f}: {comparison.difference:+.4f} "
        f"({CONFIDENCE:.0%} interval {comparison.low:+.4f} to {comparison.high:+.4f}); "
        f"float32 in ONNX Runtime {result.control:.4f}",
    ]
    lines += [
        f"  diverged in {divergence.sequence} at frame {divergence.frame}, started at frame {divergence.start}: "
        f"box overlap {divergence.overlap:.2f}"
        for divergence in result.divergences
    ]
    if result.loses(margin) and comparison.worse and not objections:
        lines.append(
            f"  accepted: most of the loss is in {comparison.worst}; the other sequences: "
            f"{comparison.without_worst:+.4f}"
        )
    lines += [f"  refused: {objection}" for objection in objections]
    console.print("\n".join(lines), markup=False, highlight=False)
