import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import write_pseudo_labels

HEIGHT, WIDTH = 10, 20


@pytest.fixture
def rectangle():
    """Return a function that makes a label with a mask that fills its box [x, y, w, h]."""

    def label(score, box, filled=None):
        x, y, w, h = filled or box
        mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        return {"score": score, "bbox": box, "segmentation": mask_codec.encode(mask)}

    return label


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file of images 20 pixels wide and 10 high.

    It receives image id -> the image's labels.
    """

    def write(name, labels, info=None, size=(HEIGHT, WIDTH), suffix="jpg"):
        images = [
            {"id": i, "file_name": f"{i}.{suffix}", "height": size[0], "width": size[1]}
            for i in labels
        ]
        annotations = [{"image_id": i} | label for i, own in labels.items() for label in own]
        path = tmp_path / name
        write_pseudo_labels(path, images=images, annotations=annotations, info=info or {})
        return path

    return write
