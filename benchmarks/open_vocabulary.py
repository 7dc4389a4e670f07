"""Names for boxes, masks with names, and mean IoU, against one item after the other.

The networks have random weights: CLIP ViT-B/32 and a GroupViT of the official size.
"""

import numpy as np
import torch
from scene_images import stretched_scene
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.evaluation.semantic_segmentation import ConfusionCounts
from boxrefine_d2.language import build_clip
from boxrefine_d2.segmentation.class_names import SIMPLE, class_vectors
from boxrefine_d2.segmentation.crops import CropForm, crops_of
from boxrefine_d2.segmentation.group_weights import build_groupvit
from boxrefine_d2.segmentation.naming import crop_vectors
from boxrefine_d2.segmentation.sliding_window import WindowSettings, class_scores

CLASSES = ("dog", "bird", "woman", "boy", "red bus", "bicycle", "tree", "table")
BOXES, THRESHOLDS, MAPS, KINDS = 32, (0.3, 0.6, 0.9, 0.95), 25, 60
MAX_DIFFERENCE = 1e-4


def name_boxes() -> Result:
    """Measure the names of the boxes of an image.

    The published way reads one crop and the texts of all classes at a time, as the pipeline of
    `transformers` for zero-shot classification does.
    """
    clip = build_clip("clip_vitb32", "random:0")
    form = CropForm(clip.side, outside="keep")
    pairs, worst = Pairs(), 0.0
    for number in tqdm(range(4), desc="pairs", leave=False):
        image, boxes = _scene(number, 304), _boxes(number)
        published, ours = pairs.add(
            lambda image=image, boxes=boxes: torch.cat(
                [
                    crop_vectors(clip, crops_of(image, box, form)[None])
                    @ class_vectors(clip, CLASSES, SIMPLE).T
                    for box in boxes
                ]
            ),
            lambda image=image, boxes=boxes: (
                crop_vectors(clip, torch.stack([crops_of(image, box, form) for box in boxes]))
                @ class_vectors(clip, CLASSES, SIMPLE).T
            ),
            BOXES,
        )
        worst = max(worst, _largest(published, ours))
    return _checked(Result(pairs, "box", 2.5), worst)


def segment() -> Result:
    """Measure an image at four thresholds; the published way reads the image for each of them."""
    network = build_groupvit("groupvit_gcc_yfcc", "random:0")
    settings = WindowSettings()
    pairs, worst = Pairs(), 0.0
    for number in tqdm(range(3), desc="pairs", leave=False):
        image = _scene(number, 448)

        def scores(thresholds: tuple[float, ...], image: np.ndarray = image) -> Tensor:
            texts = class_vectors(network, CLASSES, SIMPLE)
            return class_scores(network, image, texts, thresholds, settings)

        published, ours = pairs.add(
            lambda: torch.cat([scores((threshold,)) for threshold in THRESHOLDS]),
            lambda: scores(THRESHOLDS),
            1,
        )
        worst = max(worst, _largest(published, ours))
    return _checked(Result(pairs, "image", 3.0), worst)


def miou() -> Result:
    """Measure the counts of maps; the published way makes two masks per class and map."""
    pairs, failed = Pairs(), []
    for number in tqdm(range(5), desc="pairs", leave=False):
        rng = np.random.default_rng(number)
        maps = rng.integers(0, KINDS, (MAPS, 2, 375, 500))
        published, ours = pairs.add(
            lambda maps=maps: _class_by_class(maps), lambda maps=maps: _pooled(maps), MAPS
        )
        if not np.allclose(published, ours, rtol=0, atol=1e-9):
            failed.append("the IoU of a class differs")
    return Result(pairs, "map", 5.0, failed=failed)


def _class_by_class(maps: np.ndarray) -> np.ndarray:
    common, union = np.zeros(KINDS), np.zeros(KINDS)
    for truth, predicted in maps:
        for kind in range(KINDS):
            one, other = truth == kind, predicted == kind
            common[kind] += (one & other).sum()
            union[kind] += (one | other).sum()
    return 100 * common / union


def _pooled(maps: np.ndarray) -> np.ndarray:
    counts = ConfusionCounts(KINDS)
    for truth, predicted in maps:
        counts.add(truth, predicted)
    return counts.iou()


def _scene(number: int, side: int) -> np.ndarray:
    image, _ = stretched_scene(number, (side, side))
    pixels: np.ndarray = image.permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    return pixels


def _boxes(seed: int) -> list[dict[str, list[float]]]:
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 150, (BOXES, 2)), rng.uniform(40, 150, (BOXES, 2))
    return [{"bbox": [*corner, *side]} for corner, side in zip(corners, sides, strict=True)]


def _largest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _checked(result: Result, worst: float) -> Result:
    result.notes.append(f"the largest difference is {worst:.1e}")
    if not worst <= MAX_DIFFERENCE:
        result.failed.append(f"a value differs by more than {MAX_DIFFERENCE}")
    return result
