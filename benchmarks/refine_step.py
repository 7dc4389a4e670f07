"""One training step of phase "refine" in the paper profile, on the CPU.

ViT-S/16 and ResNet-50 have random weights.
"""

import copy
from typing import Any

import torch
from detectron2.utils.events import EventStorage
from published import refine_losses
from scene_images import stretched_scene
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.refinement import BoxRefiner
from boxrefine_d2.refinement.refine_trainer import RefineTrainer

BATCH_SIZE = 4
STEPS = 8
TARGET = 1.5
MAX_LOSS_DIFFERENCE = 1e-4  # relative


def refine_step() -> Result:
    """Measure forward, backward and update.

    Inputs do not recur, as with random crops; the frozen copy therefore runs at each step.
    """
    cfg = boxrefine_cfg()
    cfg.MODEL.MAP_NETWORK.WEIGHTS = "random:0"
    cfg.MODEL.MAP_DETECTOR.WEIGHTS = "random"
    torch.manual_seed(0)
    refiner = BoxRefiner(cfg).train()
    refiner.set_phase("refine")
    optimizer = RefineTrainer.build_optimizer(cfg, refiner)
    net = copy.deepcopy(refiner.map_network)
    baseline_optimizer = torch.optim.Adam(
        net.parameters(), lr=cfg.SOLVER.MAP_NETWORK_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
    )

    def ours(images: list[Tensor]) -> dict[str, Tensor]:
        return update(optimizer, refiner([{"image": image} for image in images]))

    def published(images: list[Tensor]) -> dict[str, Tensor]:
        inputs = normalise_and_pad(images, net.stride)
        losses = refine_losses(net, refiner.reference_network, refiner.map_detector, inputs)
        return update(baseline_optimizer, losses)

    pairs, worst = Pairs(), 0.0
    with EventStorage():
        ours(images_of(0, cfg)), published(images_of(0, cfg))  # warm up: Adam allocates its memory
        for step in tqdm(range(STEPS), desc="steps", leave=False):
            net.load_state_dict(refiner.map_network.state_dict())
            images = images_of(step + 1, cfg)
            expected, losses = pairs.add(
                lambda images=images: published(images), lambda images=images: ours(images), 1
            )
            worst = max(worst, *(difference(expected[name], losses[name]) for name in expected))
    return judged(pairs, worst, TARGET)


def judged(pairs: Pairs, worst: float, target: float) -> Result:
    """Return the result of the steps. Args: worst: largest relative difference of a loss."""
    result = Result(pairs, f"step of {BATCH_SIZE} images", target)
    result.notes.append(f"losses: each of them equal to {worst:.1e} relative over {STEPS} steps")
    if not worst <= MAX_LOSS_DIFFERENCE:
        result.failed.append(f"a loss differs by more than {MAX_LOSS_DIFFERENCE} relative")
    return result


def update(optimizer: torch.optim.Optimizer, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run backward and the update; return the losses."""
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
    return {name: loss.detach() for name, loss in losses.items()}


def images_of(step: int, cfg: Any) -> list[Tensor]:
    """Return the images of a step, (3, S, S) each."""
    size = (cfg.INPUT.SQUARE_SIZE, cfg.INPUT.SQUARE_SIZE)
    return [stretched_scene(step * BATCH_SIZE + i, size)[0] for i in range(BATCH_SIZE)]


def difference(expected: Tensor, actual: Tensor) -> float:
    """Return the relative difference of two losses."""
    return ((actual - expected).abs() / expected.abs().clamp(min=1e-6)).item()
