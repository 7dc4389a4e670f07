"""Comparison of pseudo-label files of the same images: their boxes and their disagreement."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torchvision.ops import box_iou

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import NameCheck
from boxrefine_d2.pseudo_labels.export import LabelledImage, labelled_images

logger = logging.getLogger(__name__)

ImageId = int | str


@dataclass(frozen=True)
class ComparedFile:
    """One pseudo-label file.

    Attributes:
        path: path as the user gave it.
        images: image id -> image, with the chosen boxes, best first.
        info: contents of the file's "info".
        failed: file name -> reason, for images that failed when the file was made.
    """

    path: str
    images: dict[ImageId, LabelledImage]
    info: dict[str, Any]
    failed: dict[str, str]


@dataclass(frozen=True)
class ComparedImage:
    """One image in all files.

    Attributes:
        record: record of the image in the dataset.
        found: the image in each file, in the order of the files; None if a file does not list it.
    """

    record: Mapping[str, Any]
    found: tuple[LabelledImage | None, ...]

    @property
    def name(self) -> str:
        """File name, relative to the folder of the dataset."""
        name: str = self.record["relative_name"]
        return name

    @property
    def score(self) -> float | None:
        """Top score in the first file; None if it has no box there."""
        first = self.found[0]
        return first.boxes[0].score if first and first.boxes else None

    @property
    def disagreement(self) -> float | None:
        """Mean of 1 - IoU of the top boxes over pairs of files that list the image.

        It is None without a pair. A pair counts 1 if only one file has a box, and 0 if neither has
        one.
        """
        tops = [
            image.boxes[0].xyxy if image.boxes else None
            for image in self.found
            if image is not None
        ]
        distances = [_distance(one, other) for one, other in combinations(tops, 2)]
        return sum(distances) / len(distances) if distances else None


def read_label_file(
    path: str, *, min_score: float | None = None, max_boxes: int | None = None
) -> ComparedFile:
    """Read a file. Raises: UserError for a file that is no pseudo-label file."""
    labels = read_pseudo_labels(path)
    images = labelled_images(labels, path, min_score=min_score, max_boxes=max_boxes)
    return ComparedFile(
        path, {image.image_id: image for image in images}, labels.info, _failed(labels.info)
    )


def compare(
    files: Sequence[ComparedFile], records: Sequence[Mapping[str, Any]], data: str
) -> list[ComparedImage]:
    """Return the images of the dataset that at least one file lists, in the dataset's order.

    Args: data: the dataset spec, for messages.
    Raises: UserError if there is no such image, or if an id belongs to images of different names.
    """
    images = []
    checks = [NameCheck(repr(file.path), repr(data)) for file in files]
    for record in records:
        in_files = tuple(file.images.get(record["image_id"]) for file in files)
        for check, image in zip(checks, in_files, strict=True):
            if image:
                check.add(image.image_id, image.file_name, record["relative_name"])
        if any(in_files):
            images.append(ComparedImage(record, in_files))
    for check in checks:
        for warning in check.finish(record["relative_name"] for record in records):
            logger.warning(warning)
    if not images:
        raise UserError(
            f"no image of {files[0].path!r} is in {data!r}: the ids there are "
            f"{_examples(files[0].images)}, here "
            f"{_examples(record['image_id'] for record in records)}; name the data set that the "
            "file was made from"
        )
    return images


def _failed(info: Mapping[str, Any]) -> dict[str, str]:
    failures = info.get("images_failed", [])
    if not isinstance(failures, list):
        return {}
    return {
        str(failure["file_name"]): str(failure.get("reason", "no reason given"))
        for failure in failures
        if isinstance(failure, dict) and "file_name" in failure
    }


def _score_key(image: ComparedImage) -> float:
    return float("inf") if image.score is None else -image.score


def _disagreement_key(image: ComparedImage) -> float:
    return float("inf") if image.disagreement is None else -image.disagreement


# order -> sort key of an image; images with equal keys keep the order of the dataset
SORTS: dict[str, Callable[[ComparedImage], Any]] = {
    "score": _score_key,
    "disagreement": _disagreement_key,
    "name": lambda image: image.name,
}


def _distance(one: Sequence[float] | None, other: Sequence[float] | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else 1.0
    pair = torch.tensor([list(one), list(other)], dtype=torch.float64)
    return 1 - float(box_iou(pair[:1], pair[1:]))


def _examples(ids: Any) -> str:
    shown = list(ids)
    return ", ".join(map(repr, shown[:3])) + (", ..." if len(shown) > 3 else "")
