""" "What is Where by Looking" from images to captions and boxes, on the CPU.

Both use the small networks that ship. The baseline follows the paper's procedure in fp32: it reads
one region and one caption at a time, encodes each text again, and runs g on the whole image for
each caption. Ours reads the regions of all images in batches and in bf16, and each text and each
image once. Both run the same selective search, which takes a large part of our time.
"""

import torch
from published_what_is_where import describe_image
from scene_images import VOC_SIZES, stretched_scene
from timing import Pairs, Result
from tqdm import tqdm

from boxrefine_d2.grounding.what_is_where import WhatIsWhere
from boxrefine_d2.language.captioners import SHIPPED_PHRASES, read_phrases
from boxrefine_d2.structures import DescribedObject
from boxrefine_d2.training.setup import load_config

IMAGES, PAIRS = 4, 3
TARGET = 3.0
# Smallest share of equal captions: bf16's rounding may decide between two equally near phrases.
MIN_AGREEMENT = 0.9


@torch.no_grad()
def what_is_where() -> Result:
    """Measure four images at a time."""
    changes = ["MODEL.DEVICE", "cpu", "MODEL.CAPTIONER.PRECISION", "bf16"]
    cfg = load_config("configs/demo/what_is_where.yaml", changes)
    model = WhatIsWhere(cfg).eval()
    phrases = read_phrases(SHIPPED_PHRASES)
    embeddings = model.clip.encode_text([cfg.GROUNDING.PROMPT + phrase for phrase in phrases])
    model.describe(_inputs(cfg.INPUT.SQUARE_SIZE, IMAGES * PAIRS)[:1])  # warm up
    pairs, captions, same = Pairs(), 0, 0
    for number in tqdm(range(PAIRS), desc="pairs", leave=False):
        inputs = _inputs(cfg.INPUT.SQUARE_SIZE, number * IMAGES)
        published, ours = pairs.add(
            lambda inputs=inputs: [
                describe_image(model, phrases, embeddings, x["image"]) for x in inputs
            ],
            lambda inputs=inputs: model.describe(inputs),
            IMAGES,
        )
        for expected, described in zip(published, ours, strict=True):
            captions += len(expected)
            same += sum(_is_same(one, described) for one in expected)
    result = Result(pairs, "image", TARGET)
    result.notes.append(
        f"{same} of {captions} captions are the same, with the same number of regions"
    )
    if same < MIN_AGREEMENT * captions:
        result.failed.append(f"fewer than {MIN_AGREEMENT:.0%} of the captions are the same")
    return result


def _is_same(one: tuple[str, int], described: list[DescribedObject]) -> bool:
    return one in [(it.phrase, it.regions) for it in described]


def _inputs(side: int, start: int) -> list[dict[str, object]]:
    inputs = []
    for number in range(start, start + IMAGES):
        height, width = VOC_SIZES[number % len(VOC_SIZES)]
        image, _ = stretched_scene(number, (side, side))
        inputs.append({"image": image.to(torch.uint8), "height": height, "width": width})
    return inputs
