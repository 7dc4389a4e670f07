"""Agreement of the rules with independent dense implementations, on the features of any data set.

    python benchmarks/agreement.py --data folder:PHOTOS
        [--images 100] [--backbone dino_mini] [--weights FILE]

Exits with 1 if a rule falls below its required agreement.
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
    """Counts of equal boxes and IoUs of masks of two implementations.

    Attributes:
        boxes: per rule, one bool per image: the two boxes are equal.
        differing: per rule, the images with different boxes.
        mask_ious: IoU of MaskCut's two masks of the same round; 0 if only one side has a mask.
        unreadable: images left out because they could not be read.
    """

    boxes: dict[str, list[bool]] = field(default_factory=lambda: {"lost": [], "tokencut": []})
    differing: dict[str, list[str]] = field(default_factory=lambda: {"lost": [], "tokencut": []})
    mask_ious: list[float] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def holds(self) -> bool:
        """Tell if LOST and TokenCut agree on every image, and MaskCut's masks on average."""
        every = all(all(of_rule) and of_rule for of_rule in self.boxes.values())
        return every and float(np.mean(self.mask_ious)) >= MASKCUT_IOU

    def lines(self) -> list[str]:
        """Return a line for each rule, and one for each image that differs or was left out."""
        text = []
        for rule, equal in self.boxes.items():
            text.append(f"{rule}: {sum(equal)} of {len(equal)} boxes are equal")
            text += [f"  differs: {name}" for name in self.differing[rule]]
        perfect = sum(iou == 1 for iou in self.mask_ious)
        text.append(
            f"maskcut: mean IoU {np.mean(self.mask_ious):.4f} over {len(self.mask_ious)} masks, "
            f"{perfect} are equal"
        )
        return text + [f"unreadable: {name}" for name in self.unreadable]


@torch.inference_mode()
def measure_agreement(data: str, images: int, network: VisionTransformer) -> Agreement:
    """Compare the implementations on the first `images` images of a dataset spec."""
    rules = {name: build_rule(name) for name in ("lost", "tokencut")}
    maskcut = build_rule("maskcut", crf=False)
    whole, squeezed = WholeImageMapper(MAX_SIDE), SqueezedImageMapper(maskcut.input_side)
    agreement = Agreement()
    for record in tqdm(load_spec(data).records[:images], unit="img"):
        try:
            image, squeezed_image = whole(record)["image"], squeezed(record)["image"]
        except ImageReadError:
            agreement.unreadable.append(record["file_name"])
            continue
        features = read_map([image], network, "key")
        for name, box in zip(rules, _published_boxes(features), strict=True):
            [ours] = rules[name](features)
            agreement.boxes[name].append(torch.equal(ours.boxes[0], box))
            if not agreement.boxes[name][-1]:
                agreement.differing[name].append(record["file_name"])
        agreement.mask_ious += _mask_ious(maskcut, read_map([squeezed_image], network, "key"))
    return agreement


def _published_boxes(features: FeatureMap) -> Iterator[Tensor]:
    tokens, [size] = features.tokens()[0], features.image_sizes
    stride = round(features.strides[0])
    yield lost_box(tokens, features.grid_size, stride, size, stable=True)
    yield box_of_cells(tokencut_mask(tokens.numpy(), features.grid_size), stride, size)


def _mask_ious(rule: object, features: FeatureMap) -> list[float]:
    [ours] = rule(features)
    published = maskcut_masks(features.tokens()[0].numpy(), features.grid_size)
    published = [mask for mask in published if mask.any()]
    pairs = zip(ours.masks.numpy(), published, strict=False)
    ious = [mask_iou(one, other) for one, other in pairs]
    return ious + [0.0] * abs(len(ours.masks) - len(published))


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="agreement.py", description=__doc__)
    parser.add_argument("--data", required=True, metavar="SPEC", help="dataset spec of the images")
    parser.add_argument(
        "--images", type=int, default=100, metavar="N", help="compare the first N images"
    )
    parser.add_argument(
        "--backbone", default="dino_mini", metavar="NAME", help="network that makes the features"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="its weights (default: shipped or official)"
    )
    args = parser.parse_args()

    def work() -> int:
        network = build_backbone(args.backbone, args.weights)
        agreement = measure_agreement(args.data, args.images, network)
        print("\n".join(agreement.lines()))
        return 0 if agreement.holds() else 1

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
