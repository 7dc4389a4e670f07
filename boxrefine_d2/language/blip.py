"""BLIP (arXiv:2201.12086) through `transformers`, with the settings of "What is Where by Looking".

That paper (NeurIPS 2022) takes its captions from BLIP.
"""

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
# Mean and standard deviation of the images on which its towers, like CLIP's, were trained.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# Settings of the release; the lengths are in tokens and include the prompt.
BEAMS, MAX_LENGTH, MIN_LENGTH = 3, 30, 5


class BlipCaptioner(Captioner):
    """Captioner by beam search from a prompt; the prompt is removed from the captions."""

    def __init__(self, model: BlipForConditionalGeneration, tokenizer: PreTrainedTokenizerBase):
        self._model: BlipForConditionalGeneration = model.requires_grad_(False).eval()
        self._tokenizer = tokenizer
        vision: Any = model.config.vision_config  # its type allows a dictionary or None
        self._side: int = vision.image_size

    def to(self, device: torch.device, dtype: torch.dtype) -> "BlipCaptioner":
        """Return the captioner itself, moved to a device and a precision."""
        model: nn.Module = self._model
        model.to(device, dtype)
        return self

    def read(self, crops: Sequence[Tensor]) -> list[str]:
        """Return one phrase per crop, see `Captioner`."""
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
        """Return the input, (3, side, side); the crop is squeezed to a square."""
        size = [self._side, self._side]
        resized = T.resize(crop, size, InterpolationMode.BICUBIC, antialias=True)
        normalised: Tensor = T.normalize(resized.float() / 255, MEAN, STD)
        return normalised


def build_blip(weights: str | Path | None = None) -> BlipCaptioner:
    """Return the captioner, float32, on the CPU.

    Args: weights: a folder as `transformers` writes it (config.json, model.safetensors, the files
        of the tokenizer). None or "" stands for the official network from the library's cache or
        its host.
    Raises: UserError for a folder that does not hold a BLIP, or weights that cannot be fetched.
    """
    if weights:
        check_folder(str(weights))
    return BlipCaptioner(
        *read_pretrained(
            BlipForConditionalGeneration,
            AutoTokenizer,
            str(weights or OFFICIAL),
            name="the captioner blip",
        )
    )
