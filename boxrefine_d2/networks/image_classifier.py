"""Classifier of images whose linear head also tells where its classes are (CAM, CVPR 2016).

The score of a class is linear in the mean of the trunk's features. The same weights on the features
of each cell are the class's activation map.

Shapes: B images, C channels, h x w cells, H x W pixels, K outputs.
"""

import json
from collections.abc import Sequence
from pathlib import Path

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

    def outputs_of(self, features: Tensor) -> Tensor:
        """Return the outputs (B, K) of features (B, C, h, w)."""
        outputs: Tensor = self.head(features.mean(dim=(2, 3)))
        return outputs

    def activation(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the activation of a class for each image, (B, h, w); it may be negative.

        Args: features: (B, C, h, w).  classes: (B,) int64.
        """
        return torch.einsum("bchw,bc->bhw", features, self.head.weight[classes])

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
        if facet not in (None, *self.facets):
            raise ValueError(f"a classifier has the facet 'heatmap' only, not {facet!r}")
        features = self.trunk(images).float()
        maps = self.activation(features, self.outputs_of(features).argmax(dim=1))
        size = (images.shape[-2], images.shape[-1])
        return FeatureMap(
            pixel_maps(maps, size)[:, None], 1, image_sizes or [size] * len(images), "heatmap"
        )


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


def file_facts(network: ImageClassifier) -> dict[str, str]:
    """Return the facts that a file of a classifier holds beside its tensors."""
    return {
        "trunk": network.trunk_name,
        "outputs": str(network.head.out_features),
        "classes": json.dumps(network.classes, ensure_ascii=False),
    }


def read_classifier(path: str | Path) -> ImageClassifier:
    """Return the classifier of a file that its training wrote, in eval mode, on the CPU.

    Raises: UserError for a file that is missing, damaged or of another network.
    """
    trunk_name, outputs, classes = _facts_of(Path(path))
    with torch.device("meta"):
        network = ImageClassifier(empty_trunk(trunk_name), trunk_name, outputs, classes)
    state = read_state_dict(path)
    load_into(network, state, name=f"a classifier with the trunk {trunk_name}", path=Path(path))
    network.weights_info = WeightsInfo(Path(path).name, file_sha256(Path(path)))
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
