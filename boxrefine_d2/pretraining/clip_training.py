"""ClipTraining: images and phrases in one space, learnt from phrases of images and no boxes.

It is a small CLIP (arXiv:2103.00020). An image may have several right phrases, as in supervised
contrastive learning (arXiv:2004.11362).

Shapes: B images, each with a phrase; D dimensions of the common space.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.build import clip_config, random_clip
from boxrefine_d2.language.clip import Clip
from boxrefine_d2.language.image_tower import layers_of
from boxrefine_d2.language.phrase_vocabulary import learn_tokenizer
from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD, build_backbone
from boxrefine_d2.networks.map_network import require_kind
from boxrefine_d2.networks.timm_parts import block_parts
from boxrefine_d2.networks.vit import DinoTransformer
from boxrefine_d2.training.product_model import ProductModel

from .parameter_groups import decay_of_matrices

_NO_BOXES = "CLIP draws no boxes, so it cannot be evaluated; DATASETS.TEST must be ()"
MAX_SCALE = 100.0  # largest factor of the logits, as in the paper


@META_ARCH_REGISTRY.register()
class ClipTraining(ProductModel):
    """Training of both towers; the image tower starts from a transformer learnt without labels.

    Attributes: map_network: the Clip, under the attribute name by which a run stores its product.
    """

    product_file = "clip"
    map_network: Clip

    @configurable
    def __init__(
        self, *, clip: Clip, name: str, vocabulary: int, weight_decay: float, autocast: bool = False
    ):
        """Take the parts.

        Args:
            clip: model to train.
            name: name of the model.
            vocabulary: largest number of tokens.
            weight_decay: weight decay of AdamW.
            autocast: True to compute the products of the image tower in bfloat16.
        """
        super().__init__()
        self.map_network = clip
        clip.model.requires_grad_(True)
        self.product_name = name
        self.vocabulary = vocabulary
        self.weight_decay = weight_decay
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts: MODEL.CLIP, whose image tower starts from MODEL.MAP_NETWORK."""
        if cfg.DATASETS.TEST:
            raise UserError(f"DATASETS.TEST {cfg.DATASETS.TEST}: {_NO_BOXES}")
        name, size = cfg.MODEL.CLIP.NAME, cfg.PRETRAIN.CLIP.VOCABULARY
        clip = random_clip(clip_config(name), cfg.SEED, learn_tokenizer((), size))
        backbone = build_backbone(cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS)
        start_from(clip, backbone)
        return {
            "clip": clip,
            "name": name,
            "vocabulary": size,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    def learn_words(self, phrases: Iterable[str]) -> None:
        """Learn the tokenizer from the training phrases."""
        self.map_network.tokenizer = learn_tokenizer(phrases, self.vocabulary)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.map_network.device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups; single numbers and vectors have no weight decay."""
        return decay_of_matrices(self, self.weight_decay)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses, in training only (Detectron2's contract).

        Args: batched_inputs: results of `PhraseMapper`.
        Returns: {"loss_text", "loss_image"}: cross-entropy over the phrases of the batch for each
            image, and over the images for each phrase.
        """
        clip = self.map_network
        images = torch.stack([x["image"] for x in batched_inputs]).to(self.device) / 127.5 - 1
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            image_vectors = clip.encode_images(images)
            text_vectors = clip.encode_tokens(clip.tokens([x["phrase"] for x in batched_inputs])[0])
        scale = clip.model.logit_scale.exp().clamp(max=MAX_SCALE)
        logits = scale * image_vectors.float() @ text_vectors.float().T
        right = right_pairs(batched_inputs).to(self.device)
        hits = right.gather(1, logits.argmax(dim=1, keepdim=True))
        get_event_storage().put_scalar("right_phrase", hits.float().mean().item())
        return {
            "loss_text": positives_loss(logits, right) / 2,
            "loss_image": positives_loss(logits.T, right.T) / 2,
        }


def right_pairs(batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
    """Return (B, B) bool: True if phrase j is one of the phrases of image i."""
    return torch.tensor(
        [[b["drawn"] in a["phrases"] for b in batched_inputs] for a in batched_inputs]
    )


def positives_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Return the mean over rows of the mean of - log softmax over the right entries.

    Args: logits, right: (B, B); each row has at least one right entry.
    """
    logs = F.log_softmax(logits, dim=1)
    return -(logs * right).sum(dim=1).div(right.sum(dim=1)).mean()


@torch.no_grad()
def start_from(clip: Clip, backbone: nn.Module) -> None:
    """Put a transformer of DINO's kind into the image tower.

    Blocks, positions, CLS and the last norm are copied. The tower's patch embedding reads images
    in [-1, 1] and has no bias. The change of scale therefore goes into its weights, and the rest
    into the positions of the patches. CLIP's norm before the blocks starts as a scale to the usual
    size of a token.

    Raises: UserError for a network of another shape.
    """
    vision = clip.model.vision_model
    config: Any = (
        clip.model.config.vision_config
    )  # the library has read it: it is no dictionary and not None
    refusal = "MODEL.MAP_NETWORK.NAME: CLIP's image tower starts from a DINO transformer"
    backbone = require_kind(backbone, DinoTransformer, refusal)
    blocks = [block_parts(block) for block in backbone.blocks]
    tokens, dim = backbone.pos_embed.shape[1:]
    shape = (backbone.stride, tokens, dim, len(blocks), backbone.num_heads)
    wanted = (
        config.patch_size,
        1 + (config.image_size // config.patch_size) ** 2,
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
    )
    if shape != wanted:
        raise UserError(
            f"MODEL.MAP_NETWORK.NAME: its patch, tokens, channels, blocks and heads are {shape}, "
            f"those of the image tower {wanted}; use a network of that shape"
        )
    # the backbone expects (0.5 x + 0.5 - mean) / std for x in [-1, 1]
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    weight, bias = backbone.patch_embed.proj.weight, backbone.patch_embed.proj.bias
    assert bias is not None  # `PatchEmbed` always has one
    shift = torch.einsum("oiyx,i->o", weight, (0.5 - mean) / std) + bias
    positions = backbone.pos_embed[0].clone()
    positions[1:] += shift
    embeddings = vision.embeddings
    embeddings.patch_embedding.weight.copy_(weight * (0.5 / std)[:, None, None])
    embeddings.class_embedding.copy_(backbone.cls_token.flatten())
    embeddings.position_embedding.weight.copy_(positions)
    vision.post_layernorm.load_state_dict(backbone.norm.state_dict())
    for layer, block in zip(layers_of(clip.model), blocks, strict=True):
        layer.layer_norm1.load_state_dict(block.norm1.state_dict())
        layer.layer_norm2.load_state_dict(block.norm2.state_dict())
        layer.self_attn.out_proj.load_state_dict(block.attn.proj.state_dict())
        layer.mlp.fc1.load_state_dict(block.mlp.fc1.state_dict())
        layer.mlp.fc2.load_state_dict(block.mlp.fc2.state_dict())
        for part, weight, bias in zip(
            ("q_proj", "k_proj", "v_proj"),
            block.attn.qkv.weight.chunk(3),
            block.attn.qkv.bias.chunk(3),
            strict=True,
        ):
            getattr(layer.self_attn, part).load_state_dict({"weight": weight, "bias": bias})
    grey = torch.zeros(1, 3, config.image_size, config.image_size)
    vision.pre_layrnorm.weight.fill_(vision.embeddings(grey).std(dim=2).mean())
