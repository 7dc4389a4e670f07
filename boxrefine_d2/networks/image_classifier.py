"""Classifier of images whose linear head also tells where its classes are (CAM, CVPR 2016).

The score of a class is linear in the mean of the trunk's features. The same weights on the features
of each cell are the class's activation map.

Shapes: B images, C channels, h x w cells, H x W pixels, K outputs.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .build_network import build_untrained
from .checkpoint_file import read_metadata
from .map_network import MapNetwork, Sizes
from .trunks import Trunk, build_trunk, empty_trunk
from .weights import WeightsInfo, file_sha256, load_into, module_sha256, read_state_dict

Classes = tuple[str, ...]
Filled = TypeVar("Filled", bound=MapNetwork)


class ImageClassifier(MapNetwork):
    """Trunk, mean over the cells, and a linear head.

    Its map is the activation of the class that it predicts.

    Attributes:
        trunk: network of the features.
        head: linear layer from the C channels to the outputs.
        trunk_name: name of the trunk in `TRUNKS`.
        classes: names of the outputs, in order; () if the outputs are no classes.
    """

    facets = ("heatmap",)

    def __init__(self, trunk: Trunk, trunk_name: str, outputs: int, classes: Classes = ()):
        super().__init__()
        self.trunk, self.trunk_name, self.classes = trunk, trunk_name, classes
        self.stride = trunk.stride
        self.head = nn.Linear(trunk.channels, outputs)

    def file_facts(self) -> dict[str, str]:
        """Return the trunk, the number of outputs, and the classes."""
        return {
            "trunk": self.trunk_name,
            "outputs": str(self.head.out_features),
            "classes": json.dumps(self.classes, ensure_ascii=False),
        }

    def for_refinement(self) -> "ClassifierMap":
        """Return a map of the class that this classifier chooses; a copy of its trunk learns."""
        return ClassifierMap(self)

    def outputs_of(self, features: Tensor) -> Tensor:
        """Return the outputs (B, K) of features (B, C, h, w)."""
        pooled = features.mean(dim=(2, 3)).to(self.head.weight.dtype)
        outputs: Tensor = self.head(pooled).float()
        return outputs

    def activation(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the activation of a class for each image, (B, h, w); it may be negative.

        Args: features: (B, C, h, w).  classes: (B,) int64.
        """
        weights = self.head.weight[classes].to(features.dtype)
        return torch.einsum("bchw,bc->bhw", features, weights)

    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return the activation of the predicted class in [0, 1], with stride 1.

        Each map is scaled from its least to its largest value, then resized to the input.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the stride.
            image_sizes: (H, W) of each image before padding; the default is the padded size.
        Raises: ValueError for a facet other than "heatmap".
        """
        check_heatmap(facet)
        features = self.trunk(images).float()
        maps = self.activation(features, self.outputs_of(features).argmax(dim=1))
        return heatmap_of(maps, images, image_sizes)


class ClassifierMap(MapNetwork):
    """Map of a class that a frozen classifier chooses; a second trunk draws it, and may learn.

    Refinement changes features, so a classifier that learns could change its mind about the class
    of an image. Then its map would jump to another object, and its accuracy would fall. Here the
    classes stay those of the classifier, and the boxes of two networks are of the same class.

    Attributes:
        classifier: frozen classifier.
        trunk: trunk of the map, at first a copy of the classifier's. The head that reads it is the
            classifier's.
    """

    facets = ("heatmap",)

    def __init__(self, classifier: ImageClassifier):
        super().__init__()
        self.stride = classifier.stride
        self.classifier = classifier.requires_grad_(False).eval()
        self.trunk = copy.deepcopy(classifier.trunk).requires_grad_(True)
        if hasattr(classifier, "weights_info"):
            self.weights_info = classifier.weights_info

    def file_facts(self) -> dict[str, str]:
        """Return the facts of the classifier, and that there is a second trunk."""
        return self.classifier.file_facts() | {"second_trunk": "true"}

    def requires_grad_(self, requires_grad: bool = True) -> "ClassifierMap":
        """Switch the gradients of the second trunk on or off."""
        self.trunk.requires_grad_(requires_grad)
        self.classifier.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> "ClassifierMap":
        """Set the mode of the second trunk."""
        super().train(mode)
        self.classifier.eval()
        return self

    @property
    def frozen_parts(self) -> Sequence[nn.Module]:
        """Classifier, which never learns."""
        return (self.classifier,)

    @property
    def first_learner(self) -> nn.Module:
        """Second trunk."""
        return self.trunk

    @torch.no_grad()
    def share(self, images: Tensor) -> Tensor:
        """Return the images, and a fourth channel with the number of the class to draw."""
        classes = self.classifier.outputs_of(self.classifier.trunk(images).float()).argmax(dim=1)
        plane = classes.to(images.dtype).view(-1, 1, 1, 1).expand_as(images[:, :1])
        return torch.cat([images, plane], dim=1)

    def map_of(self, shared: Tensor, image_sizes: Sizes | None = None) -> FeatureMap:
        """Return the map of the chosen class, as `ImageClassifier.forward` scales it."""
        images, classes = shared[:, :3], shared[:, 3, 0, 0].long()
        maps = self.classifier.activation(self.trunk(images).float(), classes)
        return heatmap_of(maps, images, image_sizes)

    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return the map of the chosen class, see `ImageClassifier.forward`."""
        check_heatmap(facet)
        return self.map_of(self.share(images), image_sizes)


