"""Walks of four data through the package: training steps, an image, a phrase, a prediction file.

`PYTHONPATH=. python -m tests.design.routes` prints the files of each walk.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from PIL import Image

from boxrefine_d2.cli import evaluate
from boxrefine_d2.grounding.grounding_refiner import GroundingRefiner
from boxrefine_d2.grounding.grounding_trainers import GroundingRefineTrainer
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset, discover_image
from boxrefine_d2.refinement.phased_refiner import DETECTOR, REFINE, PhasedRefiner
from boxrefine_d2.refinement.refine_trainer import RefineTrainer
from boxrefine_d2.training.loop import Trainer
from boxrefine_d2.training.setup import load_config
from tests.design.walks import Walk, walked

DATA = "scenes:val+first=2"
OF_BOXES = {
    "DATASETS.TRAIN": f"('{DATA}',)",
    "INPUT.SQUARE_SIZE": 64,
    "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
    "MODEL.MAP_DETECTOR.NORM": "FrozenBN",
}
OF_PHRASES = {"DATASETS.TRAIN": f"('{DATA}',)", "INPUT.SQUARE_SIZE": 64}


# Name in docs/design/architecture.md -> walk in an empty folder.
ROUTES: dict[str, Callable[[Path], Walk]] = {
    "step of f": lambda folder: box_step(REFINE, folder),
    "step of h on f": lambda folder: box_step(DETECTOR, folder),
    "step of regions on f": lambda folder: region_step(folder),
    "step of g": lambda folder: phrase_step(REFINE, folder),
    "step of h on g": lambda folder: phrase_step(DETECTOR, folder),
    "image → box": lambda folder: image_to_box(folder),
    "phrase → record": lambda folder: phrase_to_record(folder),
    "predictions → metric": lambda folder: predictions_to_metric(folder),
}


def box_step(phase: str, folder: Path) -> Walk:
    """Trace a step of a `BoxRefiner` from the trainer's `run_step` on."""
    return _step(RefineTrainer, "configs/demo/lost_refine.yaml", OF_BOXES, phase, folder)


def region_step(folder: Path) -> Walk:
    """Trace a step of a `BoxRefiner` that learns from masks, from the trainer's `run_step` on."""
    config = "configs/demo/region_refine.yaml"
    changes = {key: OF_BOXES[key] for key in OF_BOXES if "DETECTOR" not in key}
    return _step(RefineTrainer, config, changes, REFINE, folder)


def phrase_step(phase: str, folder: Path) -> Walk:
    """Trace a step of a `GroundingRefiner` from the trainer's `run_step` on."""
    config = "configs/demo/grounding_refine.yaml"
    return _step(GroundingRefineTrainer, config, OF_PHRASES, phase, folder)


def _step(
    trainer_of: type[Trainer], config: str, changes: dict[str, Any], phase: str, folder: Path
) -> Walk:
    trainer = trainer_of(_config(config, changes, folder))
    assert isinstance(trainer.network, PhasedRefiner)
    trainer.network.train()
    trainer.network.set_phase(phase)
    with EventStorage() as trainer.storage, walked(Trainer.run_step) as walk:
        trainer.iter = 0
        trainer.run_step()
    return walk


def image_to_box(folder: Path) -> Walk:
    """Trace an image from the user's call to its boxes."""
    pixels = np.random.default_rng(0).integers(0, 120, (70, 90, 3), dtype=np.uint8)
    pixels[20:44, 30:58] = (220, 200, 40)
    Image.fromarray(pixels).save(folder / "image.png")
    with walked(discover_image) as walk:
        assert discover_image(str(folder / "image.png"), DiscoverySettings("lost", "dino_mini"))
    return walk


def phrase_to_record(folder: Path) -> Walk:
    """Trace the queries of an image to their localisations before and after refinement."""
    config = _config("configs/demo/grounding_refine.yaml", OF_PHRASES, folder)
    trainer = GroundingRefineTrainer(config)
    batch = next(iter(trainer.build_test_loader(config, DATA)))
    with walked(GroundingRefiner.forward) as walk:
        assert trainer.network.eval()(batch)
    return walk


def predictions_to_metric(folder: Path) -> Walk:
    """Trace a file of pseudo-labels to CorLoc and AP."""
    output = folder / "labels.json"
    discover_dataset(DATA, output, DiscoverySettings("lost", "dino_mini"), num_workers=0)
    with walked(evaluate._evaluate) as walk:
        evaluate._evaluate(["--gt", DATA, "--pred", str(output), "--metrics", "corloc,ap"])
    return walk


def _config(file: str, changes: dict[str, Any], folder: Path) -> CfgNode:
    always = {
        "DATALOADER.NUM_WORKERS": 0,
        "INPUT.CACHE_GIB": 0.0,
        "MODEL.DEVICE": "cpu",
        "OUTPUT_DIR": folder,
        "SOLVER.IMS_PER_BATCH": 2,
    }
    pairs = [str(word) for pair in (always | changes).items() for word in pair]
    return load_config(file, pairs)


if __name__ == "__main__":
    for name, route in ROUTES.items():
        with tempfile.TemporaryDirectory() as empty:
            sys.stdout.write(f"{name}: {route(Path(empty))}\n")
