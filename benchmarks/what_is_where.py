"""What is where by looking, from the pictures to captions and boxes, with the small networks that ship, on the CPU.

Published, as the paper's procedure reads: one region and one caption at a time, each text read anew, g on the whole picture
for each caption, in fp32. Ours reads the regions of all pictures by the batch and in bf16, each text and each picture once.
Selective search is the same for both, and is a good part of ours.
"""

import torch
from published_what_is_where import look
from scene_images import VOC_SIZES, stretched_scene
from timing import Pairs, Result
from tqdm import tqdm

from boxrefine_d2.grounding.what_is_where import WhatIsWhere
from boxrefine_d2.language.captioners import SHIPPED_PHRASES, read_phrases
from boxrefine_d2.structures import DescribedObject
from boxrefine_d2.training.setup import load_config

IMAGES, PAIRS = 4, 3
TARGET = 3.0
MIN_AGREEMENT = (
    0.9  # of the captions: two phrases may be as near to a region but for bf16's rounding
)


@torch.no_grad()
def what_is_where() -> Result:
    """Four pictures at a time."""
    changes = ["MODEL.DEVICE", "cpu", "MODEL.CAPTIONER.PRECISION", "bf16"]
    cfg = load_config("configs/demo/what_is_where.yaml", changes)
    model = WhatIsWhere(cfg).eval()
    phrases = read_phrases(SHIPPED_PHRASES)
    listed = model.clip.encode_text([cfg.GROUNDING.PROMPT + phrase for phrase in phrases])
    model.describe(_inputs(cfg.INPUT.SQUARE_SIZE, IMAGES * PAIRS)[:1])  # warm up
    pairs, found, same = Pairs(), 0, 0
    for number in tqdm(range(PAIRS), desc="pairs", leave=False):
        inputs = _inputs(cfg.INPUT.SQUARE_SIZE, number * IMAGES)
        theirs, ours = pairs.add(
            lambda inputs=inputs: [look(model, phrases, listed, x["image"]) for x in inputs],
            lambda inputs=inputs: model.describe(inputs),
            IMAGES,
        )
        for expected, described in zip(theirs, ours, strict=True):
            found += len(expected)
            same += sum(_is_same(one, described) for one in expected)
    result = Result(pairs, "image", TARGET)
    result.notes.append(f"{same} of {found} captions are the same, with the same number of regions")
    if same < MIN_AGREEMENT * found:
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
