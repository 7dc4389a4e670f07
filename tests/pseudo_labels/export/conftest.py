import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import write_pseudo_labels

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},
    {"id": 2, "file_name": "cats/a.jpg", "width": 17, "height": 23},
    {"id": 3, "file_name": "dogs/old ones/a.png", "width": 20, "height": 10},
]
# Image 1: a box of whole pixels that touches the border.  Image 2: two boxes with sides between
# pixels; the second has the higher score.  Image 3: no box.
BOXES = {1: [(0.5, [30, 10, 10, 20])], 2: [(0.25, [0, 0, 4, 5]), (0.75, [1.25, 2.5, 10.2, 8.1])]}


def rle(height, width, rows, columns):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[rows, columns] = 1
    return mask_codec.encode(mask)


@pytest.fixture
def label_file(tmp_path):
    """Return a function that writes a pseudo-label file.

    Its default content is three images, of which the last has no box.
    """

    def write(images=IMAGES, annotations=None, name="labels.json"):
        if annotations is None:
            annotations = [
                {"image_id": image_id, "score": score, "bbox": box}
                for image_id, boxes in BOXES.items()
                for score, box in boxes
            ]
        info = {"method": "lost", "backbone": "dino_mini"}
        write_pseudo_labels(tmp_path / name, images=images, annotations=annotations, info=info)
        return tmp_path / name

    return write


@pytest.fixture
def mask_file(label_file):
    """Write a file with masks in the first of three images.

    The first mask is a rectangle. The second covers its right half and has a higher score.
    """
    low, high = (
        rle(30, 40, slice(2, 12), slice(3, 13)),
        rle(30, 40, slice(2, 12), slice(8, 20)),
    )
    return label_file(
        annotations=[
            {"image_id": 1, "score": 0.1, "bbox": [3, 2, 10, 10], "segmentation": low},
            {"image_id": 1, "score": 0.2, "bbox": [8, 2, 12, 10], "segmentation": high},
        ]
    )
