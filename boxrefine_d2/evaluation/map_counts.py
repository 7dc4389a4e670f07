"""Counts over the score maps of a results file; one map at a time is in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import is_file_name, known_size, shown_value
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.progress import with_progress

from .box_accuracy import THRESHOLDS, BoxAccuracy, frame_boxes
from .ground_truth import GroundTruth, ImageId, Record
from .image_ids import check_ids
from .map_options import MapOptions
from .pixel_precision import PixelCounts
from .predictions import PredictionFile, best_entries
from .score_maps import is_flat, normalised, read_score_map

Mask = NDArray[np.bool_]
Size = tuple[int, int]


@dataclass
class MapCounts:
    """Counts over the maps of one results file.

    Attributes:
        boxes: counts of right boxes; None if no metric needs them.
        pixels: counts of pixels; None if no metric needs them.
        counts: denominators and numbers of left-out items.
        warnings: one line per oddity that is not an error.
    """

    boxes: BoxAccuracy | None
    pixels: PixelCounts | None
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def count_maps(
    truth: GroundTruth,
    predictions: PredictionFile,
    options: MapOptions,
    *,
    boxes: bool,
    pixels: bool,
) -> MapCounts:
    """Read the map of each image and count; an image without a map has a map of zeros.

    Args:
        boxes: whether to count right boxes. Images without a box in the ground truth are left out.
        pixels: whether to count pixels. Images without a mask in the ground truth are left out.
    Raises: UserError for a file without maps, of other images, or with a map that cannot be read,
        and for a data set without the boxes or masks.
    """
    predictions.require("maxboxacc_v1" if boxes else "pxap", "image_id", "heatmap")
    gt_boxes = truth.boxes()
    paths = _paths_of(predictions)
    known = {record["image_id"] for record in truth.records}
    warnings = check_ids(predictions.path, paths, known, truth.name, all_images=True)
    result = MapCounts(_accuracy(options) if boxes else None, PixelCounts() if pixels else None)
    result.warnings += warnings
    flat = missing = without_box = without_mask = 0
    for record in with_progress(truth.records, "score maps", unit="map"):
        of_image = gt_boxes[record["image_id"]].numpy()
        objects, ignored = _masks_of(record) if pixels else ([], [])
        without_box += not len(of_image)
        without_mask += not objects
        if not (boxes and len(of_image) or objects):
            continue
        size = _size_of(record, truth.name)
        frame = (options.resize, options.resize) if options.resize else size
        path = paths.get(record["image_id"])
        missing += path is None
        if path is None:
            scores = np.zeros(frame)
        else:
            raw = read_score_map(path)
            flat += is_flat(raw)
            scores = normalised(raw, frame, options.normalise, f"heatmap {str(path)!r}")
        if result.boxes and len(of_image):
            result.boxes.add(scores, frame_boxes(of_image, size, frame))
        if result.pixels and objects:
            where = f"{truth.name}: image {record['image_id']!r}"
            masks = [_union(part, size, frame, where) for part in (objects, ignored)]
            result.pixels.add(scores, *masks)
    _report(result, len(truth.records), without_box, without_mask, truth.name)
    result.counts["images_without_prediction"] = missing
    if flat:
        result.counts["maps_constant_or_not_finite"] = flat
        result.warnings.append(f"{flat} maps are constant or not finite; they count as zeros")
    return result


def _accuracy(options: MapOptions) -> BoxAccuracy:
    fixed = [] if options.threshold is None else [options.threshold]
    return BoxAccuracy(np.union1d(THRESHOLDS, fixed))


def _paths_of(predictions: PredictionFile) -> dict[ImageId, Path]:
    """Return the path of the map of each image: that of its best entry."""
    folder, entries = Path(predictions.path).parent, best_entries(predictions)
    for image_id, entry in entries.items():
        if not is_file_name(entry["heatmap"]):
            raise UserError(
                f"{predictions.path}: heatmap of image {image_id!r} is "
                f"{shown_value(entry['heatmap'])}; it must be the path of an .npz file"
            )
    return {image_id: folder / entry["heatmap"] for image_id, entry in entries.items()}


def _size_of(record: Record, name: str) -> Size:
    size = known_size(record)
    if size is None:
        raise UserError(
            f"{name}: the size of image {record['image_id']!r} is not known, so its boxes "
            "and masks cannot be brought to the frame of the map; put a readable image there"
        )
    return size


def _masks_of(record: Record) -> tuple[list[Any], list[Any]]:
    """Return the masks of the objects and those of ignored regions (crowds)."""
    masks: tuple[list[Any], list[Any]] = ([], [])
    for annotation in record.get("annotations", ()):
        if annotation.get("segmentation"):
            masks[bool(annotation.get("iscrowd", 0))].append(annotation["segmentation"])
    return masks


def _union(segmentations: list[Any], size: Size, frame: Size, where: str) -> Mask:
    """Return the union of masks in a frame (H, W), by the nearest pixel at or before each place."""
    rows = np.arange(frame[0]) * size[0] // frame[0]
    columns = np.arange(frame[1]) * size[1] // frame[1]
    union = np.zeros(frame, bool)
    for segmentation in segmentations:
        try:
            union |= decode_mask(segmentation, size)[np.ix_(rows, columns)].astype(bool)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
    return union


def _report(result: MapCounts, images: int, no_box: int, no_mask: int, name: str) -> None:
    """Note the denominators. Raises: UserError if a metric has none."""
    if result.boxes:
        if no_box == images:
            raise UserError(f"{name} has no box to score against; box accuracy is not defined")
        result.counts["images_evaluated"] = images - no_box
        result.counts["images_without_ground_truth"] = no_box
    if result.pixels:
        if no_mask == images:
            raise UserError(
                f"{name} has no mask to score against; pxap and piou need masks, "
                "maxboxacc_v1 and maxboxacc_v2 do not"
            )
        result.counts["images_evaluated_by_pixels"] = images - no_mask
        result.counts["images_without_mask"] = no_mask
