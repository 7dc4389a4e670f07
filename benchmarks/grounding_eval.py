"""What g finds for the phrases of an image, from picture and text to point and boxes: the papers' VGG16 at 304 pixels
with random weights, texts by CLIP ViT-B/32, boxes as in the release, on the CPU.

As in Flickr30k an entity has several phrasings, and images share many of them. Ours reads each image and each text
once, and the phrases of an image share the first convolution that follows the text in g; the baseline does all of it
for each phrase. Our own small g and CLIP are a note.
"""

from dataclasses import dataclass

import numpy as np
import torch
from published_grounding import Answer, answer, resized
from scene_images import VOC_SIZES, stretched_scene
from timing import Pairs, Result
from torch import Tensor, nn
from torchvision.ops import box_iou
from tqdm import tqdm

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.grounding.queries import averaged_heatmaps, found_in_heatmaps
from boxrefine_d2.language import Clip, build_clip
from boxrefine_d2.language.phrase_targets import PhraseTargets
from boxrefine_d2.networks.text_heatmap import TextHeatmap, build_heatmap
from boxrefine_d2.structures import PhraseLocalisation
from boxrefine_d2.training.setup import load_config

SIDE, IMAGES = 304, 4
ENTITIES = (
    ("a man", "the man", "a young man"),
    ("two dogs", "the dogs", "dogs"),
    ("a red bus", "the bus", "a bus"),
    ("grass", "the green grass", "a lawn"),
    ("a woman", "the woman", "a woman in a hat"),
    ("a table", "the table", "a wooden table"),
    ("the sky", "a blue sky", "clouds"),
)
ENTITIES_OF_IMAGE = 4
PROMPT = "image of "
RELEASE = "configs/grounding_refine_release.yaml"
ALL = 1000  # boxes: when it evaluates, the release takes all of them
TARGET = 3.0
MAX_DIFFERENCE = 1e-5  # of heatmaps in (0, 1), and so of how bright their points are
MIN_IOU = 0.93  # what a pixel of the heatmap leaves of the narrowest box that counts, 16 x 304

Queries = list[list[str]]


@torch.no_grad()
def grounding_eval() -> Result:
    """Images with four entities of three phrasings each."""
    pairs, agreement = _measured("heatmap_vgg16", "clip_vitb32")
    mini_pairs, mini_agreement = _measured("heatmap_mini", "clip_mini")
    mini = Result(mini_pairs, "image", None)
    result = Result(pairs, "image", TARGET)
    result.notes += [
        agreement.line(),
        f"heatmap_mini: {mini.ratio:.2f} x, {mini.published_ms:.0f} against {mini.ours_ms:.0f} ms; "
        f"{mini_agreement.line()}",
    ]
    for name, one in (("heatmap_vgg16", agreement), ("heatmap_mini", mini_agreement)):
        result.failed += [f"{name}: {failure}" for failure in one.failures()]
    return result


@dataclass
class Agreement:
    """How near what ours finds comes to what the baseline does.

    Attributes:
        entities: how many were compared.
        heatmap_difference: the largest of any pixel.
        points: equal ones.
        darker: how much the baseline's heatmap is so at our points than at its own, at most.
        boxes: how many there are, unions apart.
        least_iou: of a box of ours, or of their union, and the baseline's in the same place; 0 if it has not as many.
    """

    entities: int = 0
    heatmap_difference: float = 0.0
    points: int = 0
    darker: float = 0.0
    boxes: int = 0
    least_iou: float = 1.0

    def add(self, expected: Answer, heatmap: Tensor, found: PhraseLocalisation) -> None:
        """One entity. Args: heatmap: (S, S), ours."""
        difference = np.abs(expected.heatmap - heatmap.numpy()).max()
        self.entities += 1
        self.heatmap_difference = max(self.heatmap_difference, float(difference))
        self.points += found.point == expected.point
        (x, y), brightness = found.point, resized(expected.heatmap, expected.size)
        self.darker = max(self.darker, float(brightness.max() - brightness[y, x]))
        self.boxes += len(expected.boxes)
        ours = torch.tensor([*found.boxes, found.box], dtype=torch.float64)
        theirs = torch.from_numpy(np.concatenate([expected.boxes, expected.union[None]]))
        alike = box_iou(theirs, ours).diagonal().min().item() if len(theirs) == len(ours) else 0.0
        self.least_iou = min(self.least_iou, alike)

    def line(self) -> str:
        """To be printed."""
        return (
            f"of {self.entities} points {self.points} are equal, {self.boxes} boxes have an IoU of "
            f"{self.least_iou:.4f} or more, heatmaps differ by {self.heatmap_difference:.1e} or less"
        )

    def failures(self) -> list[str]:
        """The checks that did not hold."""
        checks = {
            f"heatmaps differ by more than {MAX_DIFFERENCE}": self.heatmap_difference
            <= MAX_DIFFERENCE,
            f"a point is darker by more than {MAX_DIFFERENCE}": self.darker <= MAX_DIFFERENCE,
            f"the IoU of a box is below {MIN_IOU}": self.least_iou >= MIN_IOU,
        }
        return [text for text, holds in checks.items() if not holds]


