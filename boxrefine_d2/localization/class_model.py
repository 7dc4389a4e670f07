"""Base of the models that learn from class labels.

Shapes: B images, K classes, S x S pixels of the input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.trunks import TokenTrunk
from boxrefine_d2.training.product_model import ProductModel

RANKED = 5  # labels that a result names


@dataclass(frozen=True)
class ClassAnswer:
    """Answer of a model to one image.

    Attributes:
        heatmaps: producer -> map (S, S) in [0, 1], on the CPU.
        labels: the classes with the highest scores, best first; None if the model has no classes.
        score: probability of the first label; 1 without labels.
    """

    heatmaps: dict[str, Tensor]
    labels: list[int] | None = None
    score: float = 1.0


class ClassModel(ProductModel):
    """Base of the models: inputs, and answers to test images.

    Attributes:
        producers: names of the maps that the model can draw.
        autocast: True to compute products in bfloat16; losses are in float32.
    """

    producers: tuple[str, ...]
    autocast: bool

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def images_of(self, batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
        """Return the inputs normalised, (B, 3, S, S)."""
        return normalise_and_pad([x["image"] for x in batched_inputs], 1, device=self.device)

    def labels_of(self, batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
        """Return the classes of training images, (B,) int64."""
        return torch.tensor([x["image_label"] for x in batched_inputs], device=self.device)

    def mixed(self) -> torch.autocast:
        """Return the context in which products may be in bfloat16."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, and answers in eval (Detectron2's contract).

        Args: batched_inputs: results of `ClassMapper` in training, of `ClassTestMapper` in eval.
        Returns: in training {name: loss}; in eval {"answer": ClassAnswer} per image.
        """
        if self.training:
            return self.losses(batched_inputs)
        with torch.no_grad():
            return [{"answer": answer} for answer in self.answers(batched_inputs)]

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the weighted losses of a training batch."""
        raise NotImplementedError

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Return the answer to each test image, with the maps that sources name."""
        raise NotImplementedError


def check_side(key: str, side: int, network: str, cell: int) -> None:
    """Refuse a side of inputs that a network cannot divide into its cells.

    Args: key: key of the configuration that sets the side.  side, cell: pixels.
    Raises: UserError.
    """
    if side % cell:
        raise UserError(
            f"{key} {side} is no multiple of the cells of {network}, {cell} pixels; set it to one, "
            f"such as {-(-side // cell) * cell}"
        )


def check_crop(cfg: CfgNode, classifier: ImageClassifier) -> None:
    """Refuse inputs that a transformer of a classifier cannot divide into its patches.

    A convolutional trunk reads inputs of any size.

    Raises: UserError.
    """
    if isinstance(classifier.trunk, TokenTrunk):
        crop, name = cfg.INPUT.CLASSIFIED.CROP, classifier.trunk_name
        check_side("INPUT.CLASSIFIED.CROP", crop, name, classifier.stride)


def ranked(outputs: Tensor) -> list[tuple[list[int], float]]:
    """Return the best labels and the probability of the first one, for logits (B, K)."""
    best = outputs.float().softmax(dim=1).topk(min(RANKED, outputs.shape[1]), dim=1)
    return [
        (labels, values[0])
        for labels, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def drawn_classes(
    batched_inputs: Sequence[dict[str, Any]], outputs: Tensor, *, known: bool
) -> Tensor:
    """Return the class to draw of each image, (B,) int64: its own if it is known, or the predicted.

    Args:
        outputs: (B, K) logits.
        known: False to draw the predicted class of every image.
    """
    predicted = outputs.argmax(dim=1)
    own = [x.get("image_label") if known else None for x in batched_inputs]
    chosen = [p if o is None else o for o, p in zip(own, predicted.tolist(), strict=True)]
    return torch.tensor(chosen, device=outputs.device)
