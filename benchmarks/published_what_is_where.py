"""Baseline of "What is Where by Looking" (NeurIPS 2022), written from its description.

Selective search and a grid propose regions. Each region is captioned alone. Similar captions form
groups, and g draws a heatmap for the middle caption of each group. The captioner is the one of the
package's small networks: the nearest phrase of a list by CLIP.

Shapes: S x S pixels, C dimensions of CLIP's space.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from published_grounding import boxes_of, draw_heatmap, text_embedding
from torch import Tensor

from boxrefine_d2.grounding.heatmap_model import HeatmapModel
from boxrefine_d2.language import Clip

MIN_AREA = 0.1  # a region covers more than this share of the image
GRID = (1 / 2, 1 / 3, 1 / 4)  # sides of the grid's cells, shares of the image's side
ALIKE, LEAST = 0.85, 2  # smallest cosine of two similar captions; smallest size of a group


def describe_image(
    model: HeatmapModel, phrases: Sequence[str], embeddings: Tensor, image: Tensor
) -> list[tuple[str, int]]:
    """Return the captions of an image and the number of regions of each; draw each caption's boxes.

    Args:
        model: CLIP and g.
        phrases: the possible captions.
        embeddings: of these phrases, (N, C).
        image: (3, S, S) uint8 RGB.
    """
    clip = model.clip
    captions, vectors = [], []
    for x, y, width, height in regions(image):
        crop = image[None, :, y : y + height, x : x + width].float() / 127.5 - 1
        vector = image_embedding(clip, crop)
        captions.append(phrases[int((embeddings @ vector).argmax())])
        vectors.append(text_embedding(clip.model, clip.tokenizer, captions[-1])[0])
    described = []
    for group in groups(torch.stack(vectors)):
        middle = F.normalize(torch.stack([vectors[i] for i in group]).mean(dim=0), dim=0)
        caption = captions[group[int(torch.tensor([vectors[i] @ middle for i in group]).argmax())]]
        text = text_embedding(clip.model, clip.tokenizer, caption)
        boxes_of(draw_heatmap(model.map_network, image.float() / 127.5 - 1, text))
        described.append((caption, len(group)))
    return described


def image_embedding(clip: Clip, crop: Tensor) -> Tensor:
    """Return the embedding of a crop (1, 3, H, W) in [-1, 1], by the library's own forward pass.

    Returns: (C,) of length 1.
    """
    pooled = clip.model.vision_model(pixel_values=clip.resized(crop)).pooler_output
    return F.normalize(clip.model.visual_projection(pooled), dim=1)[0]


def regions(image: Tensor) -> list[tuple[int, int, int, int]]:
    """Return the regions (x, y, width, height) in pixels, without duplicates."""
    pixels = image.permute(1, 2, 0).numpy()
    side = pixels.shape[0]
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    search.switchToSelectiveSearchFast()
    proposals = {tuple(box) for box in np.asarray(search.process()).tolist()}
    for share in GRID:
        step = int(side * share) + 1
        corners = range(0, side, step)
        proposals |= {(x, y, step, step) for y in corners for x in corners}
    return [box for box in sorted(proposals) if box[2] * box[3] > MIN_AREA * side * side]


def groups(vectors: Tensor) -> list[list[int]]:
    """Return groups of similar vectors by community detection.

    A group that shares a member with a larger one is dropped as a whole.
    """
    proposed = [row.nonzero()[:, 0].tolist() for row in vectors @ vectors.T >= ALIKE]
    proposed = [members for members in proposed if len(members) >= LEAST]
    accepted: list[list[int]] = []
    for members in sorted(proposed, key=len, reverse=True):
        if not {i for group in accepted for i in group} & set(members):
            accepted.append(members)
    return accepted
