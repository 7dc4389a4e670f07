"""The record of one image, as every loader of this room returns it.

A record is a Detectron2 dataset dict:

    file_name      str   where the picture is (absolute or relative to the working directory),
                         or "scenes:train/000012"
    relative_name  str   the same below the data set's folder, POSIX; what a pseudo-label file
                         calls `file_name`
    image_id       int | str
    height, width  int   after EXIF orientation; None where not even the header can be read
    annotations    list  absent for data without labels, [] for an image that was labelled and
                         holds nothing

and an annotation has `bbox` ([x1, y1, x2, y2] floats, half-open, pixels of the original image),
`bbox_mode` (BoxMode.XYXY_ABS), `category_id` (contiguous from 0), `iscrowd` (0 or 1) and, where the
source has them, `segmentation`, `area` (of the object), `phrase`, `score`, `annotation_id`, `difficult`, `truncated`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class LoadedDataset:
    """Records and what is known about all of them together.

    Attributes:
        category_names: names in the order of `category_id`; empty for data without labels.
        category_ids: the source's own id of each category, in the same order.
        labelled: whether the records have `annotations`.
        corloc_rounds_boxes: whether the data set's CorLoc protocol rounds ground-truth coordinates to integers, ties to
            even (COCO20k). The boxes here are never rounded, because average precision is not.
        other_files: suffix -> how many files beside the images are not read, of a folder that was searched.
    """

    records: list[Record]
    category_names: list[str]
    category_ids: list[int]
    labelled: bool = True
    corloc_rounds_boxes: bool = False
    other_files: Mapping[str, int] = field(default_factory=dict)
