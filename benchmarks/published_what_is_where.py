"""The baseline of what is where by looking (NeurIPS 2022), written from its description: selective search and a grid, a caption
for each region by itself, groups of captions by their likeness, and g for the middle one of each.

The captioner is that of the package's small networks, CLIP's nearest phrase of a list.

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

MIN_AREA = 0.1  # share of the picture
GRID = (1 / 2, 1 / 3, 1 / 4)
ALIKE, LEAST = 0.85, 2


def look(
    model: HeatmapModel, phrases: Sequence[str], listed: Tensor, image: Tensor
) -> list[tuple[str, int]]:
    """Captions and how many regions say so; each caption's boxes are drawn, too.

    Args: phrases, listed: what may be said, and its embeddings (N, C).  image: (3, S, S) uint8 RGB.
    """
    clip = model.clip
    captions, vectors = [], []
    for x, y, width, height in regions(image):
        crop = image[None, :, y : y + height, x : x + width].float() / 127.5 - 1
        vector = image_embedding(clip, crop)
        captions.append(phrases[int((listed @ vector).argmax())])
        vectors.append(text_embedding(clip.model, clip.tokenizer, captions[-1])[0])
    found = []
    for group in groups(torch.stack(vectors)):
        middle = F.normalize(torch.stack([vectors[i] for i in group]).mean(dim=0), dim=0)
        caption = captions[group[int(torch.tensor([vectors[i] @ middle for i in group]).argmax())]]
        text = text_embedding(clip.model, clip.tokenizer, caption)
        boxes_of(draw_heatmap(model.map_network, image.float() / 127.5 - 1, text))
        found.append((caption, len(group)))
    return found


def image_embedding(clip: Clip, crop: Tensor) -> Tensor:
    """(C,) of length 1, of (1, 3, H, W) in [-1, 1], by the library's own forward pass."""
    pooled = clip.model.vision_model(pixel_values=clip.resized(crop)).pooler_output
    return F.normalize(clip.model.visual_projection(pooled), dim=1)[0]


def regions(image: Tensor) -> list[tuple[int, int, int, int]]:
    """(x, y, width, height), each once."""
    picture = image.permute(1, 2, 0).numpy()
    side = picture.shape[0]
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    search.switchToSelectiveSearchFast()
    found = {tuple(box) for box in np.asarray(search.process()).tolist()}
    for share in GRID:
        step = int(side * share) + 1
        found |= {(x, y, step, step) for y in range(0, side, step) for x in range(0, side, step)}
    return [box for box in sorted(found) if box[2] * box[3] > MIN_AREA * side * side]


def groups(vectors: Tensor) -> list[list[int]]:
    """Community detection, whole groups only."""
    proposed = [row.nonzero()[:, 0].tolist() for row in vectors @ vectors.T >= ALIKE]
    proposed = [members for members in proposed if len(members) >= LEAST]
    accepted: list[list[int]] = []
    for members in sorted(proposed, key=len, reverse=True):
        if not {i for group in accepted for i in group} & set(members):
            accepted.append(members)
    return accepted
