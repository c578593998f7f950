"""The tracker's constants, searched by tracking, and the proof on sequences that the search did not see.

For every fold a search of its own over the other sequences finds constants, which are then scored on the sequences left
out: what the gain is where nothing was chosen. A last search over all sequences gives the constants that are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcfnet.errors import ConfigError
from dcfnet.model import CONFIG_KEY, Model, parse_model
from dcfnet.sinks import write_whole
from dcfnet_evaluation.scores import Comparison, Score, compare, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence
from onnx import helper, load_from_string
from optuna import Study, create_study, logging
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from dcfnet_calibration.scoring import Scorer
from dcfnet_calibration.space import own_values

JOURNAL, RESULT = "study.journal", "tuned.json"
Told = Callable[[str, float], None]  # the search that has tried one more, and its best AUC


@dataclass(frozen=True)
class Conditions:
    """What a search depends on, whatever the number of its trials: one that goes on must go on under the same."""

    weights_sha256: str
    config: dict[str, Any]
    sequences: tuple[tuple[str, int], ...]  # name and frames, in the order that makes the folds
    constants: tuple[str, ...]
    starts: int
    limit: int | None
    folds: int
    seed: int

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        held: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return held


@dataclass(frozen=True)
class Tuning:
    """What was found. constants: by all sequences. own, tuned: scores of every sequence while it was left out.

    gain: tuned - own on the sequences left out, paired. fold_constants: what was found without each part of them.
    """

    constants: dict[str, float]
    own: list[Score]
    tuned: list[Score]
    gain: Comparison
    fold_constants: list[dict[str, float]]

    @property
    def real(self) -> bool:
        """Whether the gain on sequences left out is above 0 beyond its interval."""
        return self.gain.low > 0


def tune(
    scorer: Scorer,
    sequences: Sequence[AnnotatedSequence],
    space: Mapping[str, BaseDistribution],
    folder: Path,
    trials: int,
    folds: int,
    seed: int,
    told: Told,
) -> Tuning:
    """Searches `space`, `trials` sets of constants in each of folds + 1 searches, with Optuna's TPE.

    The searches lie in `folder`; those that were stopped go on as if they had not been. told: called after each trial.
    Raises ConfigError where the folder holds searches under other conditions.
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
    storage, own = _opened(folder, conditions), own_values(space, scorer.config)

    def search(name: str, seen: Sequence[AnnotatedSequence]) -> dict[str, float]:
        study = create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        for _ in range(trials - _completed(study)):
            _try_one(study, space, own, seed, lambda constants: mean_score(scorer.scores(constants, seen)).auc)
            told(name, study.best_value)
        return dict(study.best_params)

    before: list[Score] = []
    after: list[Score] = []
    found = []
    for number in range(folds):
        left_out = sequences[number::folds]
        seen = [sequence for place, sequence in enumerate(sequences) if place % folds != number]
        found.append(search(f"fold {number + 1}", seen))
        before += scorer.scores(own, left_out)
        after += scorer.scores(found[-1], left_out)
    tuning = Tuning(search("all", sequences), before, after, compare(before, after), found)
    write_whole((json.dumps(_report(tuning, conditions, trials), indent=2) + "\n").encode(), folder / RESULT)
    return tuning


def _opened(folder: Path, conditions: Conditions) -> JournalStorage:
    """The folder's searches. Raises ConfigError naming the conditions that are others than theirs."""
    logging.set_verbosity(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    kept = create_study(storage=storage, study_name="conditions", load_if_exists=True)
    plain = conditions.plain()
    if not kept.user_attrs:
        kept.set_user_attr("conditions", plain)
    before = kept.user_attrs["conditions"]
    others = [name for name in plain if before.get(name) != plain[name]]
    if others:
        raise ConfigError(
            f"{folder} holds a search with other {', '.join(others)}: add --fresh, or choose another --output"
        )
    return storage


def _completed(study: Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _try_one(
    study: Study,
    space: Mapping[str, BaseDistribution],
    own: Mapping[str, float],
    seed: int,
    score: Callable[[Mapping[str, float]], float],
) -> None:
    """One more trial; the first is the model's own constants, so that what is found is never worse where it was sought.

    Each trial has a seed of its own: a search that was stopped goes on as it would have gone.
    """
    number = _completed(study)
    if not number:
        study.add_trial(create_trial(params=dict(own), distributions=dict(space), value=score(own)))
        return
    study.sampler = TPESampler(seed=seed * 10_000 + number)
    trial = study.ask(dict(space))
    study.tell(trial, score(trial.params))


def _report(tuning: Tuning, conditions: Conditions, trials: int) -> dict[str, Any]:
    gain = tuning.gain
    pairs = zip(tuning.own, tuning.tuned, strict=True)
    return {
        "constants": tuning.constants,
        "held_out": {
            "own": mean_score(tuning.own).auc,
            "tuned": mean_score(tuning.tuned).auc,
            "difference": gain.difference,
            "interval": [gain.low, gain.high],
            "sequences": {own.sequence: [own.auc, tuned.auc] for own, tuned in pairs},
        },
        "folds": tuning.fold_constants,
        "trials": trials,
        "conditions": conditions.plain(),
    }


def write_tuned(model: Model, constants: Mapping[str, float], preset: str, file: Path) -> Model:
    """Writes a copy of the model whose config holds the constants; returns it as read back.

    Raises ConfigError, and writes nothing, where the model's preset overrides one of them.
    """
    proto = load_from_string(model.onnx)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    metadata[CONFIG_KEY] = json.dumps(model.config.replace(**constants).to_mapping())
    helper.set_model_props(proto, metadata)
    made = parse_model(proto.SerializeToString(), str(file))
    held = made.preset(preset).to_mapping()
    lost = [name for name, value in constants.items() if held[name] != value]
    if lost:
        raise ConfigError(f"preset {preset} of {model.name} sets {', '.join(lost)} itself, over what was tuned")
    write_whole(made.onnx, file)
    return made
