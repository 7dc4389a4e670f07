import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from boxrefine_d2.data import load_spec, read_image, write_pseudo_labels
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset

SIZE = (96, 64)  # width and height of the images, pixels


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Return a folder with ten rendered scenes as small PNG files."""
    folder = tmp_path_factory.mktemp("rendered")
    for number, record in enumerate(load_spec("scenes:train+first=10").records):
        image = Image.fromarray(read_image(record["file_name"])).resize(SIZE)
        image.save(folder / f"{number}.png")
    return folder


@pytest.fixture
def label_file(tmp_path):
    """Return a function that writes a pseudo-label file: image number -> boxes [x, y, w, h]."""

    def write(boxes, name="labels.json", **info):
        images = [
            {"id": number, "file_name": f"{number}.png", "width": SIZE[0], "height": SIZE[1]}
            for number in boxes
        ]
        annotations = [
            {"image_id": number, "bbox": box, "score": 0.5 - 0.1 * place}
            for number, own in boxes.items()
            for place, box in enumerate(own)
        ]
        path = tmp_path / name
        write_pseudo_labels(path, images=images, annotations=annotations, info=info)
        return path

    return write


@pytest.fixture(scope="session")
def compare(tmp_path_factory):
    """Return a function that makes what a verdict on a data set compares, and returns its folder.

    It holds boxes of dino_mini, before.json, boxes of a random network, after.json, the weights of
    that network and a run without a safety stop.
    """

    def make(spec):
        folder = tmp_path_factory.mktemp("compared")
        run, weights = folder / "refine", folder / "refined.safetensors"
        run.mkdir()
        save_file(build_backbone("dino_mini", "random:0").state_dict(), weights)
        record = {"record": {"drift": [], "stopped": None}}
        (run / "results.json").write_text(json.dumps(record))
        (run / "config.yaml").write_text("VERSION: 2\nSOLVER: {MAX_ITER: 7}\n")
        for name, own in (("before", None), ("after", str(weights))):
            settings = DiscoverySettings("lost", "dino_mini", own)
            discover_dataset(spec, folder / f"{name}.json", settings, num_workers=0)
        return folder

    return make


@pytest.fixture(scope="session")
def compared(compare, rendered):
    """Return the files of `compare` for images without labels."""
    return compare(f"folder:{rendered}")


@pytest.fixture
def noise():
    """Return a function that makes the image of a seed, (3, H, W) float."""

    def image(seed, height=64, width=96):
        values = np.random.default_rng(seed).integers(0, 256, (3, height, width))
        return torch.from_numpy(values).float()

    return image
