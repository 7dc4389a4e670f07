"""One key for each labelled instance or image: the mean over the cells that it covers.

Shapes: M keys, C channels, N = h * w cells; H x W pixels of the original image.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.data import ImageReadError, LoadedDataset
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.networks import MapNetwork, read_map
from boxrefine_d2.progress import with_progress
from boxrefine_d2.structures import FeatureMap

from .cells import cell_centres, cells_in_box, cells_in_mask

PER = ("instance", "image")

Region = tuple[int, np.ndarray]  # (class, (N,) bool of the cells it covers)


@dataclass
class MeanKeys:
    """Mean keys with their classes, and the numbers of left-out items.

    Attributes:
        keys: M keys, each (C,) float32.
        classes: `category_id` of each key.
        images: index of the record of each key.
        counts: numbers of instances and images without a key, by reason, and of instances whose box
            replaces a missing mask.
        failed: images that could not be read, each {"file_name", "reason"}.
    """

    keys: list[Tensor] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, str]] = field(default_factory=list)


@torch.no_grad()
def mean_keys(
    dataset: LoadedDataset, network: MapNetwork, *, per: str, max_side: int, name: str
) -> MeanKeys:
    """Return the mean key, from the last block, of every instance or of every image.

    An instance covers the cells whose centres lie in its mask, or in its box if it has no mask. An
    image covers the cells of all its instances; it has a key if they share one class. Crowds have
    no key.

    Args:
        dataset: the data set.
        network: the network of the keys.
        per: one of `PER`.
        max_side: longest side of the network's input, pixels; 0 is no limit.
        name: name of the data set, for messages.
    Raises: UserError for data without labels or without any key, for a network without keys, or for
        a broken mask.
    """
    check_choice("--per", per, PER)
    if not dataset.labelled:
        raise UserError(f"{name} has no labels, and keys are compared by their classes")
    if "key" not in network.facets:
        raise UserError(f"the network gives {', '.join(network.facets)} and no keys")
    regions_of = _per_instance if per == "instance" else _per_image
    found, mapper = MeanKeys(), WholeImageMapper(max_side)
    for number, record in enumerate(with_progress(dataset.records, "keys")):
        instances = _instances(record, found.counts)
        if not instances:
            continue
        try:
            sample = mapper(record)
        except ImageReadError as error:
            found.failed.append({"file_name": record["relative_name"], "reason": str(error)})
            continue
        features = read_map([sample["image"]], network, "key")
        covered = _covered(instances, features, sample, found.counts)
        tokens = features.tokens()[0].float()
        for label, cells in regions_of(covered, found.counts):
            inside = torch.from_numpy(cells).to(tokens.device)
            found.keys.append(tokens[inside].mean(dim=0).cpu())
            found.classes.append(label)
            found.images.append(number)
    if not found.keys:
        raise UserError(f"no key of {name}, which has {len(dataset.records)} images: {_why(found)}")
    return found


def _instances(record: Record, counts: Counter[str]) -> list[Record]:
    everything = record.get("annotations", ())
    instances = [item for item in everything if not item.get("iscrowd", 0)]
    counts["crowds_left_out"] += len(everything) - len(instances)
    counts["images_without_instance"] += not instances
    return instances


def _covered(
    instances: list[Record], features: FeatureMap, sample: Record, counts: Counter[str]
) -> list[Region]:
    """Return the class and the covered cells of each instance."""
    size = (sample["height"], sample["width"])
    centres = cell_centres(features, size)
    covered = []
    for item in instances:
        if item.get("segmentation"):
            try:
                mask = decode_mask(item["segmentation"], size)
            except ValueError as error:
                raise UserError(f"image {sample['image_id']!r}: {error}") from error
            cells = cells_in_mask(centres, mask)
        else:
            counts["instances_by_their_box"] += 1
            cells = cells_in_box(centres, item["bbox"])
        covered.append((item["category_id"], cells))
    return covered


def _per_instance(covered: Iterable[Region], counts: Counter[str]) -> Iterator[Region]:
    for label, cells in covered:
        if cells.any():
            yield label, cells
        else:
            counts["instances_without_a_cell_left_out"] += 1


def _per_image(covered: Iterable[Region], counts: Counter[str]) -> Iterator[Region]:
    labels, cells = zip(*covered, strict=True)
    together = np.any(cells, axis=0)
    if len(set(labels)) > 1:
        counts["images_of_several_classes_left_out"] += 1
    elif together.any():
        yield labels[0], together
    else:
        counts["images_without_a_cell_left_out"] += 1


def _why(found: MeanKeys) -> str:
    reasons = [
        f"{count} {reason.replace('_', ' ')}" for reason, count in found.counts.items() if count
    ]
    if found.failed:
        reasons.append(f"{len(found.failed)} cannot be read, first: {found.failed[0]['reason']}")
    return "; ".join(reasons) or "nothing is labelled"
