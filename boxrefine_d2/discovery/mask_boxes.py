"""Pseudo-boxes from masks on the grid, and further objects for rules that publish only one."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import ndimage

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import FeatureMap, PseudoBoxes, cell_box_to_input, mask_to_box


def pseudo_boxes_of(
    masks: Sequence[Sequence[np.ndarray]], scores: Sequence[Sequence[float]], features: FeatureMap
) -> list[PseudoBoxes]:
    """Return the tight boxes of masks, in pixels of the input, clipped to the unpadded image.

    Args:
        masks: for each image a list of (h, w) bool arrays on the grid or a finer grid. Each mask
            has at least one cell. The list may be empty.
        scores: for each image one number per mask.
    Returns: one PseudoBoxes per image, on the device of the features.
    """
    h, w = features.grid_size
    padded = features.padded_size
    results = []
    for grids, values, size in zip(masks, scores, features.image_sizes, strict=True):
        stacked = torch.from_numpy(np.stack(grids)) if grids else torch.zeros(0, h, w) > 0
        sizes = torch.tensor([size]).expand(len(stacked), 2)
        strides = (padded[0] / stacked.shape[1], padded[1] / stacked.shape[2])
        boxes = cell_box_to_input(mask_to_box(stacked), strides, sizes)
        results.append(
            PseudoBoxes(boxes, torch.tensor(values), size, stacked).to(features.data.device)
        )
    return results


def check_max_objects(rule: str, max_objects: int) -> None:
    """Refuse fewer than one object. Raises: UserError that names the rule."""
    if max_objects < 1:
        raise UserError(f"{rule}: max_objects is {max_objects}, but at least 1 is needed")


def check_choices(rule: str, given: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> None:
    """Refuse a value that is unknown for its parameter. Raises: UserError that names the rule."""
    for name, value in given.items():
        check_choice(f"{rule}: {name}", value, known[name])


def further_objects(
    foreground: np.ndarray, first: np.ndarray, max_objects: int, min_area: float
) -> list[np.ndarray]:
    """Return `first` and the other 4-connected components of `foreground`, the largest first.

    Further components are ours, not published.

    Args:
        foreground: (h, w) bool.
        first: (h, w) bool, the first mask.
        max_objects: most masks.
        min_area: share of the grid that a further component must cover.
    """
    masks = [first]
    if max_objects == 1:
        return masks
    component_ids, count = ndimage.label(foreground & ~first)
    areas = ndimage.sum_labels(np.ones_like(component_ids), component_ids, range(1, count + 1))
    order = np.argsort(-np.asarray(areas), kind="stable")
    large = [i for i in order if areas[i] >= min_area * foreground.size]
    return masks + [component_ids == i + 1 for i in large[: max_objects - 1]]


def shared_score(score: float, masks: Sequence[np.ndarray]) -> list[float]:
    """Return the score of each mask: `score` for the first, less for others, by relative size."""
    first = int(masks[0].sum())
    return [score, *(score * int(m.sum()) / (first + int(m.sum())) for m in masks[1:])]
