"""What h sees: named ways to show a map as a 3-channel picture.

Shapes: B images, T tokens (CLS first, if kept), N = h * w patches, C channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks.map_network import LastBlock, Reading

# side of a cell of the rule's maps in h's picture: the ResNets have stride 32, so one place of theirs sees 8 x 8 cells.
# With 4, h learns more in a given time than with 8
HEATMAP_CELL_PIXELS = 4

MapInput = Callable[[Reading], Tensor]


def qkv_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """(B, 3, T, C): query, key, value as the colours of a picture whose rows are tokens and columns channels.

    The release's input for LOST and TokenCut, unnormalised; the layout of the patches is lost to h.
    """
    return last.qkv if with_cls else last.qkv[:, :, 1:]


def keys_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """(B, 3, T, C): the keys alone, repeated on three channels; the paper's literal F."""
    return qkv_as_image(last, with_cls)[:, 1:2].expand(-1, 3, -1, -1)


def affinity_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """(B, 3, T, T): cosine similarities of the keys, repeated on three channels (ours, not published)."""
    keys = keys_as_image(last, with_cls)[:, :1]
    keys = keys / keys.norm(dim=3, keepdim=True).clamp(min=1e-6)
    affinity: Tensor = (keys @ keys.transpose(2, 3)).expand(-1, 3, -1, -1)
    return affinity


TOKEN_INPUTS: dict[str, Callable[[LastBlock, bool], Tensor]] = {
    "qkv_as_image": qkv_as_image,
    "keys_as_image": keys_as_image,
    "affinity_as_image": affinity_as_image,
}


# name -> soft maps of the rule, one a channel; the last one fills the channels that are left
RULE_INPUTS: dict[str, tuple[str, ...]] = {
    "heatmap_as_image": ("heatmap",),
    "heatmap_and_degree_as_image": ("heatmap", "inverse_degree"),
}


def build_map_input(
    name: str, *, with_cls: bool, with_tokens: bool, rule: DiscoveryRule, pool: int = 1
) -> MapInput:
    """The adapter `name`: f's reading to a picture (B, 3, H, W), with gradient.

    `RULE_INPUTS` show the rule's own maps on the patch grid, which keeps the layout that the token pictures lose; a
    rule without them is refused. Of a segmenter, "heatmap_as_image" is the mask.

    Args:
        with_cls: token pictures have the row of CLS.  with_tokens: f has tokens, as a transformer.
        pool: side of the squares that a picture is averaged over, pixels; those at its end that do not fill one are left out.
    Raises: UserError for an unknown name, listing the known ones, or one that this f or this rule has nothing for.
    """
    if pool < 1:
        raise UserError(f"MODEL.MAP_DETECTOR.INPUT_POOL is {pool}, but at least 1 pixel is needed")
    show = _build_unpooled(name, with_cls=with_cls, with_tokens=with_tokens, rule=rule)
    return show if pool == 1 else lambda reading: F.avg_pool2d(show(reading), pool)


def _build_unpooled(
    name: str, *, with_cls: bool, with_tokens: bool, rule: DiscoveryRule
) -> MapInput:
    if name in TOKEN_INPUTS and not with_tokens:
        raise UserError(
            f"MODEL.MAP_DETECTOR.INPUT {name!r} shows a transformer's tokens, and f has none; use heatmap_as_image"
        )
    if name in TOKEN_INPUTS:
        return lambda reading: TOKEN_INPUTS[name](reading.tokens, with_cls)
    check_choice("MODEL.MAP_DETECTOR.INPUT", name, [*TOKEN_INPUTS, *RULE_INPUTS])
    names, known_maps = RULE_INPUTS[name], rule.soft_maps
    if not known_maps.keys() >= set(names):
        raise UserError(
            f"MODEL.MAP_DETECTOR.INPUT {name!r} needs a rule that gives {' and '.join(names)}, which "
            f"{type(rule).__name__} does not; use one of {', '.join(TOKEN_INPUTS)}"
        )

    soft_maps = [known_maps[name] for name in names]

    def show(reading: Reading) -> Tensor:
        maps = [soft_map(reading.map) for soft_map in soft_maps]
        picture = torch.stack([*maps, *maps[-1:] * (3 - len(maps))], dim=1)
        for axis, stride in zip((2, 3), reading.map.strides, strict=True):
            # a mask's cells are pixels already
            repeats = min(HEATMAP_CELL_PIXELS, max(1, int(stride)))
            picture = picture.repeat_interleave(repeats, dim=axis)
        return picture

    return show
