"""Loader of the Oxford 102 Flowers (Nilsback and Zisserman, ICVGIP 2008), from its own files.

flowers102/imagelabels.mat             labels: class of each image, from 1
flowers102/setid.mat                   trnid, valid, tstid: numbers of the images, from 1
flowers102/jpg/image_NNNNN.jpg
flowers102/segmim/segmim_NNNNN.jpg     optional: the image with a blue background
"""

import os
from pathlib import Path

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import with_progress

from ..images import header_size
from ..records import LoadedDataset, Record
from .mask_files import mask_annotation, mask_pixels, resized_mask
from .mat_file import read_mat

LABELS, SPLITS, IMAGES, MASKS = "imagelabels.mat", "setid.mat", "jpg", "segmim"
VARIABLES = {"train": "trnid", "val": "valid", "test": "tstid"}
CLASSES = 102
# The background is (0, 0, 254) up to the noise of JPEG: its blue exceeds red and green by 254.
BLUE_EXCESS = 128


def load_oxford_flowers(root: str | os.PathLike[str], split: str) -> LoadedDataset:
    """Return the records of one official split, in the order of `setid.mat`.

    The files name no class: the names are "001" to "102". With `segmim`, each image has one
    annotation, the mask of its flowers with its tight box. A background pixel is one whose blue
    exceeds both red and green by at least `BLUE_EXCESS`. An image whose mask is empty has no
    annotation.

    Args:   split: "train", "val" or "test".
    Raises: UserError for a missing or damaged file, and an image without a class.
    """
    folder = Path(root)
    labels = read_mat(folder / LABELS, "labels")
    numbers = read_mat(folder / SPLITS, VARIABLES[split])
    for path, values, most in ((LABELS, labels, CLASSES), (SPLITS, numbers, len(labels))):
        whole = np.issubdtype(values.dtype, np.number) and (values == np.rint(values)).all()
        if not (whole and len(values) and values.min() >= 1 and values.max() <= most):
            raise UserError(f"{str(folder / path)!r} must hold whole numbers from 1 to {most}")
    masks = os.path.isdir(folder / MASKS)
    records = [
        _record(folder, int(number), int(labels[int(number) - 1]) - 1, masks)
        for number in with_progress(numbers, "flowers")
    ]
    names = [f"{place:03d}" for place in range(1, CLASSES + 1)]
    return LoadedDataset(records, names, list(range(1, CLASSES + 1)), labelled=masks)


def flower_mask(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) bool of an (H, W, 3) RGB image that are not blue background."""
    red_green = pixels[..., :2].max(axis=2).astype(np.int16)
    mask: np.ndarray = pixels[..., 2] - red_green < BLUE_EXCESS
    return mask


def _record(folder: Path, number: int, label: int, masks: bool) -> Record:
    relative = f"{IMAGES}/image_{number:05d}.jpg"
    height, width = header_size(folder / relative)
    record: Record = {
        "file_name": str(folder / relative),
        "relative_name": relative,
        "image_id": number,
        "height": height,
        "width": width,
        "image_label": label,
    }
    if masks:
        mask = flower_mask(mask_pixels(folder / MASKS / f"segmim_{number:05d}.jpg"))
        if height and width:
            mask = resized_mask(mask, (height, width))
        flowers = mask_annotation(mask, label)
        record["annotations"] = [flowers] if flowers else []
    return record
