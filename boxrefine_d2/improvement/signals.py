"""Measurement of label-free signals of several networks, in one pass over the images."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.records import Record
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.networks import MapNetwork, NotFiniteMapError, read_map
from boxrefine_d2.progress import progress_bar
from boxrefine_d2.pseudo_labels import DiscoverySettings
from boxrefine_d2.pseudo_labels.finite_maps import NOT_FINITE
from boxrefine_d2.pseudo_labels.one_image import image_mapper
from boxrefine_d2.pseudo_labels.planning import plan_batches
from boxrefine_d2.refinement.drift import relative_shift
from boxrefine_d2.structures import FeatureMap, mirrored_back

logger = logging.getLogger(__name__)

COMPARED_RULES = ("lost", "tokencut", "absorption")  # their boxes on one map are compared
HASH_SIDE = 8  # side of the grid of an average hash, in cells


Corners = tuple[float, float, float, float]  # XYXY


@dataclass(frozen=True)
class ImageSignals:
    """Measurements on one image, one value per network; the first network is that from before.

    Attributes:
        image_id: id in the data set.
        name: file name, relative to the folder of the data set.
        fingerprint: average hash, which nearly identical images share.
        flip: IoU of the rule's first box with that on the mirrored image.
        rules: mean IoU over the pairs of first boxes of `COMPARED_RULES`.
        box: the rule's first box, XYXY in shares of the sides of the image; None without a box.
        shift: relative L2 distance of the map to that of the first network.
        overlap: IoU of the rule's first box with that of the first network.
    """

    image_id: int | str
    name: str
    fingerprint: str
    flip: tuple[float, ...]
    rules: tuple[float, ...]
    box: tuple[Corners | None, ...]
    shift: tuple[float, ...]
    overlap: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    """Measurements of all images, and the images that could not be measured.

    Attributes: failed: file name -> reason.
    """

    images: list[ImageSignals]
    failed: dict[str, str]

    @property
    def near_duplicates(self) -> int:
        """Number of images whose average hash an earlier image has."""
        return len(self.images) - len({image.fingerprint for image in self.images})


@torch.no_grad()
def measure(
    records: Sequence[Record],
    networks: Sequence[MapNetwork],
    settings: DiscoverySettings,
    num_workers: int = 0,
) -> Measurement:
    """Measure each network on each image, with a progress bar.

    Args:
        networks: networks of one architecture in eval mode, on their device; the first one is that
            from before refinement.
        settings: rule and sizes, as for `discover_dataset`; weights and precision are not read.
        num_workers: processes that decode images.
    """
    rule = build_rule(settings.method, **settings.parameters)
    rules = {name: build_rule(name) for name in COMPARED_RULES}
    facet = rule.choose_facet(networks[0].facets)
    mapper = image_mapper(settings, rule)
    stride = networks[0].stride
    batches, too_large = plan_batches(records, mapper, settings.batch_size, stride)
    failed = {failure["file_name"]: failure["reason"] for failure in too_large}
    images: list[ImageSignals] = []
    loader = WholeImageLoader(batches, mapper, num_workers)
    with progress_bar("measure the signals", total=len(records), done=len(too_large)) as bar:
        for samples in loader.with_unreadable():
            readable = []
            for sample in samples:
                if isinstance(sample, UnreadableImage):
                    failed[sample.record["relative_name"]] = sample.reason
                else:
                    readable.append(sample)
            images += _of_batch(readable, networks, facet, rule, rules, failed)
            bar.update(len(samples))
    order = {record["image_id"]: place for place, record in enumerate(records)}
    images.sort(key=lambda image: order[image.image_id])
    return Measurement(images, failed)


def _of_batch(
    samples: list[dict[str, Any]],
    networks: Sequence[MapNetwork],
    facet: str,
    rule: DiscoveryRule,
    rules: Mapping[str, DiscoveryRule],
    failed: dict[str, str],
) -> Iterator[ImageSignals]:
    """Yield the signals of a batch; an image with a map that is not finite is left out."""
    while samples:
        try:
            maps = [_maps(samples, network, facet) for network in networks]
            break
        except NotFiniteMapError as error:
            for place in sorted(error.images, reverse=True):
                failed[samples.pop(place)["relative_name"]] = NOT_FINITE
    if not samples:
        return
    own = [_first_boxes(rule, plain) for plain, _ in maps]
    widths = [sample["image"].shape[2] for sample in samples]
    flipped = [
        [mirrored_back(*pair) for pair in zip(_first_boxes(rule, mirrored), widths, strict=True)]
        for _, mirrored in maps
    ]
    compared = [_mean_agreement(rules, plain) for plain, _ in maps]
    shifts = [relative_shift(plain, maps[0][0]).tolist() for plain, _ in maps]
    for i, sample in enumerate(samples):
        yield ImageSignals(
            sample["image_id"],
            sample["relative_name"],
            average_hash(sample["image"]),
            flip=tuple(agreement(a[i], b[i]) for a, b in zip(own, flipped, strict=True)),
            rules=tuple(values[i] for values in compared),
            box=tuple(_in_shares(boxes[i], sample["image"].shape[1:]) for boxes in own),
            shift=tuple(values[i] for values in shifts),
            overlap=tuple(agreement(own[0][i], boxes[i]) for boxes in own),
        )


def _maps(
    samples: Sequence[dict[str, Any]], network: MapNetwork, facet: str
) -> tuple[FeatureMap, FeatureMap]:
    """Return the maps of the images and of the mirrored images."""
    images = [sample["image"] for sample in samples]
    mirrored = [image.flip(2) for image in images]
    return read_map(images, network, facet), read_map(mirrored, network, facet)


def _first_boxes(rule: DiscoveryRule, features: FeatureMap) -> list[Tensor]:
    """Return the rule's first box of each image, (1, 4) on the CPU, or (0, 4)."""
    return [found.boxes[:1].double().cpu() for found in rule(features)]


def _mean_agreement(rules: Mapping[str, DiscoveryRule], features: FeatureMap) -> list[float]:
    """Return the mean IoU over the pairs of rules, one value per image."""
    boxes = [_first_boxes(rule, features) for rule in rules.values()]
    per_image = zip(*boxes, strict=True)
    pairs = [[agreement(a, b) for a, b in combinations(found, 2)] for found in per_image]
    return [sum(values) / len(values) for values in pairs]


def agreement(one: Tensor, other: Tensor) -> float:
    """Return the IoU of two boxes, each (1, 4) or (0, 4).

    It is 1 if both rules found nothing, and 0 if only one of them did.
    """
    if len(one) and len(other):
        return float(box_iou(one, other))
    return float(len(one) == len(other))


def _in_shares(box: Tensor, size: Sequence[int]) -> Corners | None:
    """Return a box (1, 4) in shares of the sides of an image of (H, W); None for (0, 4)."""
    if not len(box):
        return None
    height, width = size
    left, top, right, bottom = box[0].tolist()
    return left / width, top / height, right / width, bottom / height


def average_hash(image: Tensor) -> str:
    """Return the average hash of an image: one bit per cell of a grid, 1 if it is above the mean.

    Args: image: (3, H, W) in [0, 255].
    Returns: 16 hexadecimal digits for the 64 cells.
    """
    grey = image.float().mean(dim=0)[None, None]
    cells = F.adaptive_avg_pool2d(grey, HASH_SIDE).flatten()
    bits = "".join("1" if bright else "0" for bright in (cells > cells.mean()).tolist())
    return f"{int(bits, 2):016x}"
