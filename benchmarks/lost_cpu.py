"""Features and LOST at the full resolution of VOC, ViT-S/16 with random weights."""

import torch
from machine import bf16_instructions
from scene_images import Batch, voc_batches
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.features import build_backbone
from boxrefine_d2.pseudo_labels import DiscoverySettings

BACKBONE, WEIGHTS = "dino_vits16", "random:0"
IMAGES = 32
IMAGES_WITHOUT_INSTRUCTIONS = 8  # bf16 in software takes seconds an image
TARGETS = {torch.float32: 1.1, torch.bfloat16: 2.5}
MIN_BF16_IOU = 0.95
MAX_CORLOC_CHANGE = 1.0


def fp32() -> Result:
    """Ours in float32; the boxes must be those of the baseline."""
    return _run(torch.float32, IMAGES, TARGETS[torch.float32])


def bf16() -> Result:
    """Ours in bfloat16 against the baseline in float32."""
    if bf16_instructions():
        return _run(torch.bfloat16, IMAGES, TARGETS[torch.bfloat16])
    result = _run(torch.bfloat16, IMAGES_WITHOUT_INSTRUCTIONS, None)
    result.notes.append("this CPU has no bf16 instructions: the target does not apply here")
    return result


@torch.inference_mode()
def _run(dtype: torch.dtype, images: int, target: float | None) -> Result:
    settings = DiscoverySettings("lost", BACKBONE, WEIGHTS)
    batches = voc_batches(images, settings.batch_size, multiple=16)
    baseline = build_backbone(BACKBONE, WEIGHTS)
    backbone = build_backbone(BACKBONE, WEIGHTS).to(dtype)
    rule = build_rule("lost")

    def published(batch: Batch) -> list[Tensor]:
        return [box for i in range(len(batch.inputs)) for box in [_one(baseline, batch, i)]]

    def ours(batch: Batch) -> list[Tensor]:
        found = rule(backbone(batch.inputs, "key", batch.sizes))
        return [boxes.boxes[0] for boxes in found]

    pairs = Pairs()
    expected, found = [], []
    ours(batches[0]), published(batches[0])  # warm up
    for batch in tqdm(batches, desc="pairs", leave=False):
        theirs, our_boxes = pairs.add(
            lambda: published(batch),  # noqa: B023 - called at once
            lambda: ours(batch),  # noqa: B023
            len(batch.inputs),
        )
        expected += theirs
        found += our_boxes
    result = Result(pairs, "image", target)
    ...
    return result
