"""One training step by regions against the published step through h, on the CPU.

Both refine a ViT-S/16 with random weights and hold it near its frozen copy. The published step
needs three forward passes and h, ours two passes. The two learn from different losses; ours is
checked against the same loss computed pair by pair.
"""

import copy

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from published import keys_of, pair_loss, refine_losses, run_transformer
from refine_step import BATCH_SIZE, STEPS, difference, images_of, judged, update
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.masks.cell_shares import cell_shares, grid_edges
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.refinement import BoxRefiner, MapDetector
from boxrefine_d2.refinement.cell_regions import CellRegions
from boxrefine_d2.refinement.refine_trainer import RefineTrainer

TARGET = 1.3


def region_step() -> Result:
    """Measure forward, backward and update; the inputs do not recur."""
    cfg = _config()
    torch.manual_seed(0)
    refiner = BoxRefiner(cfg).train()
    refiner.set_phase("refine")
    optimizer = RefineTrainer.build_optimizer(cfg, refiner)
    net = copy.deepcopy(refiner.map_network)
    detector = MapDetector(cfg).eval().requires_grad_(False)
    baseline_optimizer = torch.optim.Adam(net.parameters(), lr=cfg.SOLVER.MAP_NETWORK_LR)

    def ours(step: int, images: list[Tensor]) -> dict[str, Tensor]:
        masks = _masks(step, cfg)
        boxes = torch.zeros(0, 4)  # the loss reads masks only
        inputs = [
            {"image": image, "target_masks": mask, "target_boxes": boxes}
            for image, mask in zip(images, masks, strict=True)
        ]
        return update(optimizer, refiner(inputs))

    def published(images: list[Tensor]) -> dict[str, Tensor]:
        inputs = normalise_and_pad(images, net.stride)
        losses = refine_losses(net, refiner.reference_network, detector, inputs)
        return update(baseline_optimizer, losses)

    pairs, worst = Pairs(), 0.0
    with EventStorage():
        ours(0, images_of(0, cfg)), published(images_of(0, cfg))  # warm up: Adam's memory
        for step in tqdm(range(1, STEPS + 1), desc="steps", leave=False):
            net.load_state_dict(refiner.map_network.state_dict())
            images = images_of(step, cfg)
            expected = _expected(net, images, _masks(step, cfg), cfg)
            held, losses = pairs.add(
                lambda images=images: published(images),
                lambda step=step, images=images: ours(step, images),
                1,
            )
            expected["loss_preservation"] = held["loss_preservation"]
            worst = max(worst, *(difference(expected[name], losses[name]) for name in losses))
    return judged(pairs, worst, TARGET)


def _config() -> CfgNode:
    cfg = boxrefine_cfg()
    cfg.MODEL.MAP_NETWORK.WEIGHTS = "random:0"
    cfg.MODEL.MAP_DETECTOR.WEIGHTS = "random"
    cfg.REFINE.LOSS, cfg.REFINE.TARGETS, cfg.REFINE.WARMUP_ITERS = "region", "annotations", 0
    return cfg


def _expected(
    net: torch.nn.Module, images: list[Tensor], masks: list[Tensor], cfg: CfgNode
) -> dict[str, Tensor]:
    """Return the region loss of the plain forward pass and the plain formula."""
    node = cfg.REFINE.REGION
    with torch.no_grad():
        keys = keys_of(run_transformer(net, normalise_and_pad(images, net.stride))[0])
    side = cfg.INPUT.SQUARE_SIZE // net.stride
    cells = CellRegions(node.BORDER, True, node.REGIONS_APART)
    regions = torch.stack([cells.of_image(mask, (side, side)) for mask in masks])
    loss = pair_loss(keys, regions, node.SCALE, node.BACKGROUND_WEIGHT)
    centred = keys - keys.mean(dim=1, keepdim=True)
    return {
        "loss_region": loss
        + node.CENTRED_WEIGHT * pair_loss(centred, regions, node.SCALE, node.BACKGROUND_WEIGHT)
    }


def _masks(step: int, cfg: CfgNode) -> list[Tensor]:
    """Return the shares of the cells of ViT-S/16 that the masks of a batch fill."""
    side = cfg.INPUT.SQUARE_SIZE // 16
    shares = []
    for index in range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE):
        masks: np.ndarray = render_scene("val", index).masks
        edges = (grid_edges(0, pixels, side) for pixels in masks.shape[1:])
        shares.append(torch.from_numpy(cell_shares(masks, *edges)))
    return shares
