"""SD-CAM: two heads on a frozen transformer, one that classifies and one that localises.

Source: LCAR (Coarse2Fine, AAAI 2023). Open in the paper and chosen here: the width of the MLP and
its activation.

Shapes: B images, N patches, D channels, K classes, H x W pixels.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .build import BACKBONES, build_backbone
from .build_network import build_untrained
from .checkpoint_file import read_metadata
from .image_classifier import Classes, pixel_maps
from .map_network import MapNetwork, Sizes, require_kind
from .vit import VisionTransformer
from .weights import WeightsInfo, file_sha256, load_into, module_sha256, read_state_dict


@dataclass(frozen=True)
class HeadsForm:
    """Form of the heads.

    Attributes:
        transformer: name of the backbone.
        classes: names of the classes.
        mlp_block: whether an MLP precedes the teacher's linear layer; not on ILSVRC.
        with_cls: whether the teacher reads the CLS token beside the mean of the patches.
    """

    transformer: str
    classes: Classes
    mlp_block: bool = True
    with_cls: bool = True


class DistilledHeads(MapNetwork):
    """Frozen transformer, the teacher's head, and the student's head, whose weights give the CAM.

    The map is the activation of the class that the teacher predicts.

    Attributes:
        form: the form that was built.
        transformer: frozen transformer.
        teacher: from CLS and the mean of the patches, (B, 2 D), to logits.
        student: linear layer from the mean of the patches to logits.
    """

    facets = ("heatmap",)

    def __init__(self, transformer: VisionTransformer, form: HeadsForm):
        super().__init__()
        dim, outputs = transformer.cls_token.shape[-1], len(form.classes)
        self.form = form
        self.stride = transformer.stride
        self.transformer = transformer.requires_grad_(False).eval()
        width = dim * (2 if form.with_cls else 1)
        block = [nn.Linear(width, width), nn.GELU()] if form.mlp_block else []
        self.teacher = nn.Sequential(*block, nn.Linear(width, outputs))
        self.student = nn.Linear(dim, outputs)

    def requires_grad_(self, requires_grad: bool = True) -> "DistilledHeads":
        """Switch the gradients of the heads on or off."""
        super().requires_grad_(requires_grad)
        self.transformer.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> "DistilledHeads":
        """Set the mode of the heads."""
        super().train(mode)
        self.transformer.eval()
        return self

    @property
    def frozen_parts(self) -> tuple[nn.Module, ...]:
        """Transformer, which never learns."""
        return (self.transformer,)

    @property
    def first_learner(self) -> nn.Module:
        """Head of the student."""
        return self.student

    def file_facts(self) -> dict[str, str]:
        """Return the form of the heads, and the weights of the transformer."""
        weights = self.transformer.weights_info
        return {
            "transformer": self.form.transformer,
            "transformer_weights": weights.source,
            "transformer_sha256": weights.sha256,
            "classes": json.dumps(self.form.classes, ensure_ascii=False),
            "mlp_block": json.dumps(self.form.mlp_block),
            "with_cls": json.dumps(self.form.with_cls),
        }

    @torch.no_grad()
    def tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return CLS (B, D), and the patches on their grid (B, D, h, w), after the final norm.

        Args: images: (B, 3, H, W), normalised; H and W are multiples of the patch.
        """
        tokens = self.transformer.forward_tokens(images)
        grid = [side // self.transformer.stride for side in images.shape[-2:]]
        patches = tokens[:, self.transformer.prefix_tokens :].transpose(1, 2)
        return tokens[:, 0], patches.unflatten(2, torch.Size(grid))

    def teacher_logits(self, cls: Tensor, mean: Tensor) -> Tensor:
        """Return the teacher's logits (B, K).

        Args: cls: (B, D).  mean: mean of the patches, (B, D).
        """
        logits: Tensor = self.teacher(torch.cat([cls, mean], 1) if self.form.with_cls else mean)
        return logits

    def student_logits(self, mean: Tensor) -> Tensor:
        """Return the student's logits (B, K). Args: mean: mean of the patches, (B, D)."""
        logits: Tensor = self.student(mean)
        return logits

    def activation(self, patches: Tensor, classes: Tensor) -> Tensor:
        """Return the student's activation of a class for each image, (B, h, w).

        Args: patches: (B, D, h, w).  classes: (B,) int64.
        """
        return torch.einsum("bchw,bc->bhw", patches, self.student.weight[classes])

    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return the activation of the predicted class in [0, 1], with stride 1.

        Raises: ValueError for a facet other than "heatmap".
        """
        if facet not in (None, *self.facets):
            raise ValueError(f"SD-CAM has the facet 'heatmap' only, not {facet!r}")
        cls, patches = self.tokens(images)
        logits = self.teacher_logits(cls, patches.mean(dim=(2, 3)))
        maps = self.activation(patches, logits.argmax(dim=1))
        size = (images.shape[-2], images.shape[-1])
        return FeatureMap(
            pixel_maps(maps, size)[:, None], 1, image_sizes or [size] * len(images), "heatmap"
        )


def new_heads(form: HeadsForm, transformer_weights: str, *, seed: int) -> DistilledHeads:
    """Return a transformer with heads of random weights, in eval mode, on the CPU.

    Args: transformer_weights: see `build_backbone`.
    Raises: UserError (see `build_backbone`), and for a backbone that is no transformer.
    """
    transformer = require_kind(
        build_backbone(form.transformer, transformer_weights),
        VisionTransformer,
        f"MODEL.MAP_NETWORK.NAME {form.transformer} has no tokens; name a transformer",
    )
    network = build_untrained(lambda: DistilledHeads(transformer, form), seed)
    start = f"{transformer.weights_info.source} + random:{seed}"
    network.weights_info = WeightsInfo(start, module_sha256(network))
    return network.eval()


def read_heads(path: str | Path) -> DistilledHeads:
    """Return the network of a file that its training wrote, in eval mode, on the CPU.

    Raises: UserError for a file that is missing, damaged or of another network.
    """
    path, facts = Path(path), read_metadata(path)
    try:
        flags = {name: bool(json.loads(facts[name])) for name in ("mlp_block", "with_cls")}
        form = HeadsForm(facts["transformer"], tuple(json.loads(facts["classes"])), **flags)
        start = WeightsInfo(facts["transformer_weights"], facts["transformer_sha256"])
        with torch.device("meta"):
            transformer = BACKBONES[form.transformer].build()
            assert isinstance(transformer, VisionTransformer)
            network = DistilledHeads(transformer, form)
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise UserError(
            f"{path} holds no heads of SD-CAM; train them with configs/lcar_cub.yaml"
        ) from error
    load_into(network, read_state_dict(path), name="heads of SD-CAM", path=path)
    network.weights_info = WeightsInfo(path.name, file_sha256(path))
    transformer.weights_info = start
    return network.requires_grad_(True).eval()
