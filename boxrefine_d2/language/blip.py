"""BLIP (arXiv:2201.12086) as "What is Where by Looking" (NeurIPS 2022) asks it for captions, through `transformers`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms.v2.functional as T
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from transformers import AutoTokenizer, BlipForConditionalGeneration, PreTrainedTokenizerBase

from .captioners import Captioner
from .loading import check_folder, read_pretrained

OFFICIAL = (
    "Salesforce/blip-image-captioning-base"  # ViT-B/16, captions filtered by the large network
)
PROMPT = "a picture of "
# of the pictures that its towers, like CLIP's, were trained on
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# of the release; the tokens of the prompt count
BEAMS, MAX_LENGTH, MIN_LENGTH = 3, 30, 5


class BlipCaptioner(Captioner):
    """Beam search from a prompt that the captions do not show."""

    def __init__(self, model: BlipForConditionalGeneration, tokenizer: PreTrainedTokenizerBase):
        self._model: BlipForConditionalGeneration = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        vision: Any = model.config.vision_config  # the library has read it: no dictionary, not None
        self._side: int = vision.image_size

    def to(self, device: torch.device, dtype: torch.dtype) -> "BlipCaptioner":
        """Itself, on a device and in a precision."""
        model: nn.Module = self._model
        model.to(device, dtype)
        return self

    def read(self, crops: Sequence[Tensor]) -> list[str]:
        """See `Captioner`."""
        pixels = torch.stack([self._input(crop) for crop in crops])
        prompts = self._tokenizer([PROMPT] * len(pixels), return_tensors="pt")
        device = self._model.device
        ids = self._model.generate(
            pixel_values=pixels.to(device, self._model.dtype),
            **{key: prompts[key].to(device) for key in ("input_ids", "attention_mask")},
            num_beams=BEAMS,
            max_length=MAX_LENGTH,
            min_length=MIN_LENGTH,
        )
        texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text[len(PROMPT) :].strip() for text in texts]

    def _input(self, crop: Tensor) -> Tensor:
        """(3, side, side), squeezed."""
        size = [self._side, self._side]
        resized = T.resize(crop, size, InterpolationMode.BICUBIC, antialias=True)
        normalised: Tensor = T.normalize(resized.float() / 255, MEAN, STD)
        return normalised


def build_blip(weights: str | Path | None = None) -> BlipCaptioner:
    """The captioner, float32, on the CPU.

    Args: weights: a folder as `transformers` writes it (config.json, model.safetensors, the tokenizer's files), or None or
        "" for the official one, taken from the library's cache or its host.
    Raises: UserError for a folder that is none of a BLIP, or weights that cannot be had.
    """
    if weights:
        check_folder(str(weights))
    return BlipCaptioner(
        *read_pretrained(
            BlipForConditionalGeneration,
            AutoTokenizer,
            str(weights or OFFICIAL),
            what="the captioner blip",
        )
    )
