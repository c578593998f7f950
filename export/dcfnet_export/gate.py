"""What `--verify` tells, and whether it lets an export pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dcfnet.backbones import Backbone, open_backbone
from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import DeviceError, MissingDependencyError
from dcfnet.model import Model, load_model
from dcfnet_evaluation.scores import CONFIDENCE
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_train.checkpoint import Checkpoint
from dcfnet_train.validation import TorchBackbone
from rich.console import Console
from rich.progress import Progress, TaskID

from dcfnet_export.files import Made
from dcfnet_export.verify import MARGINS, Verdict, verify


def judge(
    checkpoint: Checkpoint,
    float32: Model,
    made: Sequence[Made],
    sequences: Sequence[AnnotatedSequence],
    data: str | None,
    margin: float | None,
) -> bool:
    """Whether all files made of a checkpoint, in one precision, track as it does.

    float32: the model of it that they were converted from. data: what the sequences are called. margin: see
    `Verdict.objections`; None is that of the precision. What is found is told on the terminal, and goes into the
    passport of an engine. Raises SequenceError.
    """
    model, console = made[0].model, Console(soft_wrap=True)
    config = model.preset(DEFAULT_PRESET)
    margin = MARGINS[model.precision] if margin is None else margin
    backbones = {each.model.name: open_backbone(each.model, "onnxruntime", config.patch_size) for each in made}
    for each in made:
        backbones |= _engine(each.file, config.patch_size, console) if each.engine else {}
    network = TorchBackbone(checkpoint.backbone(padding=True, stride=model.stride))
    control = open_backbone(float32, "onnxruntime", config.patch_size)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("verify", total=1)
        tell = partial(_advance, bar, task)
        verdicts = verify(model, network, control, backbones, sequences, config, progress=tell)
    objections = {name: verdict.objections(model.precision, margin) for name, verdict in verdicts.items()}
    for name, verdict in verdicts.items():
        _tell(console, name, verdict, objections[name])
    for each in made:
        if each.engine:
            _note(each, verdicts, data)
    return not any(objections.values())


def _advance(bar: Progress, task: TaskID, share: float) -> None:
    bar.update(task, completed=share)


def _engine(file: Path, side: int, console: Console) -> dict[str, Backbone]:
    """The engine, ready to run; none, and that is told, where there is no GPU to run it on."""
    try:
        return {str(file): open_backbone(load_model(file), "tensorrt", side)}
    except (DeviceError, MissingDependencyError) as error:
        console.print(f"{file}: built, not executed: {error}", style="yellow", markup=False)
        return {}


def _note(made: Made, verdicts: Mapping[str, Verdict], data: str | None) -> None:
    """Puts what was found of an engine, or of the graph it was built from, into its passport."""
    from dcfnet.engines.make import note_verification

    executed = str(made.file) in verdicts
    found = verdicts[str(made.file) if executed else made.model.name]
    note_verification(made.file, {"data": data, "executed": executed, **found.to_mapping()})


def _tell(console: Console, name: str, verdict: Verdict, objections: Sequence[str]) -> None:
    found = verdict.comparison
    lines = [
        f"{name}, against torch on {len(found.sequences)} sequences:",
        f"  features differ by up to {verdict.feature_error:.1e} of the largest, "
        f"peaks by up to {verdict.peak_shift:.3f} cells ({verdict.patches} patches)",
        f"  success AUC {verdict.auc:.4f}, torch {verdict.reference:.4f}: {found.difference:+.4f} "
        f"({CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}); "
        f"float32 by ONNX Runtime {verdict.control:.4f}",
    ]
    lines += [
        f"  went apart in {parting.sequence}, frame {parting.frame}, from a start in frame {parting.start}: "
        f"boxes overlap by {parting.overlap:.2f}"
        for parting in verdict.partings
    ]
    lines += [f"  refused: {objection}" for objection in objections]
    console.print("\n".join(lines), markup=False, highlight=False)
