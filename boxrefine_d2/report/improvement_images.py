"""Images of an improvement's page, with boxes before and after refinement side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from boxrefine_d2.data import ImageReadError, read_image
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.evaluation import GroundTruth
from boxrefine_d2.improvement.labels import detections_of, hits, is_labelled, top_boxes
from boxrefine_d2.improvement.signals import agreement
from boxrefine_d2.progress import with_progress

from .drawing import DrawnBox, drawn_box
from .figures import photo_uri
from .rendering import number, render
from .summary import outcome_codes, outcome_counts
from .tables import outcome_tally

PHOTO_SIDE = 320  # longest side of an embedded image, pixels
DRAWN_BOXES = 5  # most boxes of a file on one image


@dataclass(frozen=True)
class ChangedBoxes:
    """Images with the boxes of two files.

    Attributes:
        records: images that both files list, in the order of the data set.
        overlap: (N,) IoU of the best boxes before and after.
        boxes: boxes of the files, image id -> (M, 4) XYXY in image pixels, best first.
        truth: image id -> (M, 4) boxes of the labels; {} without labels.
        hit: image id -> hits of the best boxes before and after; {} without labels.
    """

    records: list[Record]
    overlap: np.ndarray
    boxes: tuple[dict[Any, np.ndarray], dict[Any, np.ndarray]]
    truth: dict[Any, Tensor]
    hit: dict[Any, tuple[bool, bool]]


def changed_boxes(
    dataset: LoadedDataset, name: str, before: PseudoLabels, after: PseudoLabels
) -> ChangedBoxes:
    """Return the images of a data set with the boxes of two files.

    Args: name: the dataset spec, for messages.
    """
    found = detections_of(before), detections_of(after)
    records = [r for r in dataset.records if all(r["image_id"] in own for own in found)]
    tops = [top_boxes(own) for own in found]
    overlap = [
        agreement(*(_as_boxes(top[record["image_id"]]) for top in tops)) for record in records
    ]
    truth, hit = {}, {}
    if is_labelled(dataset.records):
        labels = GroundTruth(
            name, dataset.records, rounds_boxes=dataset.corloc_rounds_boxes
        ).boxes()
        truth = {image_id: boxes for image_id, boxes in labels.items() if len(boxes)}
        both = [hits(dataset, name, own) for own in found]
        hit = {image_id: (value, both[1][image_id]) for image_id, value in both[0].items()}
    boxes = tuple(
        {image_id: own.boxes[np.argsort(-own.scores, kind="stable")] for image_id, own in x.items()}
        for x in found
    )
    return ChangedBoxes(records, np.array(overlap), (boxes[0], boxes[1]), truth, hit)


def _as_boxes(box: Sequence[float] | None) -> Tensor:
    return torch.tensor([] if box is None else [list(box)], dtype=torch.float64).reshape(-1, 4)


def image_sections(changed: ChangedBoxes, shown: int, rule: str) -> Markup:
    """Return the images whose boxes changed most, and with labels those that got worse.

    Args:
        shown: most images of each kind.
        rule: title of the rule.
    """
    order = np.argsort(changed.overlap, kind="stable")
    most = [int(i) for i in order if changed.overlap[i] < 1][:shown]
    worse = [i for i, r in enumerate(changed.records) if _outcome(changed, r) == (True, False)]
    first = worse[:shown]
    cards = {
        i: card
        for i in with_progress(dict.fromkeys([*most, *first]), "draw images")
        if (card := _card(changed, i))
    }
    return render(
        "improvement/images.html",
        rule=rule,
        images=len(changed.records),
        changed=int((changed.overlap < 1).sum()),
        has_labels=bool(changed.truth),
        tally=_tally(changed),
        most=[cards[i] for i in most if i in cards],
        worse_count=len(worse),
        worse=[cards[i] for i in first if i in cards],
        unread=len({*most, *first}) - len(cards),
    )


def _outcome(changed: ChangedBoxes, record: Record) -> tuple[bool, bool] | None:
    return changed.hit.get(record["image_id"])


def _tally(changed: ChangedBoxes) -> Markup:
    if not changed.hit:
        return Markup()
    before, after = np.array(list(changed.hit.values())).T
    return outcome_tally([("images with labels", outcome_counts(outcome_codes(before, after)))])


def _card(changed: ChangedBoxes, index: int) -> dict[str, Any] | None:
    """Return the card of an image; None if its file cannot be read any more."""
    record = changed.records[index]
    try:
        image = read_image(record["file_name"])
    except ImageReadError:
        return None
    height, width = image.shape[:2]
    image_id = record["image_id"]
    truth = [drawn_box("gt", box, width, height) for box in changed.truth.get(image_id, ())]

    def drawn(style: str, boxes: np.ndarray) -> list[DrawnBox]:
        first = torch.from_numpy(boxes[:DRAWN_BOXES])
        return [*truth, *(drawn_box(style, box, width, height) for box in first)]

    return {
        "name": record.get("relative_name", record["file_name"]),
        "overlap": number(float(changed.overlap[index]), digits=2),
        "uri": photo_uri(image, PHOTO_SIDE),
        "width": width,
        "height": height,
        "panels": [
            (when, drawn(when, own[image_id]), _hit(changed, image_id, place))
            for place, (when, own) in enumerate(zip(("before", "after"), changed.boxes))
        ],
    }


def _hit(changed: ChangedBoxes, image_id: Any, place: int) -> str:
    """Return the result of a best box against the labels in a word; empty without labels."""
    outcome = changed.hit.get(image_id)
    return "" if outcome is None else ("hit" if outcome[place] else "miss")
