"""Data: dataset specs, the loaders behind them, pictures of any kind, and the pseudo-label file.

Everything starts from a spec, one string: `load_spec("voc_2007_trainval+agnostic")` gives records
(Detectron2 dataset dicts) and category names, and `register_spec` makes the same string a name of
Detectron2's catalogs. The box frame everywhere is the original image after EXIF orientation: XYXY,
half-open, pixels.
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
