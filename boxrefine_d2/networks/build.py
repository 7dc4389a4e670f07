"""Table of the backbones by name, and functions that build them with their weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice

from .build_network import build_network
from .cnn import VGG16, ResNet50
from .found_head import FoundSegmenter, read_found
from .map_network import MapNetwork, require_kind
from .move_segmenter import MoveSegmenter, lacks_extractor, our_names
from .presets import PRESETS, Preset, announce
from .segmenter import Segmenter
from .vit import DinoTransformer
from .weights import (
    BY_NETWORK,
    WeightsInfo,
    build_empty,
    build_seeded,
    cache_path,
    fetch,
    load_into,
    module_sha256,
    parse_random,
    read_state_dict,
)

DINO_HOST = "https://dl.fbaipublicfiles.com/dino/"
TORCHVISION_HOST = "https://download.pytorch.org/models/"

# Files trained by this project. A model card of the same name lies beside each file.
SHIPPED = Path(__file__).parent / "shipped"

DINO_MINI = SHIPPED / "dino_mini.safetensors"
DINO_MINI_1 = SHIPPED / "dino_mini_1.safetensors"  # the first edition


@dataclass(frozen=True)
class BackboneSpec:
    """Builder of a named backbone, and the place of its own weights.

    Attributes:
        build: returns the network without its weights.
        weights: URL of the official file, or path of the file that ships with the package; None if
            the backbone has neither.
        extractor: URL or path of the weights of a segmenter's frozen extractor. The segmenter's own
            file may leave them out. None for all other networks.
        preset: the preset of a network that was not trained like DINO's; None for the others.
        read: reader of a network whose form is in its file; None for the others. Such a network
            has no weights but those of a file.
    """

    build: Callable[[], MapNetwork]
    weights: str | Path | None
    extractor: str | Path | None = None
    preset: Preset | None = None
    read: Callable[[Path], MapNetwork] | None = None


def _without_form() -> MapNetwork:
    raise TypeError("the file of the network states its form")


def _read_classifier(path: Path) -> MapNetwork:
    from .image_classifier import read_map_network  # its trunks need the table of this module

    return read_map_network(path)


def _read_weight_map(path: Path) -> MapNetwork:
    from .weight_map import read_weight_map

    return read_weight_map(path)


def _read_heads(path: Path) -> MapNetwork:
    from .distilled_heads import read_heads

    return read_heads(path)


_vit_mini = partial(DinoTransformer, dim=192, depth=6, num_heads=3)
_vit_small = partial(DinoTransformer, dim=384, depth=12, num_heads=6)
_vit_base = partial(DinoTransformer, dim=768, depth=12, num_heads=12)


def _dino(folder: str) -> str:
    return f"{DINO_HOST}{folder}/{folder}.pth"


BACKBONES: dict[str, BackboneSpec] = {
    "dino_mini": BackboneSpec(partial(_vit_mini, patch_size=16), DINO_MINI),
    "dino_mini_1": BackboneSpec(partial(_vit_mini, patch_size=16), DINO_MINI_1),
    "dino_vits16": BackboneSpec(
        partial(_vit_small, patch_size=16), _dino("dino_deitsmall16_pretrain")
    ),
    # Two official files are called "ViT-S/8". LOST, TokenCut and MaskCut use the one of 300 epochs.
    # DINO's hub and MOVE use the other one.
    "dino_vits8": BackboneSpec(
        partial(_vit_small, patch_size=8), _dino("dino_deitsmall8_300ep_pretrain")
    ),
    "dino_vitb16": BackboneSpec(
        partial(_vit_base, patch_size=16), _dino("dino_vitbase16_pretrain")
    ),
    "dino_vitb8": BackboneSpec(partial(_vit_base, patch_size=8), _dino("dino_vitbase8_pretrain")),
    "dino_resnet50": BackboneSpec(partial(ResNet50, dilate=2), _dino("dino_resnet50_pretrain")),
    "imagenet_resnet50": BackboneSpec(
        partial(ResNet50, dilate=2), f"{TORCHVISION_HOST}resnet50-0676ba61.pth"
    ),
    "imagenet_vgg16": BackboneSpec(VGG16, f"{TORCHVISION_HOST}vgg16-397923af.pth"),
    # No host offers MOVE's file under a permanent URL.
    "move_vits8": BackboneSpec(
        lambda: MoveSegmenter(_vit_small(patch_size=8), head="conv_minc128", block=-2),
        weights=None,
        extractor=_dino("dino_deitsmall8_pretrain"),
    ),
    # Ours, not trained yet. With MOVE's widths the head would take ten times as long.
    "move_mini": BackboneSpec(
        lambda: MoveSegmenter(_vit_mini(patch_size=16), head="conv_minc32", block=-2),
        weights=None,
        extractor=DINO_MINI_1,
    ),
    # FOUND's repository holds the file of its head, beside the code.
    "found_vits8": BackboneSpec(
        lambda: FoundSegmenter(_vit_small(patch_size=8)),
        weights=None,
        extractor=_dino("dino_deitsmall8_300ep_pretrain"),
    ),
    # Ours; its file holds only the head.
    "found_mini": BackboneSpec(
        lambda: FoundSegmenter(_vit_mini(patch_size=16)),
        weights=SHIPPED / "found_mini.safetensors",
        extractor=DINO_MINI_1,
    ),
    **{name: BackboneSpec(p.build, p.weights, preset=p) for name, p in PRESETS.items()},
    "classifier": BackboneSpec(_without_form, None, read=_read_classifier),
    "weight_map": BackboneSpec(_without_form, None, read=_read_weight_map),
    "distilled_heads": BackboneSpec(_without_form, None, read=_read_heads),
}


def padding_multiple(name: str, weights: str = "") -> int:
    """Return the number of pixels to whose multiples the sides of an input are padded.

    It is the patch size of a transformer, and 16 for a CNN.

    Args: weights: see `build_backbone`; read only for a network whose form is in its file.
    Raises: UserError for an unknown name, or a file that is refused.
    """
    return build_backbone(name, weights).stride if is_named_by_file(name) else _stride(name)


def is_named_by_file(name: str) -> bool:
    """Return True for a network whose form is in its file.

    Raises: UserError for an unknown name.
    """
    return _spec(name).read is not None


@cache
def _stride(name: str) -> int:
    return build_empty(_spec(name).build).stride


def _spec(name: str) -> BackboneSpec:
    check_choice("backbone", name, BACKBONES)
    return BACKBONES[name]


def official_file(name: str, by: str = BY_NETWORK) -> Path:
    """Return the file of a backbone's own weights; fetch an official file that is not cached.

    Args: by: flag or key by which the user can give the file, for messages.
    Raises: UserError for an unknown name, a backbone without a file, or an unreachable host.
    """
    weights = _spec(name).weights
    if weights is None:
        raise UserError(
            f"{name} has no weights that could be fetched, and none ship; train it, or give a "
            f"file with {by}, or random:0 for untrained ones"
        )
    _refuse_to_fetch(name, by)
    return _local(weights, by)


def official_place(name: str) -> Path | None:
    """Return the path of a backbone's own weights; None if it has no file of its own.

    It is the shipped file, or the place in the cache where an official file is looked for before it
    is fetched.
    """
    weights = _spec(name).weights
    return cache_path(weights) if isinstance(weights, str) else weights


def _refuse_to_fetch(name: str, by: str) -> None:
    preset, place = _spec(name).preset, official_place(name)
    if preset and preset.terms and place and not place.exists():
        raise UserError(
            f"{name} is under {preset.licence}; accept it at {preset.terms}, fetch {place.name} "
            f"from the address that is sent to you, and give it with {by}, or put it at {place}"
        )


def _local(weights: str | Path, by: str = BY_NETWORK) -> Path:
    return weights if isinstance(weights, Path) else fetch(weights, by)


def build_backbone(name: str, weights: str | Path | None = None) -> MapNetwork:
    """Return a map network in eval mode, float32, on the CPU.

    Args:
        name: one of `BACKBONES`.
        weights: a file (.pth, .pkl or .safetensors with the official names), "random" or
            "random:SEED", or None (or "") for the network's own file. The own file is the shipped
            one, or the official one from the cache or its host. A segmenter's file may hold only
            the part that learns; its extractor is then the shipped or official one.
    Returns: the module. Its `weights_info` names the source of the weights and a SHA-256. It is the
        hash of the file, or of the tensors if there is no file or more than one.
    Raises: UserError for an unknown name, a file that is missing or of another network, or a file
        that cannot be fetched.
    """
    spec = _spec(name)
    if spec.preset:
        announce(name)
    if spec.read:
        return spec.read(_training_file(name, weights))
    return build_network(
        name, weights, spec.build, own=partial(official_file, name), read=partial(_read, spec)
    )


def _training_file(name: str, weights: str | Path | None) -> Path:
    """Return the file of a network whose form is in it. Raises: UserError if none is given."""
    if weights and parse_random(str(weights)) is None:
        return Path(weights)
    raise UserError(
        f"{name} is read from the file of its training, which states its form; give it with "
        f"{BY_NETWORK}"
    )


def build_segmenter(name: str, weights: str, *, seed: int) -> Segmenter:
    """Return a segmenter that is to be trained, in eval mode, float32, on the CPU.

    Args:
        weights: see `build_backbone`; "" stands for the shipped or official extractor and a head
            with random weights.
        seed: seed of the head's random weights.
    Raises: UserError as `build_backbone`, and for a name that is not a segmenter's.
    """
    spec = _spec(name)
    known = ", ".join(key for key, value in BACKBONES.items() if value.extractor)
    message = f"{name} is not a segmenter and has no head to train; known: {known}"
    if spec.extractor is None:
        raise UserError(message)
    if weights:
        return require_kind(build_backbone(name, weights), Segmenter, message)
    path = _local(spec.extractor)
    segmenter = require_kind(build_seeded(spec.build, seed), Segmenter, message)
    load_into(segmenter.extractor, read_state_dict(path), name=f"{name}'s extractor", path=path)
    segmenter.weights_info = WeightsInfo(f"{path.name} + random:{seed}", module_sha256(segmenter))
    return segmenter.requires_grad_(True).eval()


def _read(spec: BackboneSpec, path: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """Return the tensors in `path`, and the files that were read.

    If a segmenter's file leaves out the extractor, its tensors come from the extractor's own file.
    """
    state = read_found(path) or read_state_dict(path)
    if spec.preset:
        state = spec.preset.our_names(state)
    if spec.extractor is None:
        return state, [path]
    state = our_names(state)
    if not lacks_extractor(state):
        return state, [path]
    try:
        extractor = _local(spec.extractor)
    except UserError as error:
        raise UserError(
            f"{path} holds only a head, and the weights of its extractor are missing: {error}"
        ) from error
    frozen = {f"extractor.{name}": value for name, value in read_state_dict(extractor).items()}
    return state | frozen, [path, extractor]
