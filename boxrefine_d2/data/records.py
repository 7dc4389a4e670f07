"""The record of one image, as every loader in `data` returns it.

A record is a Detectron2 dataset dict:

    file_name      str   path of the image (absolute or relative to the working directory),
                         or the name of a rendered image, such as "scenes:train/000012"
    relative_name  str   POSIX path below the data set's folder; a pseudo-label file stores it
                         as `file_name`
    image_id       int | str
    height, width  int   pixels after EXIF orientation; None if the header cannot be read, or was
                         not read because the data set has too many images (ILSVRC's train)
    annotations    list  absent for data without labels; [] for an image that was labelled and
                         shows no object
    captions       list  texts that describe the image; absent if the source has none
    image_label    int   class of the image, contiguous from 0; absent if the source has none
    sem_seg_file_name  str   PNG file with a class per pixel; absent if the source has none
    sem_seg_table  list  category id of each of the 256 values of such a pixel; 0 is background, and
                         255 is ignored

An annotation has `bbox` ([x1, y1, x2, y2] floats, half-open, pixels of the original image),
`bbox_mode` (BoxMode.XYXY_ABS), `category_id` (contiguous from 0) and `iscrowd` (0 or 1). If the
source provides them, it also has `segmentation`, `area` (of the object, in pixels), `phrase`,
`score`, `annotation_id`, `difficult` and `truncated`. A region whose pixels count neither as object
nor as background (the ignore mask of OpenImages30k) is an annotation with `iscrowd` 1 and a
`segmentation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.structures import BoxMode

Record = dict[str, Any]


def box_annotation(box: Sequence[float], category_id: int, *, iscrowd: int = 0) -> Record:
    """Return the annotation of a box [x1, y1, x2, y2], half-open, in pixels of the image."""
    return {
        "bbox": list(box),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": category_id,
        "iscrowd": iscrowd,
    }


@dataclass(frozen=True)
class LoadedDataset:
    """Records of a data set and the properties that they share.

    Attributes:
        records: one record per image.
        category_names: names in the order of `category_id` and `image_label`; empty for data
            without either.
        category_ids: id of each category in the source, in the same order.
        labelled: True if the records have `annotations`.
        corloc_rounds_boxes: True if the data set's CorLoc protocol rounds ground-truth coordinates
            to integers, ties to even (COCO20k). The boxes in the records are never rounded, because
            average precision uses them as they are.
        has_background: False for data with a class for every pixel that counts.
        other_files: suffix -> number of files in a searched folder that are not images.
    """

    records: list[Record]
    category_names: list[str]
    category_ids: list[int]
    labelled: bool = True
    corloc_rounds_boxes: bool = False
    has_background: bool = True
    other_files: Mapping[str, int] = field(default_factory=dict)
