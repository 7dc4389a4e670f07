"""CLIP by name, with the weights that belong to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import logging as hub_logging
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from boxrefine_d2.errors import UserError
from boxrefine_d2.features.weights import (
    WeightsInfo,
    build_seeded,
    module_sha256,
    parse_random,
)

from .byte_tokenizer import byte_tokenizer
from .clip import Clip


@dataclass(frozen=True)
class ClipSpec:
    """How a named CLIP is built and where its own weights are.

    Attributes:
        config: of one with weights drawn at random.
        weights: the name of the official ones on the host that `transformers` asks, or None.
    """

    config: Callable[[], CLIPConfig]
    weights: str | None


def _vitb32() -> CLIPConfig:
    """ViT-B/32 with QuickGELU, 224 pixels, 77 tokens, 512 dimensions: the defaults of the library."""
    return CLIPConfig()


def _mini() -> CLIPConfig:
    """Ours: patch 16 as dino_mini, from which its image tower starts."""
    tower = {"hidden_act": "gelu", "intermediate_size": 768, "num_attention_heads": 3}
    return CLIPConfig(
        vision_config={
            **tower,
            "hidden_size": 192,
            "num_hidden_layers": 6,
            "image_size": 224,
            "patch_size": 16,
        },
        text_config={
            **tower,
            "hidden_size": 192,
            "num_hidden_layers": 3,
            "vocab_size": 514,
            "max_position_embeddings": 77,
        },
        projection_dim=192,
    )


CLIPS: dict[str, ClipSpec] = {
    # ours, not trained yet
    "clip_mini": ClipSpec(_mini, None),
    "clip_vitb32": ClipSpec(_vitb32, "openai/clip-vit-base-patch32"),
}


def build_clip(name: str, weights: str | Path | None = None) -> Clip:
    """Both towers and the tokenizer, float32, on the CPU.

    Args:
        name: one of `CLIPS`.
        weights: a folder as `transformers` writes it (config.json, model.safetensors or pytorch_model.bin, and the
            tokenizer's files), "random" or "random:SEED" with a tokenizer of single bytes, or None (or "") for the
            official ones, taken from the library's cache or its host.
    Raises: UserError for an unknown name, a folder that is none of a CLIP, or weights that cannot be had.
    """
    spec, text = _spec(name), str(weights or "")
    seed = parse_random(text)
    if seed is not None:
        return random_clip(spec.config(), seed)
    if text and not Path(text).is_dir():
        raise UserError(
            f"no folder {text}: give one with config.json, model.safetensors and the tokenizer's files, as "
            "transformers' save_pretrained writes it"
        )
    place = text or spec.weights
    if place is None:
        raise UserError(
            f"{name} has no weights that could be fetched, and none ship; train it with configs/pretrain/{name}.yaml and "
            "give the folder, or take random:0 for untrained ones"
        )
    return _read(place, name)


def clip_config(name: str) -> CLIPConfig:
    """The architecture of a named CLIP, to be changed. Raises: UserError for an unknown name."""
    return _spec(name).config()


def _spec(name: str) -> ClipSpec:
    if name not in CLIPS:
        raise UserError(f"unknown CLIP {name!r}; known: {', '.join(CLIPS)}")
    return CLIPS[name]


def random_clip(config: CLIPConfig, seed: int, tokenizer: CLIPTokenizer | None = None) -> Clip:
    """One with weights drawn at random. Args: tokenizer: by default one that knows single bytes."""
    tokenizer = tokenizer or byte_tokenizer()
    config.text_config.vocab_size = max(config.text_config.vocab_size, len(tokenizer))
    config.text_config.bos_token_id = tokenizer.bos_token_id
    config.text_config.eos_token_id = tokenizer.eos_token_id
    clip = Clip(build_seeded(lambda: CLIPModel(config), seed), tokenizer)
    clip.weights_info = WeightsInfo(f"random:{seed}", module_sha256(clip.model))
    return clip


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own words and bars: what went wrong is said once, by us."""
    libraries = (transformers_logging, hub_logging)
    before = [library.get_verbosity() for library in libraries]
    bars = transformers_logging.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, before, strict=True):
            library.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _read(place: str, name: str) -> Clip:
    """From a folder, or by an official name."""
    local = Path(place).is_dir()
    try:
        with _quiet():
            model, found = CLIPModel.from_pretrained(
                place, dtype="float32", output_loading_info=True, local_files_only=local
            )
            tokenizer = CLIPTokenizer.from_pretrained(place, local_files_only=local)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{name} cannot be read from {place}: {reason} Fetch it elsewhere and give its folder"
        ) from error
    missing = [*found["missing_keys"], *found["mismatched_keys"]]
    if missing:
        raise UserError(
            f"{place} is not of {name}: {len(missing)} parameters missing or of another shape (first: {missing[0]})"
        )
    clip = Clip(model, tokenizer)
    clip.weights_info = WeightsInfo(Path(place).name, module_sha256(model))
    return clip
