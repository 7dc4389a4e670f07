"""Masks and boxes with names for a folder of images, by GroupViT.

Shapes: C classes, H x W pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import boxrefine_d2
from boxrefine_d2.data import load_spec, write_pseudo_labels
from boxrefine_d2.data.digest import images_sha256
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.data.pseudo_categories import SOFTWARE
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.masks.components import components_from
from boxrefine_d2.progress import progress_bar
from boxrefine_d2.structures import mask_to_box, to_xywh

from .class_names import TEMPLATES, class_vectors
from .group_model import GroupViT
from .kept_work import kept_work
from .sliding_window import WindowSettings, class_scores

MOST_CLASSES = 254  # ids of a semantic map: 0 is background and 255 ignored
SEMANTIC_FILE = "semantic.json"


@dataclass(frozen=True)
class SegmentSettings:
    """Settings of a segmentation.

    Attributes:
        classes: names of the classes.
        threshold: a group whose best affinity is below it is background; 0 for no background.
        templates: key of `TEMPLATES`.
        min_area: smallest share of the image that a mask covers.
        windows: sizes of the inference.
        num_workers: processes that decode images.
    """

    classes: Sequence[str]
    threshold: float = 0.9
    templates: str = "simple"
    min_area: float = 0.005
    windows: WindowSettings = field(default_factory=WindowSettings)
    num_workers: int = 0

    def check(self) -> None:
        """Refuse impossible settings. Raises: UserError."""
        check_choice("--template", self.templates, TEMPLATES)
        for flag, value in (
            ("--background-threshold", self.threshold),
            ("--min-area", self.min_area),
        ):
            if not 0 <= value <= 1:
                raise UserError(f"{flag} {value}: give a number from 0 to 1")
        if len(self.classes) > MOST_CLASSES:
            raise UserError(
                f"--classes has {len(self.classes)} names; a semantic map holds {MOST_CLASSES}"
            )


@dataclass
class Segmentation:
    """Counts of a segmentation.

    Attributes:
        images: number of images that were segmented.
        masks: masks by class.
        empty: images without a mask.
        unreadable: number of images that cannot be read.
    """

    images: int = 0
    masks: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    unreadable: int = 0

    def to_text(self) -> str:
        """Return the counts in words."""
        parts = [f"{self.masks.total()} masks on {self.images} images"]
        if self.empty:
            parts.append(f"{self.empty} images have none")
        if self.unreadable:
            parts.append(f"{self.unreadable} images could not be read")
        counts = ", ".join(f"{name} {count}" for name, count in self.masks.most_common())
        return f"{'; '.join(parts)}\n{counts}" if counts else "; ".join(parts)


def segment_images(
    network: GroupViT, data: str, output: Path, settings: SegmentSettings, maps: Path | None = None
) -> Segmentation:
    """Write a pseudo-label file with a mask for each connected part of a class.

    Args:
        data: dataset spec of the images.
        maps: folder for semantic.json and a PNG file per image; None for no maps.
    Raises: UserError for names that the network cannot read.
    """
    settings.check()
    records = load_spec(data).records
    texts = class_vectors(network, settings.classes, TEMPLATES[settings.templates])
    info = _info(network, settings, len(records), images_sha256(records))

    def compute(todo: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the journal's entry of each image that is left, and write its map."""
        chosen = [[records[i]] for i in todo]
        loader = WholeImageLoader(chosen, WholeImageMapper(0), settings.num_workers)
        with progress_bar("segment", total=len(todo)) as bar:
            for index, [sample] in zip(todo, loader.with_unreadable(), strict=True):
                bar.update(1)
                if isinstance(sample, UnreadableImage):
                    yield index, {"unreadable": sample.reason}
                    continue
                labels, found = _segmented(network, sample, texts, settings)
                if maps is not None:
                    _write_map(maps / map_name(index), labels)
                size = {"width": sample["width"], "height": sample["height"]}
                yield index, {"labels": found, "size": size}

    kept_info = info | {"maps": maps is not None}
    with kept_work(output, kept_info, len(records), compute) as entries:
        return _write(output, records, entries, settings, info, maps)


