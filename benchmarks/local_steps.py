"""The steps behind a localisation map: ARM, SGRM and the statistics of representer points."""

from collections.abc import Iterator

import numpy as np
import published_local_steps as published
import torch
from scene_images import stretched_scene
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.affinity_refinement import refine_by_affinity
from boxrefine_d2.discovery.reprediction import Repredictor
from boxrefine_d2.discovery.reprediction_network import NetworkPerImage
from boxrefine_d2.discovery.superpixels import felzenszwalb_superpixels
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.structures import FeatureMap

ARM_SIDE, ARM_IMAGES, ARM_STEPS = 224, 4, 50
SGRM_SIDE, SGRM_IMAGES, SGRM_STEPS = 112, 4, 10
DATA_SET, PASSES = 24, 3
TARGETS = {"arm": 2.0, "sgrm": 1.5, "representer": 1.8}
MAX_MAP_DIFFERENCE = 1e-4
MIN_SAME_PIXELS = 99.0  # percent
MAX_PREDICTOR_DIFFERENCE = 1e-9  # share of the predictor's length


@torch.inference_mode()
def arm() -> Result:
    """Measure 50 steps with 48 neighbours on images of 224 x 224 pixels."""
    pairs, worst = Pairs(), 0.0
    for index in tqdm(range(ARM_IMAGES), desc="images", leave=False):
        image, bump = _scene(index, ARM_SIDE)
        maps = pairs.add(
            lambda image=image, bump=bump: published.affinity_refinement(bump, image, ARM_STEPS),
            lambda image=image, bump=bump: refine_by_affinity(bump, image, steps=ARM_STEPS),
            1,
        )
        worst = max(worst, (maps[0] - maps[1]).abs().max().item())
    result = Result(pairs, "image", TARGETS["arm"])
    result.notes.append(f"maps in [0, 1]: the largest difference is {worst:.1e}")
    if not worst <= MAX_MAP_DIFFERENCE:
        result.failed.append(f"a map differs by more than {MAX_MAP_DIFFERENCE}")
    return result


def sgrm() -> Result:
    """Measure 10 steps of four networks, on images of 112 x 112 pixels.

    The baseline trains one image after another, with all threads. Ours trains one image a thread.
    """
    scenes = [_scene(index, SGRM_SIDE) for index in range(SGRM_IMAGES)]
    images, maps = (torch.cat(parts) for parts in zip(*scenes))
    superpixels = np.stack([_superpixels(image) for image in images])
    ours = Repredictor(steps=SGRM_STEPS)
    seeds = [ours.seed_of(image) for image in images]
    first = NetworkPerImage(seeds, lr=ours.lr, momentum=ours.momentum, device="cpu").parameters

    def one_by_one() -> Tensor:
        masks = []
        for i in range(SGRM_IMAGES):
            net = published.network()
            for own, start in zip(net.parameters(), first, strict=True):
                own.data.copy_(start.detach().unflatten(0, (SGRM_IMAGES, -1))[i])
            masks.append(
                published.reprediction(net, maps[i], images[i], superpixels[i], SGRM_STEPS)
            )
        return torch.stack(masks)

    def batch() -> Tensor:
        return ours(maps, images, torch.from_numpy(superpixels)).masks

    batch()  # warm up
    pairs, same = Pairs(), 100.0
    for _ in tqdm(range(4), desc="pairs", leave=False):
        masks = pairs.add(one_by_one, batch, SGRM_IMAGES)
        same = min(same, 100 * (masks[0] == masks[1]).float().mean().item())
    result = Result(pairs, "image", TARGETS["sgrm"] if torch.get_num_threads() > 1 else None)
    if torch.get_num_threads() == 1:
        result.notes.append("one thread: images cannot be trained in parallel, no target applies")
    result.notes.append(f"{same:.2f} % of the pixels have the same label (at least 99 %)")
    if same < MIN_SAME_PIXELS:
        result.failed.append(f"fewer than {MIN_SAME_PIXELS} % of the pixels have the same label")
    return result


@torch.inference_mode()
def representer() -> Result:
    """Measure the statistics of a data set, with the network that makes its maps."""
    net = build_backbone("dino_mini")
    batches = [
        normalise_and_pad([stretched_scene(i + k, (224, 224))[0] for k in range(4)], 16)
        for i in range(0, DATA_SET, 4)
    ]

    def maps() -> Iterator[FeatureMap]:
        return (net(batch) for batch in batches)

    def two_passes() -> Tensor:
        return published.predictor(lambda: (features.data for features in maps()))

    def one_pass() -> Tensor:
        rule = build_rule("representer")
        for features in maps():
            rule.observe(features)
        return rule.predictor

    one_pass()  # warm up
    pairs, worst = Pairs(), 0.0
    for _ in tqdm(range(PASSES), desc="pairs", leave=False):
        first, second = pairs.add(two_passes, one_pass, DATA_SET)
        worst = max(worst, ((first - second).norm() / first.norm()).item())
    result = Result(pairs, "image", TARGETS["representer"])
    result.notes.append(f"predictors differ by {worst:.1e} of their length")
    if not worst <= MAX_PREDICTOR_DIFFERENCE:
        result.failed.append(f"predictors differ by more than {MAX_PREDICTOR_DIFFERENCE}")
    return result


def _scene(index: int, side: int) -> tuple[Tensor, Tensor]:
    """Return a scene (1, 3, S, S) in [0, 1], and a bump in its middle as a map (1, S, S)."""
    image, _ = stretched_scene(index, (side, side))
    grid = torch.linspace(-1, 1, side)
    bump = torch.exp(-4 * (grid[:, None] ** 2 + grid[None] ** 2))
    return image[None].float() / 255, bump[None]


def _superpixels(image: Tensor) -> np.ndarray:
    levels = (255 * image).round().byte().permute(1, 2, 0).numpy()
    return felzenszwalb_superpixels(levels, scale=32, sigma=0.5, min_size=64)
