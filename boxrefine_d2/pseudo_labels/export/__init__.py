"""Pseudo-label files as other tools read them: YOLO, PASCAL VOC, CSV, PNG masks, plain COCO.

`export_labels` writes one folder, whole or not at all. A further format is one file with a `Writer` and one entry in
`FORMATS`.
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
