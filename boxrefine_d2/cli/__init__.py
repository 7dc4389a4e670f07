"""`boxrefine VERB ...`: one command for all that the package does. A verb's module is imported when the verb is named."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from boxrefine_d2 import __version__
from boxrefine_d2.errors import UserError, run_command

# verb -> module of this room, and what it does
VERBS: dict[str, tuple[str, str]] = {
    "discover": ("discover", "pseudo-labels of any data set: images in, one COCO file out"),
    "train": ("train_net", "refine a map network by boxes, train g, or pre-train"),
    "train-detector": ("train_cad", "train a detector on pseudo-labels: CAD or CutLER"),
    "self-train": ("self_train", "rounds of prediction, merging and training of a detector"),
    "evaluate": ("evaluate", "score a prediction file against labels"),
    "export": ("export", "pseudo-labels as YOLO, VOC, CSV, PNG masks or plain COCO"),
    "edit": ("edit_labels", "merge, separate, match or thin out pseudo-label files"),
    "sheet": ("contact_sheet", "a page of images with their boxes and masks"),
    "report": ("report", "the page of a finished run"),
    "demo": ("demo", "one image: show what a rule finds, or where phrases are; trains nothing"),
    "describe": ("describe", "one image: what is where, with names"),
    "picture-masks": ("picture_masks", "one image: MaskCut's masks, round by round"),
    "match-points": ("match_points", "two images: points whose features correspond"),
    "compare-keys": ("compare_keys", "whether keys of one class are more alike than keys of two"),
    "pipeline": ("pipeline", "run the stages of a YAML file, and go on where they stopped"),
    "config": (
        "config_keys",
        "print keys of the configuration: default, meaning, values, unit and source",
    ),
    "doctor": ("doctor", "what is installed, and whether it works"),
    "convert dino-resnet": ("convert_dino_resnet", "DINO's ResNet-50 under Detectron2's names"),
    "convert grounding-checkpoint": (
        "convert_grounding_checkpoint",
        "a grounding network that was saved whole, as a file of tensors",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb with its words. Returns: its exit code; 2 for a verb that is none."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"boxrefine {__version__}\n")
        return 0
    for length in (2, 1):
        verb, rest = " ".join(words[:length]), words[length:]
        if verb in VERBS:
            sys.argv[0] = f"boxrefine {verb}"  # by which the verb's help calls it
            status: int = import_module(f"{__name__}.{VERBS[verb][0]}").main(rest)
            return status
    return run_command(lambda: _refuse(words))


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(
        [
            "usage: boxrefine VERB ...",
            "",
            "Objects without box labels: discovery, box-based refinement and detectors, on Detectron2.",
            "",
            *lines,
            "",
            "boxrefine VERB --help says what a verb needs, with examples.",
            "",
        ]
    )


def _refuse(words: Sequence[str]) -> None:
    given = " ".join(words[:2]) if words[0] == "convert" else words[0]
    close = get_close_matches(given, VERBS, n=1)
    hint = f"did you mean {close[0]}" if close else f"known: {', '.join(VERBS)}"
    raise UserError(f"boxrefine has no verb {given[:100]!r}; {hint}")
