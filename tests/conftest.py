"""Fixtures of several rooms: a CLIP and a g of a few thousand parameters, and a small whole job."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DIM = 12
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="session")
def tiny_config():
    """A function that returns a CLIP config of two layers and 4 x 4 patches of 8 pixels."""
    from transformers import CLIPConfig  # imported here, because most tests do without it

    def build():
        tower = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
        }
        return CLIPConfig(
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            text_config={**tower, "max_position_embeddings": 40},
            projection_dim=DIM,
        )

    return build


@pytest.fixture(scope="session")
def clip(tiny_config):
    from boxrefine_d2.language.build import random_clip

    return random_clip(tiny_config(), seed=0)


@pytest.fixture(scope="session")
def tiny_heatmap():
    """A function that returns a g with cells of 8 pixels, the same at each call."""
    from torch import nn

    from boxrefine_d2.networks.text_heatmap import TextHeatmap
    from boxrefine_d2.networks.weights import build_seeded

    def build():
        encoder = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU())
        return TextHeatmap(encoder, channels=8, text_dim=DIM, stride=8)

    return lambda: build_seeded(build, 0)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of twelve images of two sizes, each with a bright rectangle on noise."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for index in range(12):
        height, width = ((70, 90), (64, 64))[index % 2]
        image = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        y, x = rng.integers(4, 30, 2)
        image[y : y + 24, x : x + 28] = (220, 200, 40 + 10 * index)
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture
def job(photographs):
    """A function that returns the command of a run: four steps of h, four of f.

    Its arguments are the output directory and changes KEY VALUE of the config.
    """

    def command(output: Path, *opts: str, flags: tuple[str, ...] = (), python=(sys.executable,)):
        settings = {
            "OUTPUT_DIR": output,
            "DATASETS.TRAIN": f"('folder:{photographs}',)",
            "DATASETS.TEST": "()",
            "MODEL.DEVICE": "cpu",
            "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
            "MODEL.MAP_DETECTOR.NORM": "FrozenBN",
            "INPUT.SQUARE_SIZE": 64,
            "SOLVER.IMS_PER_BATCH": 4,
            "SOLVER.MAX_ITER": 8,
            "SOLVER.CHECKPOINT_PERIOD": 2,
            "REFINE.WARMUP_ITERS": 4,
            "REFINE.REFINE_ITERS": 4,
            "REFINE.RECORD_IMAGES": 4,
            "DATALOADER.NUM_WORKERS": 0,
        } | dict(zip(opts[::2], opts[1::2], strict=True))
        values = [str(part) for pair in settings.items() for part in pair]
        script = str(TOOLS / "train_net.py")
        return [*python, script, "--config-file", "configs/demo/lost_refine.yaml", *flags, *values]

    return command