def _segmented(
    network: GroupViT, sample: dict[str, Any], texts: Tensor, settings: SegmentSettings
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the class of each pixel, (H, W), 0 for background, and the labels."""
    pixels = sample["image"].permute(1, 2, 0).numpy()
    [scores] = class_scores(network, pixels, texts, [settings.threshold], settings.windows).cpu()
    labels = scores.argmax(dim=0).numpy()
    return labels, masks_of(labels, scores, settings)


def _write(
    output: Path,
    records: Sequence[dict[str, Any]],
    entries: Sequence[dict[str, Any]],
    settings: SegmentSettings,
    info: dict[str, Any],
    maps: Path | None,
) -> Segmentation:
    counts, annotations, images, failed = Segmentation(), [], [], []
    semantic: list[dict[str, Any]] = []
    for index, (record, entry) in enumerate(zip(records, entries, strict=True)):
        image_id, name = record["image_id"], record["relative_name"]
        if "unreadable" in entry:
            failed.append({"file_name": name, "reason": entry["unreadable"]})
            continue
        counts.images += 1
        counts.empty += not entry["labels"]
        counts.masks.update(settings.classes[x["category_id"] - 1] for x in entry["labels"])
        annotations += [{"image_id": image_id} | label for label in entry["labels"]]
        images.append({"id": image_id, "file_name": name} | entry["size"])
        semantic.append({"image_id": image_id, "segmentation_map": map_name(index)})
    counts.unreadable = len(failed)
    if maps is not None:
        write_json(maps / SEMANTIC_FILE, semantic)
    write_pseudo_labels(
        output,
        images=images,
        annotations=annotations,
        categories=[{"id": k, "name": name} for k, name in enumerate(settings.classes, 1)],
        info=info | {"images_failed": failed},
    )
    return counts


def map_name(index: int) -> str:
    """Return the path of an image's map, below the folder of semantic.json."""
    return f"maps/{index:06d}.png"


def masks_of(labels: np.ndarray, scores: Tensor, settings: SegmentSettings) -> list[dict[str, Any]]:
    """Return the labels of an image, the best first: a connected part of a class each.

    Args: labels: (H, W), 0 is background.  scores: (1 + C, H, W).
    """
    found = []
    for place in np.unique(labels[labels > 0]).tolist():
        for part in components_from(labels == place, settings.min_area * labels.size):
            [box] = mask_to_box(torch.from_numpy(part[None])).tolist()
            found.append(
                {
                    "category_id": place,
                    "bbox": to_xywh(box),
                    "score": float(scores[place].numpy()[part].mean()),
                    "segmentation": encode_masks(part[None])[0],
                }
            )
    return sorted(found, key=lambda label: -label["score"])


def _write_map(path: Path, labels: np.ndarray) -> None:
    with atomic_binary_file(path) as file:
        Image.fromarray(labels.astype(np.uint8)).save(file, "PNG")


def _info(network: GroupViT, settings: SegmentSettings, images: int, digest: str) -> dict[str, Any]:
    windows = settings.windows
    return {
        **SOFTWARE,
        "version": boxrefine_d2.__version__,
        "method": "groupvit",
        "classes": list(settings.classes),
        "parameters": {
            "background_threshold": settings.threshold,
            "templates": list(TEMPLATES[settings.templates]),
            "min_area": settings.min_area,
            "window": windows.window,
            "stride": windows.stride,
            "short_side": windows.short,
            "likely_classes": windows.likely,
        },
        "weights": {
            "source": network.weights_info.source,
            "sha256": network.weights_info.sha256,
        },
        "images_asked": images,
        "images_sha256": digest,
    }