def check_heatmap(facet: str | None) -> None:
    """Refuse any facet but the heatmap. Raises: ValueError."""
    if facet not in (None, "heatmap"):
        raise ValueError(f"a classifier has the facet 'heatmap' only, not {facet!r}")


def heatmap_of(maps: Tensor, images: Tensor, image_sizes: Sizes | None) -> FeatureMap:
    """Return maps (B, h, w) as a `FeatureMap` of stride 1 over images (B, 3, H, W)."""
    size = (images.shape[-2], images.shape[-1])
    heatmaps = pixel_maps(maps, size)[:, None]
    return FeatureMap(heatmaps, 1, image_sizes or [size] * len(images), "heatmap")


def pixel_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (B, h, w) scaled to [0, 1] and resized to (H, W); a constant map becomes 0."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    scaled = (maps - low) / torch.where(high > low, high - low, torch.inf)
    return F.interpolate(scaled[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def new_classifier(
    trunk_name: str, trunk_weights: str, outputs: int, *, seed: int, classes: Classes = ()
) -> ImageClassifier:
    """Return a classifier whose head has the random weights of a seed, in eval mode, on the CPU.

    Args:
        trunk_weights: see `build_trunk`.
        outputs: K.
    Raises: UserError (see `build_trunk`).
    """
    trunk = build_trunk(trunk_name, trunk_weights)
    network = build_untrained(lambda: ImageClassifier(trunk, trunk_name, outputs, classes), seed)
    start = f"{trunk.weights_info.source} + random:{seed}"
    network.weights_info = WeightsInfo(start, module_sha256(network))
    return network.eval()


def read_classifier(path: str | Path) -> ImageClassifier:
    """Return the classifier of a file that its training wrote, in eval mode, on the CPU.

    Raises: UserError for a file that is missing, damaged or of another network.
    """
    return _filled(_empty_classifier(Path(path)), Path(path))


def read_map_network(path: Path) -> ImageClassifier | ClassifierMap:
    """Return the map network of a classifier's file, before or after its refinement.

    Raises: UserError (see `read_classifier`), and for a network whose outputs are no classes.
    """
    network = _empty_classifier(path)
    if not network.classes:
        raise UserError(
            f"{path} holds an embedding, whose outputs are no classes; give a classifier"
        )
    if "second_trunk" not in read_metadata(path):
        return _filled(network, path)
    return _filled(network.for_refinement(), path)


def _empty_classifier(path: Path) -> ImageClassifier:
    trunk_name, outputs, classes = _facts_of(path)
    with torch.device("meta"):
        return ImageClassifier(empty_trunk(trunk_name), trunk_name, outputs, classes)


def _filled(network: Filled, path: Path) -> Filled:
    name = f"a classifier with the trunk {read_metadata(path)['trunk']}"
    load_into(network, read_state_dict(path), name=name, path=path)
    network.weights_info = WeightsInfo(path.name, file_sha256(path))
    return network.eval()


def _facts_of(path: Path) -> tuple[str, int, Classes]:
    facts = read_metadata(path)
    try:
        names = json.loads(facts["classes"])
        outputs, trunk = int(facts["outputs"]), facts["trunk"]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no classifier of this package: it does not name its trunk and classes; "
            "train one with configs/weight_map_classifier.yaml"
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: its classes are no list of names; was the file edited?")
    return trunk, outputs, tuple(names)


def check_classes(network: ImageClassifier, names: Sequence[str], data: str) -> None:
    """Refuse data whose classes are not those of a classifier, in its order.

    Args: names: names of the classes of the data.  data: the dataset spec, for the message.
    Raises: UserError with the first difference.
    """
    known = network.classes
    if tuple(names) == known:
        return
    if len(names) != len(known):
        raise UserError(
            f"{data} has {len(names)} classes, and the classifier {len(known)}; name data with the "
            "classes of its training, or train a classifier on this data"
        )
    place = next(i for i, (own, name) in enumerate(zip(known, names)) if own != name)
    raise UserError(
        f"{data}: class {place} is {names[place]!r}, and the classifier calls it "
        f"{known[place]!r}; name data with the classes of its training"
    )