def release_rule() -> DiscoveryRule:
    """Boxes of a heatmap's contours as the release draws them."""
    return build_rule("contours", load_config(RELEASE, []), max_objects=ALL)


def _measured(heatmap_name: str, clip_name: str) -> tuple[Pairs, Agreement]:
    """A pair is an image with its queries. Texts that ours has read stay from image to image, as in an evaluation."""
    clip = build_clip(clip_name, "random:0")
    network = build_heatmap(heatmap_name, "random:0")
    _settle(network, clip)
    rule = release_rule()
    texts = PhraseTargets(clip, start_layer=-1)

    def ours(
        image: Tensor, queries: Queries, size: tuple[int, int]
    ) -> tuple[Tensor, list[PhraseLocalisation]]:
        features = network.read(image[None])

        def draw(number: int, phrases: list[str]) -> Tensor:
            of_image = features[number : number + 1]
            return network.draw_phrases(of_image, texts.text(phrases), (SIDE, SIDE))

        (heatmaps,) = averaged_heatmaps([queries], draw)
        return heatmaps, found_in_heatmaps(heatmaps, rule, size)

    def published(image: Tensor, queries: Queries, size: tuple[int, int]) -> list[Answer]:
        return [answer(network, clip.model, clip.tokenizer, image, of, size) for of in queries]

    for run in (ours, published):  # warm up, with a text that does not come back
        run(_image(0), [["nothing"]], VOC_SIZES[0])
    pairs, agreement = Pairs(), Agreement()
    for number in tqdm(range(IMAGES), desc=f"images, {heatmap_name}", leave=False):
        asked = (_image(number), _queries(number), VOC_SIZES[number % len(VOC_SIZES)])
        answers, (heatmaps, found) = pairs.add(
            lambda asked=asked: published(*asked), lambda asked=asked: ours(*asked), 1
        )
        for of_entity in zip(answers, heatmaps, found, strict=True):
            agreement.add(*of_entity)
    return pairs, agreement


def _settle(network: TextHeatmap, clip: Clip) -> None:
    """Heatmaps of a new network are flat, and rounding would choose their points and boxes. Batch norms take the
    statistics of some images, and the last convolution's numbers make a quarter of the pixels bright."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    images = torch.stack([_image(number) for number in range(len(ENTITIES))])
    text = clip.encode_text([PROMPT + phrasings[0] for phrasings in ENTITIES])
    network.train()(images, text)
    logits = network.eval()(images, text).logit()
    last, scale = network.up1.conv2, 1 / logits.std()
    last.weight *= scale
    last.bias.copy_(scale * (last.bias - logits.quantile(0.75)))


def _image(number: int) -> Tensor:
    """(3, S, S) RGB in [-1, 1]."""
    return stretched_scene(number, (SIDE, SIDE))[0] / 127.5 - 1


def _queries(number: int) -> Queries:
    """Of an image; its neighbours have three of its entities."""
    entities = [ENTITIES[(number + i) % len(ENTITIES)] for i in range(ENTITIES_OF_IMAGE)]
    return [[PROMPT + phrase for phrase in phrasings] for phrasings in entities]
