"""Stages of `boxrefine localize`: the trainings of a source, then its result.

Each stage is a command that a user could type. `workflow.run_plan` runs them.
"""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.config.limits import COUNT, whole
from boxrefine_d2.config.options import Option, checked_option
from boxrefine_d2.data.image_labels import known_label
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError, key_values
from boxrefine_d2.files.set_values import parameters_of
from boxrefine_d2.training.setup import load_config

from .box_labels import BOXES_FILE
from .localization_evaluator import LOCALIZATION_FILE

RESULTS, PAGE = "results.json", "report.html"
RESULT = "result"  # name of the last stage
# Keys of the configuration that the stages set.
SET_BY_STAGES = ("OUTPUT_DIR", "SEED", "DATASETS.TRAIN", "DATASETS.TEST", "MODEL.DEVICE")
OPTIONS = {
    "iterations": Option(0, "iterations of each training; 0: as in its configuration", COUNT),
    "shown": Option(24, "most images on the page", whole(1, 200)),
    "num_workers": Option(1, "processes that decode images", COUNT),
    "seed": Option(0, "seed of the trainings", COUNT),
}


@dataclass(frozen=True)
class Training:
    """Training of a source.

    Attributes:
        name: name of its stage.
        config: configuration file.
        product: file that later stages read; "" for none.
        reads: key of the configuration -> file of an earlier stage, {STAGE}/FILE.
        learns: False for a run that only evaluates.
    """

    name: str
    config: str
    product: str = ""
    reads: Mapping[str, str] = field(default_factory=dict)
    learns: bool = True


_CLASSIFIER = Training("classifier", "configs/localize/classifier.yaml", "classifier.safetensors")
# Source -> its trainings; the last one draws the boxes.
SOURCES: Mapping[str, Sequence[Training]] = {
    "cam": (_CLASSIFIER,),
    "weight_map": (
        _CLASSIFIER,
        Training(
            "weight_map",
            "configs/localize/weight_map.yaml",
            "weight_map.safetensors",
            {"MODEL.CLASSIFIER.WEIGHTS": "{classifier}/classifier.safetensors"},
        ),
    ),
    "lcar": (Training("lcar", "configs/localize/lcar.yaml", "distilled_heads.safetensors"),),
    "representer": (Training("representer", "configs/localize/representer.yaml", learns=False),),
}


@dataclass(frozen=True)
class LocalizationSettings:
    """Checked values of --set.

    Attributes:
        options: value of every key of `OPTIONS`.
        changes: keys and values of the configuration of all trainings, in turn.
    """

    options: Mapping[str, Any]
    changes: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        return self.options[name]


def parse_settings(pairs: Sequence[str]) -> LocalizationSettings:
    """Return the settings of a localisation. A key with a point is one of the configuration.

    Args: pairs: the words of --set.
    Raises: UserError for an unknown key, which lists the known ones, or for an impossible value.
    """
    options = {name: option.default for name, option in OPTIONS.items()}
    changes: list[str] = []
    for key, value in key_values("--set", pairs).items():
        if key in OPTIONS:
            options[key] = checked_option(OPTIONS, key, parameters_of([f"{key}={value}"])[key])
        elif "." in key and key not in SET_BY_STAGES:
            changes += [key, value]
        else:
            problem = "is set by the stages" if key in SET_BY_STAGES else "is unknown"
            raise UserError(
                f"--set {key[:100]} {problem}; known: {', '.join(OPTIONS)}, and keys of the "
                "configuration, such as MODEL.CLASSIFIER.TRUNK"
            )
    return LocalizationSettings(options, tuple(changes))


