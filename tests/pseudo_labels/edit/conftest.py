import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import write_pseudo_labels

HEIGHT, WIDTH = 10, 20


@pytest.fixture
def rectangle():
    """A label with the mask that fills its box [x, y, w, h]."""

    def label(score, box, filled=None):
        x, y, w, h = filled or box
        mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        return {"score": score, "bbox": box, "segmentation": mask_codec.encode(mask)}

    return label


@pytest.fixture
def write(tmp_path):
    """Writes a file of images of 10 x 20 pixels: image id -> its labels."""

    def write(name, found, info=None, size=(HEIGHT, WIDTH), suffix="jpg"):
        images = [
            {"id": i, "file_name": f"{i}.{suffix}", "height": size[0], "width": size[1]}
            for i in found
        ]
        annotations = [{"image_id": i} | label for i, labels in found.items() for label in labels]
        path = tmp_path / name
        write_pseudo_labels(path, images=images, annotations=annotations, info=info or {})
        return path

    return write
