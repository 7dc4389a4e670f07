"""What h sees: named ways to show a map as a 3-channel picture.

Shapes: B images, T tokens (CLS first, if kept), N = h * w patches, C channels.
"""

from collections.abc import Callable

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.features.vit import LastBlock


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
    return (keys @ keys.transpose(2, 3)).expand(-1, 3, -1, -1)


def heatmap_as_image(heatmap: Tensor) -> Tensor:
    """(B, H, W) in [0, 1], a mask or a heatmap, to (B, 3, H, W): repeated, not normalised (release)."""
    return heatmap[:, None].expand(-1, 3, -1, -1)


# those made from a transformer's last block; heatmaps come from networks that make one
TOKEN_INPUTS: dict[str, Callable[[LastBlock, bool], Tensor]] = {
    "qkv_as_image": qkv_as_image,
    "keys_as_image": keys_as_image,
    "affinity_as_image": affinity_as_image,
}


def token_input(name: str) -> Callable[[LastBlock, bool], Tensor]:
    """The adapter `name`.

    Raises: UserError listing the known ones.
    """
    if name not in TOKEN_INPUTS:
        raise UserError(
            f"MODEL.MAP_DETECTOR.INPUT {name!r} is no input made from tokens; known: "
            f"{', '.join(TOKEN_INPUTS)}"
        )
    return TOKEN_INPUTS[name]
