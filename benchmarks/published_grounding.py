"""Baselines of phrase grounding: CLIP's relevance map, and g's heatmap, point and boxes.

They are written from the methods' description: generic attention-model explainability
(arXiv:2103.15679), "What is Where by Looking" (NeurIPS 2022), and the box-refinement paper (ICCV
2023) with the switches of its release. They read one phrase of one image at a time. They keep
nothing: each phrase encodes its text, padded to the whole context, and the whole image again.
OpenCV and matplotlib draw boxes and points. The baselines share only the weights with the package,
and the package's tests use them as the oracle.

Shapes: S x S pixels of the input, H x W of the original image, C dimensions of CLIP's space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms
from transformers import BatchEncoding, CLIPModel, CLIPTokenizer

from boxrefine_d2.networks.text_heatmap import TextHeatmap

BRIGHT = 0.5  # a bright pixel exceeds this share of the brightest grey level
MIN_AREA = 0.05  # a box covers more than this share of the map
MAX_OVERLAP = 0.05  # largest IoU of two boxes that are kept
MIN_SCORE = 0.5  # a kept box exceeds this share of the best score
NOTHING = [[0, 0, 1, 1, 0.0]] * 2  # the release's boxes of a heatmap without boxes


@dataclass(frozen=True)
class Answer:
    """Heatmap, point and boxes of one entity.

    Attributes:
        heatmap: (S, S), the mean over the phrasings.
        size: (H, W) of the original image.
        point: (x, y) of the brightest pixel, in pixels of the original image.
        boxes: (N, 4) XYXY in pixels of the original image, best first, N >= 1.
    """

    heatmap: np.ndarray
    size: tuple[int, int]
    point: tuple[int, int]
    boxes: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """The smallest box around all boxes, (4,) XYXY."""
        return np.concatenate([self.boxes[:, :2].min(axis=0), self.boxes[:, 2:].max(axis=0)])


def relevance_map(model: CLIPModel, tokenizer: CLIPTokenizer, image: Tensor, phrase: str) -> Tensor:
    """Return a phrase's relevance map, (side, side) in [0, 1].

    The map is the last layer's attention times the gradient of the logit by this attention.

    Args:
        model: CLIP with eager attention, because the library returns no attention otherwise, and
            with parameters that require gradients, because there is no gradient otherwise.
        image: (3, S, S) RGB in [-1, 1].
    """
    side = model.config.vision_config.image_size
    pixels = F.interpolate(image[None], size=(side, side), mode="bilinear", align_corners=True)
    tokens = _tokens(model, tokenizer, phrase)
    output = model(**tokens, pixel_values=pixels, output_attentions=True)
    attention = output.vision_model_output.attentions[-1]
    (gradient,) = torch.autograd.grad(output.logits_per_image.sum(), attention)
    weights = (gradient * attention).relu().mean(dim=1).detach()
    cells = side // model.config.vision_config.patch_size
    grid = weights[:, :1, 1:].unflatten(2, (cells, cells))  # the row of CLS, without CLS
    stretched = F.interpolate(grid, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
    return (stretched - stretched.min()) / (stretched.max() - stretched.min())


def _tokens(model: CLIPModel, tokenizer: CLIPTokenizer, phrase: str) -> BatchEncoding:
    context = model.config.text_config.max_position_embeddings
    return tokenizer(phrase, padding="max_length", max_length=context, return_tensors="pt")


def text_embedding(model: CLIPModel, tokenizer: CLIPTokenizer, phrase: str) -> Tensor:
    """Return a phrase's embedding, (1, C) of length 1."""
    pooled = model.text_model(**_tokens(model, tokenizer, phrase)).pooler_output
    return F.normalize(model.text_projection(pooled), dim=1)


def draw_heatmap(network: TextHeatmap, image: Tensor, text: Tensor) -> np.ndarray:
    """Run all of g and return its heatmap, (S, S) in (0, 1).

    Args: image: (3, S, S) RGB in [-1, 1].  text: (1, C).
    """
    features = _two_convolutions(network.bottleneck, network.encoder(image[None]))
    lengths = features.norm(dim=1, keepdim=True).clamp(min=1e-12)
    cosines = torch.einsum("bchw,bc->bhw", features / lengths, text)[:, None]
    features = _two_convolutions(network.up0, _twice_the_size(features * cosines))
    last = network.up1
    logits = last.conv2(last.norm1(last.conv1(_twice_the_size(features))).relu())
    logits = F.interpolate(logits, size=image.shape[1:], mode="bilinear", align_corners=True)
    return logits.sigmoid()[0, 0].numpy()


def _two_convolutions(block: nn.Module, x: Tensor) -> Tensor:
    x = block.norm1(block.conv1(x)).relu()
    return block.norm2(block.conv2(x)).relu()


def _twice_the_size(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def grey_levels(heatmap: np.ndarray) -> np.ndarray:
    """Return the grey levels of a heatmap, (S, S) uint8; a constant heatmap is black.

    The heatmap is stretched to [0, 1] and coloured; the colours are converted to grey.
    """
    with np.errstate(invalid="ignore"):
        stretched = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    colours = (matplotlib.colormaps["cubehelix"](stretched)[..., :3] * 255).astype(np.uint8)
    return cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)


def boxes_of(heatmap: np.ndarray) -> np.ndarray:
    """Return the boxes of a heatmap (S, S), best first.

    Returns: (N, 5) XYXY in pixels of the heatmap, and a score; N >= 1.
    """
    grey = grey_levels(heatmap)
    _, bright = cv2.threshold(grey, int(BRIGHT * grey.max()), 255, cv2.THRESH_TOZERO)
    contours, _ = cv2.findContours(bright, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    corners_and_sides = [cv2.boundingRect(contour) for contour in contours]
    large = [box for box in corners_and_sides if box[2] * box[3] > MIN_AREA * heatmap.size]
    if not large:
        return np.array(NOTHING)
    scores = [bright[y : y + h, x : x + w].mean() / 255 for x, y, w, h in large]
    # The release passes XYWH boxes to an NMS that expects XYXY.
    kept = nms(torch.tensor(large).float(), torch.tensor(scores).float(), MAX_OVERLAP)
    return np.array(
        [
            (x, y, x + w, y + h, scores[index])
            for index in kept.tolist()
            for x, y, w, h in [large[index]]
            if scores[index] > MIN_SCORE * max(scores)
        ]
    )


def resized(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a heatmap (S, S) resized to (H, W)."""
    height, width = size
    return cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)


def brightest_pixel(heatmap: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """Return (x, y) of the first maximum of a heatmap (S, S) resized to (H, W)."""
    y, x = divmod(int(resized(heatmap, size).argmax()), size[1])
    return x, y


def answer(
    network: TextHeatmap,
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    image: Tensor,
    phrasings: Sequence[str],
    size: tuple[int, int],
) -> Answer:
    """Return the answer for one entity of one image, from all its phrasings.

    Args: image: (3, S, S) RGB in [-1, 1].  size: (H, W) of the original image.
    """
    drawn = [
        draw_heatmap(network, image, text_embedding(model, tokenizer, phrase))
        for phrase in phrasings
    ]
    heatmap = np.mean(drawn, axis=0)
    scale = np.array([size[1] / heatmap.shape[1], size[0] / heatmap.shape[0]] * 2)
    boxes = boxes_of(heatmap)[:, :4] * scale
    return Answer(heatmap, size, brightest_pixel(heatmap, size), boxes)
