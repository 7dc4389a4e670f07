"""Training of CAD: our loop, loader and mapper against Detectron2's DefaultTrainer.

Both train the network of configs/demo/cad.yaml in fp32 on the same JPEG files of rendered scenes.
The files have the sizes of VOC images; a quarter are upright. Both start from the same weights and
load in the step itself, without workers and without a cache. Neither evaluates nor writes. A pair
is one pass of each over the files: single steps differ by the images they draw, whole passes hardly
do. Ours must not be slower; the target leaves room for the noise of a few passes.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultTrainer, TrainerBase, hooks
from detectron2.utils.events import EventStorage
from PIL import Image
from scene_images import VOC_SIZES, stretched_scene
from timing import Pairs, Result
from tqdm import tqdm

from boxrefine_d2.data.dataset_spec import escape_path, load_spec
from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.training.setup import load_config

IMAGES, BATCH_SIZE = 16, 4
PAIRS = 6
TARGET = 0.95
MAX_LOSS_RATIO = 1.25  # ratio of the mean total losses
STOCK = "scenes_of_cad_train"
# No workers, no cache and no bfloat16 products: DefaultTrainer has none of them on CPUs.
OPTS = {
    "MODEL.WEIGHTS": "",
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "INPUT.MIN_SIZE_TRAIN": "(160,)",
    "SOLVER.IMS_PER_BATCH": BATCH_SIZE,
    "SOLVER.AMP.ENABLED": False,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.BASE_LR": 0.005,
    "SOLVER.REFERENCE_BATCH": BATCH_SIZE,
    "DATALOADER.NUM_WORKERS": 0,
    "INPUT.CACHE_GIB": 0.0,
    "DATASETS.TEST": "()",
}
_LEFT_OUT = (hooks.PeriodicCheckpointer, hooks.EvalHook, hooks.PeriodicWriter)


def cad_train() -> Result:
    """Measure steps of four images at 160 pixels: reading, forward, backward and update."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        spec = _write_data(Path(folder))
        ours = _Run(CADTrainer(_config(spec, folder, "ClassAgnosticRCNN")))
        DatasetCatalog.register(STOCK, lambda: load_spec(spec).records)
        MetadataCatalog.get(STOCK).set(thing_classes=["object"])
        published = _Run(DefaultTrainer(_config(STOCK, folder, "GeneralizedRCNN")))
        published.model.load_state_dict(ours.model.state_dict())
        pairs, losses = Pairs(), []
        ours.step(), published.step()  # warm up
        for _ in tqdm(range(PAIRS), desc="pairs", leave=False):
            losses.append(pairs.add(published.pass_over, ours.pass_over, IMAGES))
    result = Result(pairs, "image", TARGET)
    published_loss, our_loss = np.mean(losses, axis=0)
    result.notes.append(
        f"{PAIRS} passes over {IMAGES} images; mean total loss {our_loss:.2f}, "
        f"Detectron2's {published_loss:.2f}"
    )
    if not 1 / MAX_LOSS_RATIO <= our_loss / published_loss <= MAX_LOSS_RATIO:
        result.failed.append(f"the losses differ by more than a factor of {MAX_LOSS_RATIO}")
    return result


class _Run:
    """A trainer run step by step, without the hooks that write files or evaluate."""

    def __init__(self, trainer: TrainerBase):
        self._trainer = trainer
        self.model = trainer._trainer.model
        trainer._hooks = [hook for hook in trainer._hooks if not isinstance(hook, _LEFT_OUT)]
        trainer.iter = trainer.start_iter = 0
        trainer.storage = EventStorage(0)
        with trainer.storage:
            trainer.before_train()

    def step(self) -> float:
        """Run one iteration and return its total loss."""
        trainer = self._trainer
        with trainer.storage:
            trainer.before_step()
            trainer.run_step()
            trainer.after_step()
            trainer.storage.step()
        trainer.iter += 1
        return trainer.storage.history("total_loss").latest()

    def pass_over(self) -> float:
        """Run the iterations of one pass over the images and return their mean loss."""
        return float(np.mean([self.step() for _ in range(IMAGES // BATCH_SIZE)]))


def _config(data: str, folder: str, architecture: str) -> CfgNode:
    opts = OPTS | {
        "DATASETS.TRAIN": f"('{data}',)",
        "OUTPUT_DIR": folder,
        "MODEL.META_ARCHITECTURE": architecture,
    }
    cfg = load_config("configs/demo/cad.yaml", [str(p) for pair in opts.items() for p in pair])
    cfg.freeze()
    return cfg


def _write_data(folder: Path) -> str:
    """Write images and labels, and return their dataset spec."""
    images, annotations = [], []
    for number in range(IMAGES):
        image, boxes = stretched_scene(number, VOC_SIZES[number % len(VOC_SIZES)])
        name, [height, width] = f"{number:02d}.jpg", image.shape[1:]
        pixels = image.permute(1, 2, 0).byte().numpy()
        Image.fromarray(pixels).save(folder / name, quality=95)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for x1, y1, x2, y2 in boxes.tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": box}
            )
    labels = folder / "labels.json"
    categories = [{"id": 1, "name": "object"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    labels.write_text(json.dumps(content))
    return f"coco:{escape_path(labels)}:{escape_path(folder)}"
