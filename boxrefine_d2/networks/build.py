"""Backbones by name, with the weights that belong to them."""

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
    WeightsInfo,
    build_empty,
    build_seeded,
    cache_path,
    fetch,
    load_into,
    module_sha256,
    read_state_dict,
)

DINO_HOST = "https://dl.fbaipublicfiles.com/dino/"
TORCHVISION_HOST = "https://download.pytorch.org/models/"

# trained by this project; a model card of the same name lies beside each file
SHIPPED = Path(__file__).parent / "shipped"

DINO_MINI = SHIPPED / "dino_mini.safetensors"


@dataclass(frozen=True)
class BackboneSpec:
    """How a named backbone is built and where its own weights are.

    Attributes:
        weights: the address of the official file, or the path of the file that ships with the package; None if there
            is neither.
        extractor: of a segmenter, the same for its frozen part, which its own file may leave out.
        preset: of a network that was not trained as DINO's.
    """

    build: Callable[[], MapNetwork]
    weights: str | Path | None
    extractor: str | Path | None = None
    preset: Preset | None = None


_vit_mini = partial(DinoTransformer, dim=192, depth=6, num_heads=3)
_vit_small = partial(DinoTransformer, dim=384, depth=12, num_heads=6)
_vit_base = partial(DinoTransformer, dim=768, depth=12, num_heads=12)


def _dino(folder: str) -> str:
    return f"{DINO_HOST}{folder}/{folder}.pth"


BACKBONES: dict[str, BackboneSpec] = {
    "dino_mini": BackboneSpec(partial(_vit_mini, patch_size=16), DINO_MINI),
    "dino_vits16": BackboneSpec(
        partial(_vit_small, patch_size=16), _dino("dino_deitsmall16_pretrain")
    ),
    # "ViT-S/8" is two files: LOST, TokenCut and MaskCut use the one of 300 epochs, DINO's own hub and MOVE the other.
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
    # no host has MOVE's file under a lasting address
    "move_vits8": BackboneSpec(
        lambda: MoveSegmenter(_vit_small(patch_size=8), head="conv_minc128", block=-2),
        weights=None,
        extractor=_dino("dino_deitsmall8_pretrain"),
    ),
    # ours, not trained yet; with MOVE's widths the head would take ten times as long
    "move_mini": BackboneSpec(
        lambda: MoveSegmenter(_vit_mini(patch_size=16), head="conv_minc32", block=-2),
        weights=None,
        extractor=DINO_MINI,
    ),
    # FOUND's head is in its repository, beside its code
    "found_vits8": BackboneSpec(
        lambda: FoundSegmenter(_vit_small(patch_size=8)),
        weights=None,
        extractor=_dino("dino_deitsmall8_300ep_pretrain"),
    ),
    # ours; its file holds the head alone
    "found_mini": BackboneSpec(
        lambda: FoundSegmenter(_vit_mini(patch_size=16)),
        weights=SHIPPED / "found_mini.safetensors",
        extractor=DINO_MINI,
    ),
    **{name: BackboneSpec(p.build, p.weights, preset=p) for name, p in PRESETS.items()},
}


@cache
def padding_multiple(name: str) -> int:
    """Pixels that an input's sides are padded to a multiple of: the patch of a transformer, 16 for a CNN."""
    return build_empty(_spec(name).build).stride


def _spec(name: str) -> BackboneSpec:
    check_choice("backbone", name, BACKBONES)
    return BACKBONES[name]


def official_file(name: str) -> Path:
    """A backbone's own weights: the shipped file, or the official one from the cache or its host.

    Raises: UserError for an unknown name, one without a file, or a host that cannot be reached.
    """
    weights = _spec(name).weights
    if weights is None:
        raise UserError(
            f"{name} has no weights that could be fetched, and none ship; train it, or give a file with --weights FILE "
            "(MODEL.MAP_NETWORK.WEIGHTS in a config), or random:0 for untrained ones"
        )
    _refuse_to_fetch(name)
    return _local(weights)


def official_place(name: str) -> Path | None:
    """Where a backbone's own weights are, or are looked for before their host is asked: the shipped file, or a place in
    the cache; None if it has none of its own."""
    weights = _spec(name).weights
    return cache_path(weights) if isinstance(weights, str) else weights


def _refuse_to_fetch(name: str) -> None:
    preset, place = _spec(name).preset, official_place(name)
    if preset and preset.terms and place and not place.exists():
        raise UserError(
            f"{name} is under {preset.licence}; accept it at {preset.terms}, fetch {place.name} from the address that is "
            f"sent to you, and give it with --weights FILE (MODEL.MAP_NETWORK.WEIGHTS in a config), or put it at {place}"
        )


def _local(weights: str | Path) -> Path:
    return weights if isinstance(weights, Path) else fetch(weights)


def build_backbone(name: str, weights: str | Path | None = None) -> MapNetwork:
    """A map network in eval mode, float32, on the CPU.

    Args:
        name: one of `BACKBONES`.
        weights: a file (.pth, .pkl or .safetensors, official naming), "random" or "random:SEED", or None (or "")
            for the shipped file or the official one, taken from the cache or fetched from its host. A segmenter's file
            may hold the part that learns alone; its extractor is then the shipped or official one.
    Returns: the module; `module.weights_info` names the source of the weights and their SHA-256: of the file, or of
        the tensors if there is none or more than one.
    Raises: UserError for an unknown name, a missing or foreign file, or a file that cannot be fetched.
    """
    spec = _spec(name)
    if spec.preset:
        announce(name)
    return build_network(
        name, weights, spec.build, own=partial(official_file, name), read=partial(_read, spec)
    )


def build_segmenter(name: str, weights: str, *, seed: int) -> Segmenter:
    """A segmenter that is to be trained, in eval mode, float32, on the CPU.

    Args:
        weights: as of `build_backbone`; but "" is the shipped or official extractor below a head that knows nothing.
        seed: of such a head.
    Raises: UserError as `build_backbone` does, and for a name that is no segmenter's.
    """
    spec = _spec(name)
    known = ", ".join(key for key, value in BACKBONES.items() if value.extractor)
    said = f"{name} is no segmenter, whose head could be trained; known: {known}"
    if spec.extractor is None:
        raise UserError(said)
    if weights:
        return require_kind(build_backbone(name, weights), Segmenter, said)
    path = _local(spec.extractor)
    segmenter = require_kind(build_seeded(spec.build, seed), Segmenter, said)
    load_into(segmenter.extractor, read_state_dict(path), name=f"{name}'s extractor", path=path)
    segmenter.weights_info = WeightsInfo(f"{path.name} + random:{seed}", module_sha256(segmenter))
    return segmenter.requires_grad_(True).eval()


def _read(spec: BackboneSpec, path: Path) -> tuple[dict[str, Tensor], list[Path]]:
    """The tensors in `path`, completed by the extractor's where a segmenter's file leaves them out, and the files read."""
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
        raise UserError(f"{path} holds a head alone, and of its extractor: {error}") from error
    frozen = {f"extractor.{name}": value for name, value in read_state_dict(extractor).items()}
    return state | frozen, [path, extractor]
