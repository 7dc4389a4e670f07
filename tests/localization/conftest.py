import json

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


def write_tree(root, per_class=4, *, colours=COLOURS, seed=0):
    """Write a folder of images for each class, a square of its colour on noise, and their boxes."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for kind, (name, colour) in enumerate(colours.items()):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            width, height = (72, 64) if number % 2 else (64, 64)
            pixels = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(2, 26, 2))
            side = int(rng.integers(24, 36))
            pixels[y : y + side, x : x + side] = colour
            Image.fromarray(pixels).save(root / name / f"{number}.png")
            key = len(images)
            size = {"width": width, "height": height}
            images.append({"id": key, "file_name": f"{name}/{number}.png", **size})
            corners = [[x, y, x + side, y, x + side, y + side, x, y + side]]
            box = {"bbox": [x, y, side, side], "segmentation": corners, "area": side * side}
            annotations.append({"id": key, "image_id": key, "category_id": kind + 1, **box})
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(colours)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A tree of three classes with four images each; nothing may be written to it."""
    return write_tree(tmp_path_factory.mktemp("classes") / "tree")
