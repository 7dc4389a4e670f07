"""Values of --set: the settings of an improvement, of its rule, and of its refinement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from boxrefine_d2.config.limits import COUNT, one_of, text, whole
from boxrefine_d2.config.options import Option, checked_option
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.errors import UserError, key_values
from boxrefine_d2.files.set_values import parameters_of

from .inspection import LEAST_IMAGES

METHODS = ("lost", "tokencut", "maskcut", "absorption")  # rules whose boxes can be improved
# Keys of the configuration that the stages set.
_SET_BY_STAGES = (
    "OUTPUT_DIR",
    "SEED",
    "DATASETS.TRAIN",
    "DATASETS.TEST",
    "DISCOVERY.NAME",
    "MODEL.DEVICE",
    "MODEL.MAP_NETWORK.NAME",
    "MODEL.MAP_NETWORK.WEIGHTS",
    "REFINE.REFINE_ITERS",
    "REFINE.STOP_ON_DRIFT",
    "REFINE.TARGETS",
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.MAX_ITER",
)


OPTIONS = {
    "targets": Option(
        "absorption",
        "objects that the network learns: those of absorption (absorption), the same in images "
        "where TokenCut finds one of them (agree), or where other views hold one of them (views)",
        text(),
    ),
    "refine_iters": Option(
        0, "iterations in which the network learns; 0: as in the configuration", COUNT
    ),
    "batch_size": Option(
        0, "images per training step; 0: as in the configuration, at most all images", COUNT
    ),
    "detector": Option(True, "train a detector on the chosen boxes", one_of(True, False)),
    "detector_iters": Option(0, "iterations of the detector; 0: as in the configuration", COUNT),
    "verdict_images": Option(
        1000, "most images on which the signals are measured, evenly spread", whole(LEAST_IMAGES)
    ),
    "shown": Option(12, "most images on the page, of each kind", whole(1, 100)),
    "num_workers": Option(2, "processes that decode images", COUNT),
    "seed": Option(0, "seed of the trainings", COUNT),
}


@dataclass(frozen=True)
class Settings:
    """Checked values of --set.

    Attributes:
        options: value of every key of `OPTIONS`.
        rule: parameters of the method that were changed, KEY=VALUE.
        refine: keys and values of the configuration of the refinement, in turn.
    """

    options: Mapping[str, Any]
    rule: tuple[str, ...]
    refine: tuple[str, ...]

    def __getitem__(self, name: str) -> Any:
        return self.options[name]


def parse_settings(method: str, pairs: Sequence[str]) -> Settings:
    """Return the settings of an improvement.

    A key with a point, such as REFINE.DRIFT.PERIOD, is one of the configuration of the refinement.

    Args:
        method: one of `METHODS`.
        pairs: the words of --set.
    Raises: UserError for an unknown key, which lists the known ones, or for an impossible value.
    """
    options = {name: option.default for name, option in OPTIONS.items()}
    rule, refine = [], []
    known_of_rule = rule_parameters(method)
    for key, value in key_values("--set", pairs).items():
        if key in OPTIONS:
            options[key] = checked_option(OPTIONS, key, parameters_of([f"{key}={value}"])[key])
        elif key in known_of_rule:
            rule.append(f"{key}={value}")
        elif "." in key or key in _SET_BY_STAGES:
            if key in _SET_BY_STAGES:
                raise UserError(f"--set {key} is set by the stages; {_KNOWN_OPTIONS}")
            refine += [key, value]
        else:
            raise UserError(_unknown(key, method, known_of_rule))
    rule_parameters(method, **parameters_of(rule))
    return Settings(options, tuple(rule), tuple(refine))


_KNOWN_OPTIONS = f"known: {', '.join(OPTIONS)}"


def _unknown(key: str, method: str, of_rule: Mapping[str, Any]) -> str:
    close = get_close_matches(key, [*OPTIONS, *of_rule], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"--set {key[:100]!r} is unknown; {hint}{_KNOWN_OPTIONS}; of {method}: "
        f"{', '.join(of_rule)}; and keys of the configuration, such as REFINE.DRIFT.PERIOD"
    )
