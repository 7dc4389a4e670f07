"""Names for boxes and masks: CLIP compares the crop of each box with the names of the classes.

Shapes: N boxes, M kinds of crops, K classes, D dimensions, S x S pixels.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.data.loaders import WholeImageLoader
from boxrefine_d2.data.modifiers import with_pseudo_labels
from boxrefine_d2.data.pseudo_categories import SOFTWARE
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.language.clip import Clip

from .class_names import TEMPLATES, class_vectors
from .crops import OUTSIDE, CropForm, CropMapper

CROPS_AT_ONCE = 64


@dataclass(frozen=True)
class NamingSettings:
    """Settings of a naming.

    Attributes:
        classes: names of the classes.
        templates: key of `TEMPLATES`.
        margin, outside: see `CropForm`.
        min_similarity: smallest cosine with the best class; a box below has no name.
        num_workers: processes that decode images.
    """

    classes: Sequence[str]
    templates: str = "simple"
    margin: float = 0.1
    outside: str = "both"
    min_similarity: float = -1.0
    num_workers: int = 0

    def check(self) -> None:
        """Refuse impossible settings. Raises: UserError."""
        check_choice("--template", self.templates, TEMPLATES)
        check_choice("--outside", self.outside, OUTSIDE)
        if not -1 <= self.min_similarity <= 1:
            raise UserError(f"--min-similarity {self.min_similarity}: a cosine is between -1 and 1")
        if not 0 <= self.margin <= 10:
            raise UserError(f"--margin {self.margin}: give a share of the box, from 0 to 10")


@dataclass
class Naming:
    """Counts of a naming.

    Attributes:
        boxes: number of boxes of the file.
        named: boxes by class.
        unlike: boxes that are like no class.
        unread: boxes of images that cannot be read.
    """

    boxes: int = 0
    named: Counter[str] = field(default_factory=Counter)
    unlike: int = 0
    unread: int = 0

    def to_text(self, min_similarity: float) -> str:
        """Return the counts in words."""
        parts = [f"{self.named.total()} of {self.boxes} boxes have a name"]
        if self.unlike:
            parts.append(f"{self.unlike} are like no class (cosine below {min_similarity:g})")
        if self.unread:
            parts.append(f"{self.unread} are in images that cannot be read")
        counts = ", ".join(f"{name} {count}" for name, count in self.named.most_common())
        return f"{'; '.join(parts)}\n{counts}" if counts else "; ".join(parts)


def name_boxes(
    clip: Clip, data: str, labels_file: Path, output: Path, settings: NamingSettings
) -> Naming:
    """Write a pseudo-label file whose categories are classes, and return the counts.

    A label keeps its box, mask and score, and gets `similarity`, the cosine with its class, and
    `probability`, the softmax over all classes. Boxes without a name are left out; their images
    stay listed.

    Args:
        data: dataset spec of the images.
        labels_file: pseudo-label file with boxes of these images.
    Raises: UserError for files that do not belong together, or names that CLIP cannot read.
    """
    settings.check()
    labels = read_pseudo_labels(labels_file)
    dataset = load_spec(data)
    with_pseudo_labels(dataset, labels_file)  # refuses labels of other images
    of_image: dict[Any, list[dict[str, Any]]] = {}
    for label in labels.annotations:
        of_image.setdefault(label["image_id"], []).append(label)
    texts = class_vectors(clip, settings.classes, TEMPLATES[settings.templates])
    records = [record for record in dataset.records if record["image_id"] in of_image]
    masked = any(label.get("segmentation") for label in labels.annotations)
    form = CropForm(clip.side, settings.margin, settings.outside if masked else "keep")
    loader = WholeImageLoader(
        [[record] for record in records],
        CropMapper(of_image, form),
        settings.num_workers,
        what="name boxes",
    )
    counts, kept = Naming(boxes=len(labels.annotations)), []
    for image_id, vectors in _encoded(clip, loader):
        cosines = vectors @ texts.T
        probabilities = (cosines * clip.logit_scale).softmax(dim=1)
        for label, own, probability in zip(
            of_image.pop(image_id), cosines, probabilities, strict=True
        ):
            similarity, place = (value.item() for value in own.max(dim=0))
            if similarity < settings.min_similarity:
                counts.unlike += 1
                continue
            counts.named[settings.classes[int(place)]] += 1
            given = {"similarity": similarity, "probability": float(probability[int(place)])}
            kept.append(label | {"category_id": int(place) + 1} | given)
    counts.unread = sum(map(len, of_image.values()))
    write_pseudo_labels(
        output,
        images=labels.images,
        annotations=kept,
        categories=[{"id": k, "name": name} for k, name in enumerate(settings.classes, 1)],
        info={**labels.info, **SOFTWARE, "names": _record(clip, settings, loader.unreadable)},
    )
    return counts


def _record(clip: Clip, settings: NamingSettings, unreadable: Mapping[str, str]) -> dict[str, Any]:
    return {
        "clip": clip.weights_info.source,
        "clip_sha256": clip.weights_info.sha256,
        "templates": list(TEMPLATES[settings.templates]),
        "margin": settings.margin,
        "outside": settings.outside,
        "min_similarity": settings.min_similarity,
        "images_unreadable": dict(unreadable),
    }


def _encoded(clip: Clip, loader: WholeImageLoader) -> Iterator[tuple[Any, Tensor]]:
    """Yield image ids and the vectors of their boxes, (N, D); images share a batch."""
    waiting: list[dict[str, Any]] = []
    for batch in loader:
        waiting += batch
        if sum(len(each["crops"]) for each in waiting) >= CROPS_AT_ONCE:
            yield from _vectors(clip, waiting)
            waiting = []
    yield from _vectors(clip, waiting)


@torch.no_grad()
def _vectors(clip: Clip, images: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, Tensor]]:
    if not images:
        return
    crops = torch.cat([each["crops"] for each in images])
    vectors = torch.cat([crop_vectors(clip, part) for part in crops.split(CROPS_AT_ONCE)])
    sizes = [len(each["crops"]) for each in images]
    for each, own in zip(images, vectors.split(sizes), strict=True):
        yield each["image_id"], own


@torch.no_grad()
def crop_vectors(clip: Clip, crops: Tensor) -> Tensor:
    """Return the vectors of boxes, (N, D) of length 1, for crops (N, M, 3, S, S) uint8."""
    flat = crops.flatten(0, 1).to(clip.device).float() / 255
    vectors = clip.encode_photos(flat).unflatten(0, crops.shape[:2])
    return F.normalize(vectors.mean(dim=1), dim=1).cpu()
