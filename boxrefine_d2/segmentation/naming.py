"""Names for boxes and masks: CLIP compares the crop of each box with the names of the classes.

Shapes: N boxes, M kinds of crops, K classes, D dimensions, S x S pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.data.digest import images_sha256
from boxrefine_d2.data.loaders import UnreadableImage, WholeImageLoader
from boxrefine_d2.data.modifiers import with_pseudo_labels
from boxrefine_d2.data.pseudo_categories import SOFTWARE
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.language.clip import Clip
from boxrefine_d2.networks.weights import file_sha256
from boxrefine_d2.progress import progress_bar

from .class_names import TEMPLATES, class_vectors
from .crops import OUTSIDE, CropForm, CropMapper
from .kept_work import kept_work

CROPS_AT_ONCE = 64
Sample = dict[str, Any] | UnreadableImage


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
    mapper = CropMapper(of_image, form)
    names = _record(clip, settings)
    info = {"names": names, "images_sha256": images_sha256(records)}
    info["labels_sha256"] = file_sha256(labels_file)

    def compute(todo: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the answer to each box of the images that are left."""
        chosen = [records[i] for i in todo]
        yield from zip(todo, _answers(clip, texts, chosen, mapper, settings.num_workers))

    with kept_work(output, info, len(records), compute) as entries:
        counts, kept, unreadable = Naming(boxes=len(labels.annotations)), [], {}
        for record, entry in zip(records, entries, strict=True):
            own = of_image[record["image_id"]]
            if "unreadable" in entry:
                counts.unread += len(own)
                unreadable[record["file_name"]] = entry["unreadable"]
                continue
            for label, (place, similarity, probability) in zip(own, entry["boxes"], strict=True):
                if similarity < settings.min_similarity:
                    counts.unlike += 1
                    continue
                counts.named[settings.classes[place]] += 1
                given = {"similarity": similarity, "probability": probability}
                kept.append(label | {"category_id": place + 1} | given)
        names["images_unreadable"] = unreadable
        write_pseudo_labels(
            output,
            images=labels.images,
            annotations=kept,
            categories=[{"id": k, "name": name} for k, name in enumerate(settings.classes, 1)],
            info={**labels.info, **SOFTWARE, "names": names},
        )
    return counts


def _record(clip: Clip, settings: NamingSettings) -> dict[str, Any]:
    return {
        "clip": clip.weights_info.source,
        "clip_sha256": clip.weights_info.sha256,
        "classes": list(settings.classes),
        "templates": list(TEMPLATES[settings.templates]),
        "margin": settings.margin,
        "outside": settings.outside,
        "min_similarity": settings.min_similarity,
    }


def _answers(
    clip: Clip,
    texts: Tensor,
    records: Sequence[dict[str, Any]],
    mapper: CropMapper,
    num_workers: int,
) -> Iterator[dict[str, Any]]:
    """Yield the journal's entry of each image; images share batches of crops.

    It is {"boxes": [[class, cosine, probability], ...]}, or {"unreadable": reason}.
    """
    loader = WholeImageLoader([[record] for record in records], mapper, num_workers)
    waiting: list[Sample] = []
    with progress_bar("name boxes", total=len(records)) as bar:
        for [sample] in loader.with_unreadable():
            waiting.append(sample)
            bar.update(1)
            if sum(map(_crops_in, waiting)) >= CROPS_AT_ONCE:
                yield from _of_images(clip, texts, waiting)
                waiting = []
        yield from _of_images(clip, texts, waiting)


def _crops_in(sample: Sample) -> int:
    return 0 if isinstance(sample, UnreadableImage) else len(sample["crops"])


def _of_images(clip: Clip, texts: Tensor, samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    read = [sample["crops"] for sample in samples if not isinstance(sample, UnreadableImage)]
    parts = torch.cat(read).split(CROPS_AT_ONCE) if read else ()
    vectors = [vector for part in parts for vector in crop_vectors(clip, part)]
    for sample in samples:
        if isinstance(sample, UnreadableImage):
            yield {"unreadable": sample.reason}
            continue
        own, vectors = vectors[: len(sample["crops"])], vectors[len(sample["crops"]) :]
        cosines = torch.stack(own) @ texts.T.cpu()
        probabilities = (cosines * clip.logit_scale).softmax(dim=1)
        best = cosines.argmax(dim=1, keepdim=True)
        answers = (best, cosines.gather(1, best), probabilities.gather(1, best))
        yield {"boxes": list(map(list, zip(*(each[:, 0].tolist() for each in answers))))}


@torch.no_grad()
def crop_vectors(clip: Clip, crops: Tensor) -> Tensor:
    """Return the vectors of boxes, (N, D) of length 1, for crops (N, M, 3, S, S) uint8."""
    flat = crops.flatten(0, 1).to(clip.device).float() / 255
    vectors = clip.encode_photos(flat).unflatten(0, crops.shape[:2])
    return F.normalize(vectors.mean(dim=1), dim=1).cpu()
