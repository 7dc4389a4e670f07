"""Data: dataset specs, the loaders behind them, the image reader, and the pseudo-label file.

A dataset spec is one string. `load_spec("voc_2007_trainval+agnostic")` returns records (Detectron2
dataset dicts) and category names. `register_spec` registers the same string as a name in
Detectron2's catalogs. All boxes are in the frame of the original image after EXIF orientation:
XYXY, half-open, pixels.
"""

from .dataset_spec import DatasetSpec, escape_path, load_spec, parse_spec, register_spec
from .images import ImageReadError, image_size, read_image
from .pseudo_label_file import PseudoLabels, read_pseudo_labels, write_pseudo_labels
from .records import LoadedDataset

__all__ = [
    "DatasetSpec",
    "ImageReadError",
    "LoadedDataset",
    "PseudoLabels",
    "escape_path",
    "image_size",
    "load_spec",
    "parse_spec",
    "read_image",
    "read_pseudo_labels",
    "register_spec",
    "write_pseudo_labels",
]
