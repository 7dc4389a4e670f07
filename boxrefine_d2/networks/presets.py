"""Networks that were not trained like DINO: DINOv2 (also with registers), DINOv3, MAE, MoCo-v3.

The map of each network consists of the keys of the last block, which LOST and TokenCut choose for
DINO. Prefix tokens are dropped. Inputs are normalised and padded as for DINO. Names are those of
the official hubs where a hub exists.

- DINOv2 (arXiv:2304.07193; registers: arXiv:2309.16588): a table of 37 x 37 positions. The network
  with registers resizes it in another way.
- DINOv3 (arXiv:2508.10104): no table; keys and queries rotate, as in timm, by the periods in the
  file.
- MAE (arXiv:2111.06377), MoCo-v3 (arXiv:2104.02057): DINO's layers. The table holds sines and
  cosines. It is resized as DINO's table, because TokenCut (arXiv:2202.11539) reads these files with
  DINO's code.

The official code of DINOv2 (b8931f7), DINOv3 (6876159) and TokenCut (fed52cd) was run with one size
of each network and the same random weights. It gives the same features. The official files were not
available. This project never checked a box of these networks; `build_backbone` warns once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from .build_network import StateDict
from .timm_vit import TimmTransformer
from .vit import DinoTransformer, VisionTransformer, resize_by_scale, resize_to_size

logger = logging.getLogger(__name__)

HOST = "https://dl.fbaipublicfiles.com/"
DINOV3_TERMS = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/"
APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC BY-NC 4.0, which forbids commercial use"
DINOV3_LICENCE = (
    "the DINOv3 License, which forbids some uses; it applies to everybody who uses or distributes "
    "the weights or anything derived from them, refined networks included"
)


@dataclass(frozen=True)
class Preset:
    """Network with the facts about its official file.

    Attributes:
        build: returns the network without its weights.
        patch_size: side of a patch in pixels.
        prefix_tokens: number of tokens before the patches, CLS and registers.
        weights: URL of the official file.
        our_names: renames the tensors of the official file to our names. A state dict that has our
            names already does not change.
        licence: licence of the weights.
        terms: URL of the licence that a user has to accept before the file is sent; "" if the file
            can be fetched.
        published: a published run of a rule on the network, with its setting; "" if none is known.
    """

    build: Callable[[], VisionTransformer]
    patch_size: int
    prefix_tokens: int
    weights: str
    our_names: Callable[[StateDict], StateDict]
    licence: str
    terms: str = ""
    published: str = ""


def _without(state: StateDict, *prefixes: str) -> StateDict:
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def dinov2_names(state: StateDict) -> StateDict:
    """Return DINOv2's tensors, whose names are ours, without the mask token of its training."""
    return _without(state, "mask_token")


def dinov3_names(state: StateDict) -> StateDict:
    """Return DINOv3's registers, scales and periods by the names of timm and DINOv2.

    The mask of the qkv bias is applied: the keys have no bias.
    """
    renamed = {}
    for name, value in _without(state, "mask_token").items():
        if name.endswith("qkv.bias_mask"):
            continue
        if f"{name}_mask" in state:
            value = value * state[f"{name}_mask"]
        name = name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")
        name = name.replace("storage_tokens", "register_tokens").replace("rope_embed.", "rope.")
        renamed[name] = value
    return renamed


def mae_names(state: StateDict) -> StateDict:
    """Return MAE's encoder without the decoder, which TokenCut's file of MAE also holds."""
    return _without(state, "mask_token", "decoder")


def mocov3_names(state: StateDict) -> StateDict:
    """Return the base encoder, not the momentum encoder.

    TokenCut and MoCo's own evaluation take the base encoder too.
    """
    prefix = "base_encoder."
    encoder = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    return encoder or state


def _dinov2(size: str, registers: int = 0) -> Preset:
    arch = {"s": "small", "b": "base", "l": "large"}[size]
    suffix = f"_reg{registers}" if registers else ""
    resize = resize_to_size if registers else resize_by_scale
    folder = f"dinov2_vit{size}14"
    return Preset(
        partial(TimmTransformer, f"vit_{arch}_patch14{suffix}_dinov2", resize=resize),
        patch_size=14,
        prefix_tokens=1 + registers,
        weights=f"{HOST}dinov2/{folder}/{folder}{suffix}_pretrain.pth",
        our_names=dinov2_names,
        licence=APACHE,
    )


def _dinov3(size: str, digest: str) -> Preset:
    arch = {"s": "small", "b": "base"}[size]
    folder = f"dinov3_vit{size}16"
    return Preset(
        partial(TimmTransformer, f"vit_{arch}_patch16_dinov3", resize=None),
        patch_size=16,
        prefix_tokens=5,
        weights=f"{HOST}dinov3/{folder}/{folder}_pretrain_lvd1689m-{digest}.pth",
        our_names=dinov3_names,
        licence=DINOV3_LICENCE,
        terms=DINOV3_TERMS,
    )


def _with_dino_layers(
    dim: int, num_heads: int, file: str, our_names: Callable[[StateDict], StateDict]
) -> Preset:
    return Preset(
        partial(DinoTransformer, patch_size=16, dim=dim, depth=12, num_heads=num_heads),
        patch_size=16,
        prefix_tokens=1,
        weights=HOST + file,
        our_names=our_names,
        licence=NON_COMMERCIAL,
        published="TokenCut's code offers it with its usual tau, 0.2",
    )


PRESETS: dict[str, Preset] = {
    "dinov2_vits14": _dinov2("s"),
    "dinov2_vitb14": _dinov2("b"),
    "dinov2_vitl14": _dinov2("l"),
    "dinov2_vits14_reg": _dinov2("s", registers=4),
    "dinov2_vitb14_reg": _dinov2("b", registers=4),
    "dinov2_vitl14_reg": _dinov2("l", registers=4),
    "dinov3_vits16": _dinov3("s", "08c60483"),
    "dinov3_vitb16": _dinov3("b", "73cec8be"),
    # TokenCut takes mae/visualize/mae_visualize_vit_base.pth, which was trained to predict
    # unnormalised pixels. That file loads as well.
    "mae_vitb16": _with_dino_layers(768, 12, "mae/pretrain/mae_pretrain_vit_base.pth", mae_names),
    # Its heads have 32 channels, unlike DINO's.
    "mocov3_vits16": _with_dino_layers(
        384, 12, "moco-v3/vit-s-300ep/vit-s-300ep.pth.tar", mocov3_names
    ),
    "mocov3_vitb16": _with_dino_layers(
        768, 12, "moco-v3/vit-b-300ep/vit-b-300ep.pth.tar", mocov3_names
    ),
}


@cache
def announce(name: str) -> None:
    """Warn, once per process, that nobody checked this network's boxes; name the licence."""
    preset = PRESETS[name]
    published = f" ({preset.published})" if preset.published else ""
    logger.warning(
        "%s was never validated by this project with any rule%s: look at its maps and boxes before "
        "you rely on them. Its official weights are under %s.",
        name,
        published,
        preset.licence,
    )
