"""CLIP's relevance maps of several phrases per image, ViT-B/32 with random weights, on the CPU.

Ours reads each image once up to the last layer, computes only the row of CLS there, and reads all
texts in one batch. Both start with the phrases as text. The tokenizer that comes with random
weights has single bytes as tokens. Ours pads only to the longest phrase; with this tokenizer it
reads about three times as many tokens as with the official one.
"""

import copy

import torch
from published_grounding import relevance_map
from scene_images import stretched_scene
from timing import Pairs, Result
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.language import build_clip, relevance_maps

SIDE = 304
IMAGES, PAIRS = 4, 4
OBJECTS = ("dog", "bird", "woman", "boy", "red bus", "bicycle", "tree", "table")
KINDS = ("small", "dark", "nearest", "striped")  # one adjective per image
TARGET = 4.0
MAX_DIFFERENCE = 1e-4


def relevance() -> Result:
    """Measure four images with eight phrases each; no phrase occurs twice."""
    clip = build_clip("clip_vitb32", "random:0")
    model = copy.deepcopy(clip.model).requires_grad_()
    model.set_attn_implementation("eager")
    queries = [(i, f"image of the {KINDS[i]} {name}") for i in range(IMAGES) for name in OBJECTS]
    numbers, phrases = [i for i, _ in queries], [phrase for _, phrase in queries]

    def ours(images: Tensor) -> Tensor:
        return relevance_maps(clip, images, clip.encode_text(phrases), numbers)

    def published(images: Tensor) -> Tensor:
        return torch.stack([relevance_map(model, clip.tokenizer, images[i], p) for i, p in queries])

    images = _images(0)
    ours(images), relevance_map(model, clip.tokenizer, images[0], phrases[0])  # warm up
    pairs, worst, contrast = Pairs(), 0.0, []
    for number in tqdm(range(PAIRS), desc="pairs", leave=False):
        images = _images(number)
        maps = pairs.add(
            lambda images=images: published(images),
            lambda images=images: ours(images),
            len(queries),
        )
        worst = max(worst, _largest_difference(*maps))
        contrast.append(_largest_difference(maps[0][0], maps[0][1]))
    result = Result(pairs, "phrase", TARGET)
    result.notes.append(
        f"maps in [0, 1]: the largest difference of {PAIRS * len(queries)} is {worst:.1e}; "
        f"two phrases of one image differ by {min(contrast):.1e} or more"
    )
    if not worst <= MAX_DIFFERENCE:
        result.failed.append(f"a map differs by more than {MAX_DIFFERENCE}")
    return result


def _images(number: int) -> Tensor:
    """Return a batch of scenes, (B, 3, S, S) RGB in [-1, 1]."""
    scenes = [stretched_scene(number * IMAGES + i, (SIDE, SIDE))[0] for i in range(IMAGES)]
    return torch.stack(scenes) / 127.5 - 1


def _largest_difference(some: Tensor, others: Tensor) -> float:
    return (some - others).abs().max().item()
