"""A job small enough to run whole in a test: tiny networks on a handful of drawn photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """Twelve pictures of two sizes, each with a bright rectangle on noise."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for index in range(12):
        height, width = ((70, 90), (64, 64))[index % 2]
        picture = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        y, x = rng.integers(4, 30, 2)
        picture[y : y + 24, x : x + 28] = (220, 200, 40 + 10 * index)
        Image.fromarray(picture).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture
def job(photographs):
    """Command of a run in `output` with changes KEY VALUE: four steps of h, four of f."""

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
