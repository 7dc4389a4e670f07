"""Phrase localisation with g, from image and text to point and boxes, on the CPU.

g is the papers' VGG16 at 304 pixels with random weights. CLIP ViT-B/32 encodes the texts. Boxes are
drawn as in the release.

As in Flickr30k, an entity has several phrasings, and images share many phrasings. Ours reads each
image and each text once, and the phrases of an image share the first convolution that follows the
text in g. The baseline does all of this for each phrase. A note gives the result of the small g and
the small CLIP that ship.
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
ALL = 1000  # largest number of boxes: the release takes all of them when it evaluates
TARGET = 3.0
MAX_DIFFERENCE = 1e-5  # between heatmaps in (0, 1), and between the values at their points
MIN_IOU = 0.93  # IoU of the narrowest box that counts, 16 x 304, after a shift of one heatmap pixel

Queries = list[list[str]]


@torch.no_grad()
def grounding_eval() -> Result:
    """Measure images with four entities of three phrasings each."""
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
    """Differences between our results and the baseline's.

    Attributes:
        entities: number of entities compared.
        heatmap_difference: largest difference of a heatmap pixel.
        points: number of equal points.
        darker: largest drop of the baseline's heatmap from its own point to our point.
        boxes: number of boxes, without the unions.
        least_iou: smallest IoU of a box of ours, or of the union of our boxes, with the baseline's
            at the same rank; 0 if the numbers of boxes differ.
    """

    entities: int = 0
    heatmap_difference: float = 0.0
    points: int = 0
    darker: float = 0.0
    boxes: int = 0
    least_iou: float = 1.0

    def add(self, expected: Answer, heatmap: Tensor, localisation: PhraseLocalisation) -> None:
        """Add one entity.

        Args:
            expected: the baseline's answer.
            heatmap: (S, S), ours.
            localisation: point and boxes that we draw from it.
        """
        difference = np.abs(expected.heatmap - heatmap.numpy()).max()
        self.entities += 1
        self.heatmap_difference = max(self.heatmap_difference, float(difference))
        self.points += localisation.point == expected.point
        (x, y), brightness = localisation.point, resized(expected.heatmap, expected.size)
        self.darker = max(self.darker, float(brightness.max() - brightness[y, x]))
        self.boxes += len(expected.boxes)
        ours = torch.tensor([*localisation.boxes, localisation.box], dtype=torch.float64)
        published = torch.from_numpy(np.concatenate([expected.boxes, expected.union[None]]))
        same_number = len(published) == len(ours)
        iou = box_iou(published, ours).diagonal().min().item() if same_number else 0.0
        self.least_iou = min(self.least_iou, iou)

    def line(self) -> str:
        """Return the line to print."""
        return (
            f"of {self.entities} points {self.points} are equal, "
            f"{self.boxes} boxes have an IoU of {self.least_iou:.4f} or more, "
            f"heatmaps differ by {self.heatmap_difference:.1e} or less"
        )

    def failures(self) -> list[str]:
        """Return a line for each check that failed."""
        checks = {
            f"heatmaps differ by more than {MAX_DIFFERENCE}": self.heatmap_difference
            <= MAX_DIFFERENCE,
            f"a point is darker by more than {MAX_DIFFERENCE}": self.darker <= MAX_DIFFERENCE,
            f"the IoU of a box is below {MIN_IOU}": self.least_iou >= MIN_IOU,
        }
        return [text for text, holds in checks.items() if not holds]


def release_rule() -> DiscoveryRule:
    """Return the rule that draws boxes around a heatmap's contours as the release does."""
    return build_rule("contours", load_config(RELEASE, []), max_objects=ALL)


def _measured(heatmap_name: str, clip_name: str) -> tuple[Pairs, Agreement]:
    """Time both ways on images with their queries, one image per pair.

    Ours keeps the texts that it has encoded from image to image, as in an evaluation.
    """
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
            image_features = features[number : number + 1]
            return network.draw_phrases(image_features, texts.text(phrases), (SIDE, SIDE))

        (heatmaps,) = averaged_heatmaps([queries], draw)
        return heatmaps, found_in_heatmaps(heatmaps, rule, size)

    def published(image: Tensor, queries: Queries, size: tuple[int, int]) -> list[Answer]:
        return [
            answer(network, clip.model, clip.tokenizer, image, phrasings, size)
            for phrasings in queries
        ]

    for run in (ours, published):  # warm up, with a text that is not used again
        run(_image(0), [["nothing"]], VOC_SIZES[0])
    pairs, agreement = Pairs(), Agreement()
    for number in tqdm(range(IMAGES), desc=f"images, {heatmap_name}", leave=False):
        inputs = (_image(number), _queries(number), VOC_SIZES[number % len(VOC_SIZES)])
        answers, (heatmaps, localisations) = pairs.add(
            lambda inputs=inputs: published(*inputs), lambda inputs=inputs: ours(*inputs), 1
        )
        for entity in zip(answers, heatmaps, localisations, strict=True):
            agreement.add(*entity)
    return pairs, agreement


def _settle(network: TextHeatmap, clip: Clip) -> None:
    """Change a new network so that its heatmaps are not flat.

    Rounding would choose the points and boxes of flat heatmaps. The batch norms take the statistics
    of some images. The last convolution is scaled and shifted to make a quarter of the pixels
    brighter than 0.5.
    """
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
    """Return a scene, (3, S, S) RGB in [-1, 1]."""
    return stretched_scene(number, (SIDE, SIDE))[0] / 127.5 - 1


def _queries(number: int) -> Queries:
    """Return the queries of an image; it shares three of its entities with the next image."""
    entities = [ENTITIES[(number + i) % len(ENTITIES)] for i in range(ENTITIES_OF_IMAGE)]
    return [[PROMPT + phrase for phrase in phrasings] for phrasings in entities]
