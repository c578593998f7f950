"""Searches constants of the tracker by tracking, with cross-validation.

For each fold, a separate search on the other sequences finds constants. The held-out sequences of the fold show their
gain on data that the search did not use. A last search on all sequences gives the final constants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcfnet.errors import ConfigError
from dcfnet.io.files import write_atomically
from dcfnet.model.file import CONFIG_KEY, Model
from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence
from optuna import Study, create_study, logging
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from dcfnet_calibration.metadata import with_metadata
from dcfnet_calibration.scoring import Scorer
from dcfnet_calibration.space import config_values

JOURNAL, RESULT = "study.journal", "tuned.json"
TrialCallback = Callable[[str, float], None]  # called after each trial: name of the search, its best AUC


@dataclass(frozen=True)
class Conditions:
    """All settings of a search except the number of trials. A search can only continue under the same conditions."""

    weights_sha256: str
    config: dict[str, Any]
    sequences: tuple[tuple[str, int], ...]  # name and frames, in the order that makes the folds
    constants: tuple[str, ...]
    starts: int
    limit: int | None
    folds: int
    seed: int

    def to_mapping(self) -> dict[str, Any]:
        """The conditions after a JSON round trip."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


@dataclass(frozen=True)
class Tuning:
    """The result. constants: of the search on all sequences. fold_constants: of the search for each fold.

    original, tuned: scores of each sequence while it was held out, with the constants of the model and of its fold.
    gain: tuned - original, paired by sequence.
    """

    constants: dict[str, float]
    original: list[Score]
    tuned: list[Score]
    gain: Comparison
    fold_constants: list[dict[str, float]]

    @property
    def significant(self) -> bool:
        """Whether the interval of the gain is above 0."""
        return self.gain.low > 0


def tune(
    scorer: Scorer,
    sequences: Sequence[AnnotatedSequence],
    space: Mapping[str, BaseDistribution],
    folder: Path,
    trials: int,
    folds: int,
    seed: int,
    on_trial: TrialCallback,
) -> Tuning:
    """Runs folds + 1 searches in `space` with `trials` trials each, with the TPE sampler of Optuna.

    Saves the searches in `folder`. A stopped search continues with the same trials as without the stop.
    on_trial: called after each trial. Raises ConfigError if the folder contains searches under other conditions.
    """
    conditions = Conditions(
        scorer.model.weights_sha256,
        scorer.config.to_mapping(),
        tuple((sequence.name, len(sequence)) for sequence in sequences),
        tuple(space),
        scorer.starts,
        scorer.limit,
        folds,
        seed,
    )
    storage, original = _open_storage(folder, conditions), config_values(space, scorer.config)

    def search(name: str, training: Sequence[AnnotatedSequence]) -> dict[str, float]:
        study = create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        for _ in range(trials - _completed(study)):
            _run_trial(
                study, space, original, seed, lambda constants: mean_score(scorer.scores(constants, training)).auc
            )
            on_trial(name, study.best_value)
        return dict(study.best_params)

    before: list[Score] = []
    after: list[Score] = []
    fold_constants = []
    for number in range(folds):
        held_out = sequences[number::folds]
        training = [sequence for index, sequence in enumerate(sequences) if index % folds != number]
        fold_constants.append(search(f"fold {number + 1}", training))
        before += scorer.scores(original, held_out)
        after += scorer.scores(fold_constants[-1], held_out)
    tuning = Tuning(search("all", sequences), before, after, compare(before, after), fold_constants)
    write_atomically((json.dumps(_report(tuning, conditions, trials), indent=2) + "\n").encode(), folder / RESULT)
    return tuning


def _open_storage(folder: Path, conditions: Conditions) -> JournalStorage:
    """The searches in the folder. Raises ConfigError with the conditions that differ."""
    logging.set_verbosity(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = create_study(storage=storage, study_name="conditions", load_if_exists=True)
    values = conditions.to_mapping()
    if not study.user_attrs:
        study.set_user_attr("conditions", values)
    saved = study.user_attrs["conditions"]
    differing = [name for name in values if saved.get(name) != values[name]]
    if differing:
        raise ConfigError(
            f"{folder} contains a search with different {', '.join(differing)}: add --fresh, or choose another --output"
        )
    return storage


def _completed(study: Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _run_trial(
    study: Study,
    space: Mapping[str, BaseDistribution],
    original: Mapping[str, float],
    seed: int,
    score: Callable[[Mapping[str, float]], float],
) -> None:
    """Runs the next trial. The first trial is the constants of the model, so the result is never worse on this data.

    Each trial has its own seed, so a stopped search continues with the same trials.
    """
    number = _completed(study)
    if not number:
        study.add_trial(create_trial(params=dict(original), distributions=dict(space), value=score(original)))
        return
    study.sampler = TPESampler(seed=seed * 10_000 + number)
    trial = study.ask(dict(space))
    study.tell(trial, score(trial.params))


def _report(tuning: Tuning, conditions: Conditions, trials: int) -> dict[str, Any]:
    gain = tuning.gain
    pairs = zip(tuning.original, tuning.tuned, strict=True)
    return {
        "constants": tuning.constants,
        "held_out": {
            "own": mean_score(tuning.original).auc,
            "tuned": mean_score(tuning.tuned).auc,
            "difference": gain.difference,
            "interval": [gain.low, gain.high],
            "sequences": {before.sequence: [before.auc, after.auc] for before, after in pairs},
        },
        "folds": tuning.fold_constants,
        "trials": trials,
        "conditions": conditions.to_mapping(),
    }


def write_tuned(model: Model, constants: Mapping[str, float], preset: str, file: Path) -> Model:
    """Writes a copy of the model with the constants in its config; returns the copy, parsed again.

    Raises ConfigError, and writes no file, if the preset of the model overrides one of the constants.
    """
    config = json.dumps(model.config.replace(**constants).to_mapping())
    tuned = with_metadata(model, CONFIG_KEY, config, str(file))
    values = tuned.preset(preset).to_mapping()
    overridden = [name for name, value in constants.items() if values[name] != value]
    if overridden:
        raise ConfigError(
            f"preset {preset} of {model.name} overrides the tuned {', '.join(overridden)}; use another --preset"
        )
    write_atomically(tuned.onnx, file)
    return tuned
