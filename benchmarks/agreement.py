"""Whether the rules draw what independent dense implementations draw, on the same features of any data set.

    python benchmarks/agreement.py --data folder:PHOTOS [--images 100] [--backbone dino_mini] [--weights FILE]

Exits 1 where a rule falls below what it is to reach.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from published import box_of_cells, lost_box
from published_cuts import maskcut_masks, tokencut_mask
from torch import Tensor
from tqdm import tqdm

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.data.images import ImageReadError
from boxrefine_d2.data.mappers import SqueezedImageMapper, WholeImageMapper
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.masks.agreement import mask_iou
from boxrefine_d2.networks import build_backbone, read_map
from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.structures import FeatureMap

MAX_SIDE = 800
MASKCUT_IOU = 0.99


@dataclass
class Agreement:
    """How often two implementations agree.

    Attributes:
        boxes: per rule, for each image whether the boxes are equal.
        differing: per rule, the images where they are not.
        mask_ious: of MaskCut's masks, each with the one of the same round; 0 where one side has none.
        unreadable: images left out.
    """

    boxes: dict[str, list[bool]] = field(default_factory=lambda: {"lost": [], "tokencut": []})
    differing: dict[str, list[str]] = field(default_factory=lambda: {"lost": [], "tokencut": []})
    mask_ious: list[float] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def holds(self) -> bool:
        """Whether LOST and TokenCut agree everywhere, and MaskCut's masks on average."""
        every = all(all(of_rule) and of_rule for of_rule in self.boxes.values())
        return every and float(np.mean(self.mask_ious)) >= MASKCUT_IOU

    def lines(self) -> list[str]:
        """A line for each rule, and one for each image that differs or was left out."""
        text = []
        for rule, equal in self.boxes.items():
            text.append(f"{rule}: {sum(equal)} of {len(equal)} boxes are equal")
            text += [f"  differs: {name}" for name in self.differing[rule]]
        perfect = sum(iou == 1 for iou in self.mask_ious)
        text.append(
            f"maskcut: mean IoU {np.mean(self.mask_ious):.4f} over {len(self.mask_ious)} masks, {perfect} are equal"
        )
        return text + [f"unreadable: {name}" for name in self.unreadable]


@torch.inference_mode()
def measure_agreement(data: str, images: int, network: VisionTransformer) -> Agreement:
    """Over the first so many images of a dataset spec."""
    rules = {name: build_rule(name) for name in ("lost", "tokencut")}
    maskcut = build_rule("maskcut", crf=False)
    whole, squeezed = WholeImageMapper(MAX_SIDE), SqueezedImageMapper(maskcut.input_side)
    found = Agreement()
    for record in tqdm(load_spec(data).records[:images], unit="img"):
        try:
            pictures = whole(record)["image"], squeezed(record)["image"]
        except ImageReadError:
            found.unreadable.append(record["file_name"])
            continue
        features = read_map([pictures[0]], network, "key")
        for name, box in zip(rules, _published_boxes(features), strict=True):
            [ours] = rules[name](features)
            found.boxes[name].append(torch.equal(ours.boxes[0], box))
            if not found.boxes[name][-1]:
                found.differing[name].append(record["file_name"])
        found.mask_ious += _mask_ious(maskcut, read_map([pictures[1]], network, "key"))
    return found


def _published_boxes(features: FeatureMap) -> Iterator[Tensor]:
    tokens, [size] = features.tokens()[0], features.image_sizes
    stride = round(features.strides[0])
    yield lost_box(tokens, features.grid_size, stride, size, stable=True)
    yield box_of_cells(tokencut_mask(tokens.numpy(), features.grid_size), stride, size)


def _mask_ious(rule: object, features: FeatureMap) -> list[float]:
    [ours] = rule(features)
    published = maskcut_masks(features.tokens()[0].numpy(), features.grid_size)
    theirs = [mask for mask in published if mask.any()]
    pairs = zip(ours.masks.numpy(), theirs, strict=False)
    ious = [mask_iou(one, other) for one, other in pairs]
    return ious + [0.0] * abs(len(ours.masks) - len(theirs))


def main() -> int:
    """The command."""
    parser = CommandParser(prog="agreement.py", description=__doc__)
    parser.add_argument("--data", required=True, metavar="SPEC")
    parser.add_argument("--images", type=int, default=100, metavar="N")
    parser.add_argument("--backbone", default="dino_mini", metavar="NAME")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    args = parser.parse_args()

    def work() -> int:
        network = build_backbone(args.backbone, args.weights)
        found = measure_agreement(args.data, args.images, network)
        print("\n".join(found.lines()))
        return 0 if found.holds() else 1

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
