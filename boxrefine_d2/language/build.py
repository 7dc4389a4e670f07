"""Table of the CLIPs by name, and functions that build them with their weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from boxrefine_d2.errors import check_choice
from boxrefine_d2.networks.weights import WeightsInfo, build_seeded, module_sha256, parse_random

from .byte_tokenizer import byte_tokenizer
from .clip import OFFICIAL, PLAIN, Clip, Normalisation
from .loading import check_folder, read_pretrained

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class ClipSpec:
    """Configuration of a named CLIP, and the place of its own weights.

    Attributes:
        config: returns the configuration for random weights.
        weights: the folder that ships, or the name of the official weights on the host from which
            `transformers` fetches them.
    """

    config: Callable[[], CLIPConfig]
    weights: Path | str
    normalisation: Normalisation = PLAIN


def _vitb32() -> CLIPConfig:
    """Return the library's defaults: ViT-B/32, QuickGELU, 224 pixels, 77 tokens, 512 dimensions."""
    return CLIPConfig()


def _mini() -> CLIPConfig:
    """Return our small CLIP; its image tower starts from dino_mini and has the same patch, 16."""
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
            # Tokens of single bytes; the library warns of ids beyond the vocabulary.
            "bos_token_id": 512,
            "eos_token_id": 513,
            "pad_token_id": 513,
        },
        projection_dim=192,
    )


CLIPS: dict[str, ClipSpec] = {
    "clip_mini": ClipSpec(_mini, SHIPPED / "clip_mini"),
    "clip_vitb32": ClipSpec(_vitb32, "openai/clip-vit-base-patch32", OFFICIAL),
}


def build_clip(name: str, weights: str | Path | None = None) -> Clip:
    """Return both towers and the tokenizer, float32, on the CPU.

    Args:
        name: one of `CLIPS`.
        weights: a folder as `transformers` writes it (config.json, model.safetensors or
            pytorch_model.bin, and the files of the tokenizer), or "random" or "random:SEED", with
            a tokenizer of single bytes. None (or "") stands for the weights that ship, or the
            official ones from the library's cache or its host.
    Raises: UserError for an unknown name, a folder that does not hold a CLIP, or weights that
        cannot be fetched.
    """
    spec, text = _spec(name), str(weights or "")
    seed = parse_random(text)
    if text and seed is None:
        check_folder(text)
    clip = (
        _read(text or str(spec.weights), name) if seed is None else random_clip(spec.config(), seed)
    )
    clip.normalisation = spec.normalisation
    return clip


def clip_config(name: str) -> CLIPConfig:
    """Return a new configuration of a named CLIP. Raises: UserError for an unknown name."""
    return _spec(name).config()


def _spec(name: str) -> ClipSpec:
    check_choice("CLIP", name, CLIPS)
    return CLIPS[name]


def random_clip(config: CLIPConfig, seed: int, tokenizer: CLIPTokenizer | None = None) -> Clip:
    """Return a CLIP with random weights. Args: tokenizer: by default one of single bytes."""
    tokenizer = tokenizer or byte_tokenizer()
    text: Any = config.text_config  # its type allows a dictionary or None
    text.vocab_size = max(text.vocab_size, len(tokenizer))
    text.bos_token_id = tokenizer.bos_token_id
    text.eos_token_id = tokenizer.eos_token_id
    clip = Clip(build_seeded(lambda: CLIPModel(config), seed), tokenizer)
    clip.weights_info = WeightsInfo(f"random:{seed}", module_sha256(clip.model))
    return clip


def _read(place: str, name: str) -> Clip:
    """Return the CLIP of a folder or of an official name."""
    model, tokenizer = read_pretrained(CLIPModel, CLIPTokenizer, place, name=name)
    clip = Clip(model, tokenizer)
    clip.weights_info = WeightsInfo(Path(place).name, module_sha256(model))
    return clip