@dataclass(frozen=True)
class Localization:
    """A localisation, from which the stages follow.

    Attributes:
        data: dataset spec of the images, which have a class each.
        images: number of these images.
        source: key of `SOURCES`.
        settings: values of --set.
        device: device of all networks.
    """

    data: str
    images: int
    source: str
    settings: LocalizationSettings
    device: str = "cpu"

    @property
    def trainings(self) -> Sequence[Training]:
        """Trainings in order; the last one draws the boxes."""
        return SOURCES[self.source]

    @property
    def values(self) -> dict[str, str]:
        """Values of words in braces, which keep braces and quotes in a spec as they are."""
        return {"data": self.data, "quoted_data": json.dumps(self.data, ensure_ascii=False)[1:-1]}

    def check(self, records: Sequence[Record]) -> None:
        """Refuse impossible settings and data before any stage runs. Raises: UserError."""
        check_classes(self.data, records)
        for training in self.trainings:
            load_config(training.config, list(self.settings.changes))

    def stages(self) -> list[dict[str, Any]]:
        """Return the entries of a pipeline file's list `stages`."""
        entries = [self._training(training) for training in self.trainings]
        words = ["localize_result.py", "--data", "{data}", "--runs"]
        words += [f"{{{training.name}}}" for training in self.trainings]
        words += ["--shown", str(self.settings["shown"]), "--output", "{here}"]
        makes = [BOXES_FILE, LOCALIZATION_FILE, PAGE]
        return [*entries, {"name": RESULT, "run": shlex.join(words), "makes": makes}]

    def _training(self, training: Training) -> dict[str, Any]:
        draws = training is self.trainings[-1]
        cfg = load_config(training.config, list(self.settings.changes))
        words = ["train_net.py", "--config-file", training.config]
        words += ["--resume" if training.learns else "--eval-only"]
        words += ["DATASETS.TRAIN", '("{quoted_data}",)']
        words += ["DATASETS.TEST", '("{quoted_data}",)' if draws else "()"]
        if training.learns:
            if self.settings["iterations"]:
                words += ["SOLVER.MAX_ITER", str(self.settings["iterations"])]
            words += ["SOLVER.IMS_PER_BATCH", str(self._batch_size(cfg))]
        for key, file in training.reads.items():
            words += [key, file]
        words += ["DATALOADER.NUM_WORKERS", str(self.settings["num_workers"])]
        words += ["MODEL.DEVICE", self.device, "SEED", str(self.settings["seed"])]
        words += ["OUTPUT_DIR", "{here}", *self.settings.changes]
        makes = [RESULTS, *([training.product] if training.product else [])]
        return {"name": training.name, "run": shlex.join(words), "makes": makes}

    def _batch_size(self, cfg: CfgNode) -> int:
        """Return the images of a step: as in the configuration, at most all that are learnt."""
        share = max(cfg.MODEL.CLASSIFIER.HOLD_OUT, cfg.WEIGHT_MAP.HOLD_OUT)
        learnt = self.images - (max(1, round(share * self.images)) if share else 0)
        usual: int = cfg.SOLVER.IMS_PER_BATCH
        return max(1, min(usual, learnt))


def check_classes(data: str, records: Sequence[Record]) -> None:
    """Refuse images that cannot teach a localiser. Raises: UserError."""
    labels = Counter(known_label(record) for record in records)
    without = labels.pop(None, 0)
    if not labels or without:
        raise UserError(
            f"{data}: {without} of {len(records)} images have no class; put each image into the "
            "folder of its class and name classes:DIR, or add +one_class to labelled data"
        )
    if len(labels) < 2:
        raise UserError(
            f"{data}: all {len(records)} images have one class, and two are needed: a network "
            "learns what tells classes apart; add a class, or use boxrefine discover, which needs "
            "none"
        )


def record_of(plan: Localization, images_digest: str) -> dict[str, Any]:
    """Return everything on which the boxes depend, as JSON values.

    Args: images_digest: result of `images_sha256`.
    """
    options = {key: value for key, value in plan.settings.options.items() if key != "shown"}
    return {
        "data": plan.data,
        "images": plan.images,
        "images_sha256": images_digest,
        "source": plan.source,
        "device": plan.device,
        "set": options,
        "set_config": list(plan.settings.changes),
    }
