"""Checks of an improvement's images and targets, before work is spent on them."""

import logging
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.data import parse_spec, read_pseudo_labels
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError

logger = logging.getLogger(__name__)

LEAST_IMAGES = 8  # with fewer images an interval says little; the limit is ours
WHOLE_IMAGE = 0.95  # share of the image from which on a target covers all of it; ours
MOST_WHOLE = 0.5  # share of targets that may cover the whole image; ours
_ELSEWHERE = "both need another --output"


def check_images(data: str, records: Sequence[Record]) -> None:
    """Refuse images that are too few, and a spec whose labels are pseudo-labels.

    Raises: UserError with the next step.
    """
    if any(modifier.name == "pseudo" for modifier in parse_spec(data).modifiers):
        raise UserError(
            f"--data {data!r} brings pseudo-labels, and improve makes its own: leave +pseudo out"
        )
    if len(records) < LEAST_IMAGES:
        raise UserError(
            f"--data {data!r} has {counted(len(records), 'image')}, and a comparison needs at "
            f"least {LEAST_IMAGES}: add images, or use the boxes of boxrefine discover as they are"
        )


def check_boxes(path: Path) -> None:
    """Refuse the boxes from before if too few images could be read.

    Raises: UserError with the first reason.
    """
    labels = read_pseudo_labels(path)
    if len(labels.images) < LEAST_IMAGES:
        failed = labels.info.get("images_failed") or [{"file_name": "none", "reason": "none"}]
        raise UserError(
            f"{path} has boxes of {counted(len(labels.images), 'image')}, and a comparison needs "
            f"at least {LEAST_IMAGES}; {counted(len(failed), 'image')} failed, first: "
            f"{failed[0]['file_name']}: {failed[0]['reason']}; repair or replace them"
        )


def check_targets(path: Path, choice: str) -> None:
    """Refuse targets from which a network would learn nothing; warn of some that cover an image.

    Args: choice: choice of the targets, for messages.
    Raises: UserError if too few images have a target, or if most targets cover the whole image.
    """
    labels = read_pseudo_labels(path)
    images = {entry["image_id"] for entry in labels.annotations}
    where = f"targets {choice} in {path}"
    if len(images) < LEAST_IMAGES:
        raise UserError(
            f"{where}: {len(images)} of {counted(len(labels.images), 'image')} have a target, and "
            f"at least {LEAST_IMAGES} are needed; your boxes are those of the stage 'before': use "
            f"images that show objects, or another value of --set targets; {_ELSEWHERE}"
        )
    whole = whole_image_targets(labels)
    if whole > MOST_WHOLE * len(labels.annotations):
        raise UserError(
            f"{where}: {whole} of {len(labels.annotations)} targets cover the whole image, and a "
            "network learns nothing from them; your boxes are those of the stage 'before': use "
            "images with a background around the objects, or another value of --set targets; "
            f"{_ELSEWHERE}"
        )
    if whole:
        logger.warning("%s: %d of %d cover the whole image", where, whole, len(labels.annotations))


def whole_image_targets(labels: PseudoLabels) -> int:
    """Return the number of boxes that cover at least `WHOLE_IMAGE` of their image."""
    sizes = {image["id"]: image["width"] * image["height"] for image in labels.images}
    areas = [(e["bbox"][2] * e["bbox"][3], sizes[e["image_id"]]) for e in labels.annotations]
    return sum(area >= WHOLE_IMAGE * size for area, size in areas)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
