"""Export of pseudo-label files for other tools: YOLO, PASCAL VOC, CSV, PNG masks, plain COCO.

`export_labels` writes one folder, whole or not at all. To add a format, add a file with a `Writer`
and an entry in `FORMATS`.
"""

from .build import FORMATS, ExportSummary, export_labels
from .labelled_images import LabelledBox, LabelledImage, labelled_images
from .segmentation import mask_of

__all__ = [
    "FORMATS",
    "ExportSummary",
    "LabelledBox",
    "LabelledImage",
    "export_labels",
    "labelled_images",
    "mask_of",
]
