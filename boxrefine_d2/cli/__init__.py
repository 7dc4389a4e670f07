"""`boxrefine VERB ...`: one command for everything that the package does.

A verb's module is imported only when its verb is called, so that the help appears at once.
"""

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module

from boxrefine_d2 import __version__
from boxrefine_d2.errors import UserError, run_command

# verb -> its module in this room, and a line for the help
VERBS: dict[str, tuple[str, str]] = {
    "discover": ("discover", "make pseudo-labels of any data set: images in, one COCO file out"),
    "train": ("train_net", "refine a map network by boxes, train g, or pre-train"),
    "train-detector": ("train_cad", "train a detector on pseudo-labels: CAD or CutLER"),
    "self-train": ("self_train", "train a detector in rounds on its own predictions"),
    "improve": ("improve", "refine the network on your images; keep the boxes if they are better"),
    "improve verdict": ("improve_verdict", "compare boxes before and after without labels"),
    "improve page": ("improve_page", "write the page of an improvement"),
    "localize": ("localize", "learn from class labels alone; draw a box and a mask on each image"),
    "localize result": ("localize_result", "write boxes and page of a finished localisation"),
    "evaluate": ("evaluate", "score a prediction file against labels"),
    "export": ("export", "write pseudo-labels as YOLO, VOC, CSV, PNG masks or plain COCO"),
    "name": ("name_boxes", "give boxes names from a list of classes, by CLIP"),
    "segment": ("segment", "write masks and boxes with names from a list of classes, by GroupViT"),
    "edit": ("edit_labels", "merge, separate, match or thin out pseudo-label files"),
    "sheet": ("contact_sheet", "draw a page of images with their boxes and masks"),
    "report": ("report", "write the page of a finished run"),
    "demo": ("demo", "one image: draw the objects of a rule, or phrases; trains nothing"),
    "describe": ("describe", "one image: name and draw the objects in it"),
    "picture-masks": ("picture_masks", "one image: draw MaskCut's masks, round by round"),
    "match-points": ("match_points", "two images: draw points whose features correspond"),
    "explain": ("explain", "one point of an image: show the points that make it foreground"),
    "compare-keys": ("compare_keys", "compare keys within a class with keys of different classes"),
    "pipeline": ("pipeline", "run the stages of a YAML file; continue after an interruption"),
    "config": (
        "config_keys",
        "print keys of the configuration: default, meaning, values, unit and source",
    ),
    "doctor": ("doctor", "check what is installed, and that it works"),
    "convert dino-resnet": (
        "convert_dino_resnet",
        "write DINO's ResNet-50 under Detectron2's names",
    ),
    "convert map-network": (
        "convert_map_network",
        "write the map network of a training to a small file",
    ),
    "convert grounding-checkpoint": (
        "convert_grounding_checkpoint",
        "write the tensors of a grounding network that was saved whole",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb with its words. Returns: the verb's exit code; 2 for an unknown verb."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help(VERBS))
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"boxrefine {__version__}\n")
        return 0
    below = {verb: entry for verb, entry in VERBS.items() if verb.split()[0] == words[0]}
    if words[0] not in VERBS and below and words[1:] in ([], ["-h"], ["--help"]):
        sys.stdout.write(_help(below))
        return 0
    for length in (2, 1):
        verb, rest = " ".join(words[:length]), words[length:]
        if verb in VERBS:
            sys.argv[0] = f"boxrefine {verb}"  # the name that the verb's help shows
            status: int = import_module(f"{__name__}.{VERBS[verb][0]}").main(rest)
            return status
    return run_command(lambda: _refuse(words))


def _help(verbs: Mapping[str, tuple[str, str]]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {verb:<{width}}  {summary}" for verb, (_, summary) in verbs.items()]
    return "\n".join(
        [
            "usage: boxrefine VERB ...",
            "",
            "Find objects without box labels: discovery, box-based refinement and detectors, on "
            "Detectron2.",
            "",
            *lines,
            "",
            "boxrefine VERB --help explains the arguments of a verb and gives examples.",
            "",
        ]
    )


def _refuse(words: Sequence[str]) -> None:
    given = " ".join(words[:2]) if words[0] == "convert" else words[0]
    close = get_close_matches(given, VERBS, n=1)
    hint = f"did you mean {close[0]}" if close else f"known: {', '.join(VERBS)}"
    raise UserError(f"boxrefine has no verb {given[:100]!r}; {hint}")
