"""Inputs of h: named functions that turn a map into an image of 3 channels.

Shapes: B images, T tokens (CLS first, if kept), N = h * w patches, C channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks.map_network import LastBlock, Reading

# side of a map's cell in h's input, pixels. The ResNets have stride 32, so one of their output
# cells covers 8 x 8 cells of the map. In a given time h learns more with 4 than with 8
HEATMAP_CELL_PIXELS = 4

MapInput = Callable[[Reading], Tensor]


def qkv_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """Return query, key and value as three channels: rows are tokens, columns are channels of f.

    It is the release's input for LOST and TokenCut, not normalised. h does not see the layout of
    the patches.

    Returns: (B, 3, T, C).
    """
    return last.qkv if with_cls else last.qkv[:, :, 1:]


def keys_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """Return the keys alone, repeated on three channels: the paper's literal F.

    Returns: (B, 3, T, C).
    """
    return qkv_as_image(last, with_cls)[:, 1:2].expand(-1, 3, -1, -1)


def affinity_as_image(last: LastBlock, with_cls: bool = False) -> Tensor:
    """Return the cosine similarities of the keys, repeated on three channels (ours, unpublished).

    Returns: (B, 3, T, T).
    """
    keys = keys_as_image(last, with_cls)[:, :1]
    keys = keys / keys.norm(dim=3, keepdim=True).clamp(min=1e-6)
    affinity: Tensor = (keys @ keys.transpose(2, 3)).expand(-1, 3, -1, -1)
    return affinity


def no_input(reading: Reading) -> Tensor:
    """Refuse to show a map to an h that never learns. Raises: ValueError."""
    raise ValueError("h never learns in this run, so it reads no map")


TOKEN_INPUTS: dict[str, Callable[[LastBlock, bool], Tensor]] = {
    "qkv_as_image": qkv_as_image,
    "keys_as_image": keys_as_image,
    "affinity_as_image": affinity_as_image,
}


# name -> soft maps of the rule, one per channel; the last map also fills the remaining channels
RULE_INPUTS: dict[str, tuple[str, ...]] = {
    "heatmap_as_image": ("heatmap",),
    "heatmap_and_degree_as_image": ("heatmap", "inverse_degree"),
}


def build_map_input(
    name: str, *, with_cls: bool, with_tokens: bool, rule: DiscoveryRule, pool: int = 1
) -> MapInput:
    """Return the adapter `name`: a function from f's reading to h's input (B, 3, H, W).

    The adapter keeps the gradient. The adapters of `RULE_INPUTS` show the rule's own maps on the
    patch grid. They keep the layout that the token inputs lose. They need a rule with such maps.
    For a segmenter, "heatmap_as_image" is the mask.

    Args:
        with_cls: True if token inputs include the row of CLS.
        with_tokens: True if f has tokens, as a transformer does.
        pool: side of the squares that h's input is averaged over, pixels. An incomplete square at
            the right or lower end is dropped.
    Raises: UserError for an unknown name, with the known ones, or for an adapter that needs
        tokens or maps that f or the rule lacks.
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
            f"MODEL.MAP_DETECTOR.INPUT {name!r} shows a transformer's tokens, and f has none; "
            "use heatmap_as_image"
        )
    if name in TOKEN_INPUTS:
        return lambda reading: TOKEN_INPUTS[name](reading.tokens, with_cls)
    check_choice("MODEL.MAP_DETECTOR.INPUT", name, [*TOKEN_INPUTS, *RULE_INPUTS])
    names, known_maps = RULE_INPUTS[name], rule.soft_maps
    if not known_maps.keys() >= set(names):
        raise UserError(
            f"MODEL.MAP_DETECTOR.INPUT {name!r} needs a rule that gives "
            f"{' and '.join(names)}, which {type(rule).__name__} does not; "
            f"use one of {', '.join(TOKEN_INPUTS)}"
        )

    soft_maps = [known_maps[name] for name in names]

    def show(reading: Reading) -> Tensor:
        maps = [soft_map(reading.map) for soft_map in soft_maps]
        map_image = torch.stack([*maps, *maps[-1:] * (3 - len(maps))], dim=1)
        for axis, stride in zip((2, 3), reading.map.strides, strict=True):
            # the cells of a mask are pixels already
            repeats = min(HEATMAP_CELL_PIXELS, max(1, int(stride)))
            map_image = map_image.repeat_interleave(repeats, dim=axis)
        return map_image

    return show
