"""Trunks of h: networks that turn an image of 3 channels into `outputs` numbers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torchvision
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks import BACKBONES, official_file
from boxrefine_d2.networks.weights import check_numbers, read_state_dict

_NORMS: dict[str, Callable[..., nn.Module]] = {
    "BN": nn.BatchNorm2d,
    "SyncBN": nn.SyncBatchNorm,
    "FrozenBN": FrozenBatchNorm2d,
}
_BY = "MODEL.MAP_DETECTOR.WEIGHTS FILE"
# last layer of each trunk
_LAST = {"resnet50": "fc", "resnet18": "fc", "vgg16": "classifier.6", "small_cnn": "head.3"}
TRUNKS = tuple(_LAST)
SMALL_CNN_PLACES = 4
# least length of the shortest side of an input that each trunk can read, pixels
_LEAST_SIDE = {"resnet50": 1, "resnet18": 1, "vgg16": 32, "small_cnn": 4}


class SmallCNN(nn.Module):
    """Six convolutions and two linear layers, one million parameters (ours).

    A ResNet averages over the whole input before its last layer. The last layers of this network
    see 4 x 4 places instead, so h need not infer positions from the border of its input.
    It is made for `heatmap_as_image` and short runs.
    """

    def __init__(self, norm: Callable[..., nn.Module]):
        super().__init__()

        def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
            padding = 0 if size == stride else size // 2
            layer: nn.Module = Conv2dNormActivation(
                inputs, outputs, size, stride, padding, norm_layer=norm
            )
            return layer

        self.features = nn.Sequential(
            conv(3, 32, size=4, stride=4),
            conv(32, 64),
            conv(64, 64, stride=2),
            conv(64, 128),
            conv(128, 128, stride=2),
            conv(128, 128),
            nn.AdaptiveAvgPool2d(SMALL_CNN_PLACES),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * SMALL_CNN_PLACES**2, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 1),  # `build_trunk` replaces it by a layer of the requested size
        )

    def forward(self, map_images: Tensor) -> Tensor:
        """Return (B, outputs) numbers of (B, 3, H, W) maps."""
        outputs: Tensor = self.head(self.features(map_images))
        return outputs


def build_trunk(name: str, *, outputs: int, norm: str, weights: str) -> nn.Module:
    """Return a network of torchvision, or `SmallCNN`, whose last layer has `outputs` numbers.

    The network raises a UserError for inputs that are too small for it.

    Args: weights: a file, a name of `BACKBONES` for its official file, or "random".
    Raises: UserError for an unknown name or norm, or a file of another network.
    """
    check_choice("MODEL.MAP_DETECTOR.NORM", norm, _NORMS)
    builders: dict[str, Callable[[], nn.Module]] = {
        "resnet50": partial(torchvision.models.resnet50, norm_layer=_NORMS[norm]),
        "resnet18": partial(torchvision.models.resnet18, norm_layer=_NORMS[norm]),
        "vgg16": torchvision.models.vgg16,
        "small_cnn": partial(SmallCNN, _NORMS[norm]),
    }
    check_choice("MODEL.MAP_DETECTOR.TRUNK", name, builders)
    trunk = builders[name]()
    if weights != "random":
        path = official_file(weights, _BY) if weights in BACKBONES else Path(weights)
        _load(trunk, path, name)
    parent, _, last = _LAST[name].rpartition(".")
    owner = trunk.get_submodule(parent)
    setattr(owner, last, nn.Linear(getattr(owner, last).in_features, outputs))
    trunk.register_forward_pre_hook(partial(_check_side, name))
    return trunk


def _check_side(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
    height, width = inputs[0].shape[2:]
    if min(height, width) < _LEAST_SIDE[name]:
        raise UserError(
            f"h's input has {height} x {width} pixels, and {name} needs at least "
            f"{_LEAST_SIDE[name]} a side; raise INPUT.SQUARE_SIZE, or lower "
            "MODEL.MAP_DETECTOR.INPUT_POOL"
        )


def _load(trunk: nn.Module, path: Path, name: str) -> None:
    """Load a file. It must hold everything but the last layer, which DINO's ResNet-50 lacks."""
    state, expected = read_state_dict(path), trunk.state_dict()
    wanted = {
        key
        for key in expected
        if not key.startswith(f"{_LAST[name]}.") and not key.endswith("num_batches_tracked")
    }
    absent = sorted(
        key for key in wanted if key not in state or state[key].shape != expected[key].shape
    )
    if absent:
        raise UserError(
            f"weights file {path} is not of {name}: {len(absent)} parameters are missing or of "
            f"another shape (first: {absent[0]})"
        )
    loaded = {key: state[key].to(expected[key].dtype) for key in wanted}
    check_numbers(loaded, path)
    trunk.load_state_dict(loaded, strict=False)
