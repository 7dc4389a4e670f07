"""Network g of the weight map (arXiv:2111.14131): an image in, a weight for every pixel out.

A U-Net over a ResNet. The decoder doubles the resolution in each block, and reads the stage of the
encoder that has this resolution. Open in the paper and chosen here: the widths of the decoder, and
the ReLU between the two convolutions of a block.

Shapes: B images, C channels, H x W pixels.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from detectron2.modeling.backbone.resnet import BasicStem
from torch import Tensor, nn

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import FeatureMap

from .build_network import build_untrained
from .checkpoint_file import read_metadata
from .map_network import MapNetwork, Sizes
from .mini_trunk import MiniTrunk
from .trunks import own_file, trunk_state
from .weights import (
    WeightsInfo,
    file_sha256,
    load_into,
    module_sha256,
    parse_random,
    read_state_dict,
)

WIDTHS = (256, 128, 64, 32, 16)  # of the decoder, from the deepest block on


class Encoder(nn.Module):
    """ResNet whose stages are read one by one.

    Attributes: widths: channels of the stages, the finest first; each halves the resolution.
    """

    widths: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the stages, the finest first, for images (B, 3, H, W)."""
        raise NotImplementedError


class ResNetEncoder(Encoder):
    """torchvision's ResNet up to layer4, under its names, with a stride of 32 pixels."""

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, depth: int):
        super().__init__()
        net = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        last = net.fc.in_features
        self.widths = (64, last // 8, last // 4, last // 2, last)
        for name, child in net.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, child)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the stem's ReLU and the outputs of layer1 to layer4."""
        stages = [self.relu(self.bn1(self.conv1(images)))]
        features = self.maxpool(stages[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = layer(features)
            stages.append(features)
        return stages


class MiniEncoder(Encoder):
    """The trunk that ships, with a stride of 16 pixels."""

    widths = (64, 64, 128, 256)
    stem: BasicStem
    res2: nn.Module
    res3: nn.Module
    res4: nn.Module

    def __init__(self) -> None:
        super().__init__()
        for name, child in MiniTrunk().named_children():
            self.add_module(name, child)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the stem's ReLU and the outputs of res2 to res4."""
        stages = [F.relu(self.stem.conv1(images))]
        features = F.max_pool2d(stages[0], kernel_size=3, stride=2, padding=1)
        for layer in (self.res2, self.res3, self.res4):
            features = layer(features)
            stages.append(features)
        return stages


@dataclass(frozen=True)
class WeightMapForm:
    """Form of g.

    Attributes:
        encoder: key of `ENCODERS`.
        last_norm: whether a batch norm precedes the sigmoid, as in the paper; the sibling code has
            none.
        inner_activation: whether a batch norm and a ReLU stand between the convolutions of a block.
        widths: channels of the decoder's blocks, the deepest one first. An encoder of stride 16 has
            four blocks and takes the last four.
    """

    encoder: str = "resnet18"
    last_norm: bool = True
    inner_activation: bool = True
    widths: tuple[int, ...] = WIDTHS


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "resnet_mini": MiniEncoder,
    "resnet18": lambda: ResNetEncoder(18),
    "resnet34": lambda: ResNetEncoder(34),
    "resnet50": lambda: ResNetEncoder(50),
}


class WeightMap(MapNetwork):
    """Encoder and decoder; the map is in [0, 1] and has the size of the input.

    Attributes: form: the form that was built.
    """

    facets = ("heatmap",)

    def __init__(self, form: WeightMapForm):
        super().__init__()
        self.form = form
        self.encoder = ENCODERS[form.encoder]()
        widths = self.encoder.widths
        self.stride = 2 ** len(widths)
        skips = (*widths[-2::-1], 0)  # the last block has no stage of its resolution
        self.decoder, before = nn.ModuleList(), widths[-1]
        for width, skip in zip(form.widths[-len(skips) :], skips, strict=True):
            last = skip == 0
            after = 1 if last else width
            self.decoder.append(
                DecoderBlock(
                    before + skip,
                    width,
                    after,
                    inner_activation=form.inner_activation,
                    last_norm=form.last_norm or not last,
                )
            )
            before = after

    def file_facts(self) -> dict[str, str]:
        """Return the form of g."""
        return {"weight_map": json.dumps(asdict(self.form))}

    def logits(self, images: Tensor) -> Tensor:
        """Return the map before its sigmoid, (B, 1, H, W); H and W are multiples of the stride."""
        *skips, features = self.encoder(images)
        for number, block in enumerate(self.decoder):
            if number:
                features = F.relu(features)
            features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            if skips:
                features = torch.cat([features, skips.pop()], dim=1)
            features = block(features)
        logits: Tensor = features
        return logits

    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return the map of weights, (B, 1, H, W) float32, with stride 1.

        Raises: ValueError for a facet other than "heatmap".
        """
        if facet not in (None, *self.facets):
            raise ValueError(f"a weight map has the facet 'heatmap' only, not {facet!r}")
        maps = self.logits(images.to(next(self.parameters()).dtype)).float().sigmoid()
        sizes = image_sizes or [(images.shape[-2], images.shape[-1])] * len(images)
        return FeatureMap(maps, 1, sizes, "heatmap")


class DecoderBlock(nn.Sequential):
    """Two convolutions and their norms; the activation behind them is the caller's."""

    def __init__(
        self, before: int, width: int, after: int, *, inner_activation: bool, last_norm: bool
    ):
        layers: list[nn.Module] = [nn.Conv2d(before, width, 3, padding=1)]
        if inner_activation:
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        layers.append(nn.Conv2d(width, after, 3, padding=1))
        if last_norm:
            layers.append(nn.BatchNorm2d(after))
        super().__init__(*layers)


def new_weight_map(form: WeightMapForm, encoder_weights: str, *, seed: int) -> WeightMap:
    """Return g for a training: an encoder from a file and a random decoder, on the CPU.

    Args:
        encoder_weights: a file under the official names, "random", or "" for the shipped or the
            official file.
        seed: seed of all random weights.
    Raises: UserError for an unknown encoder, or a file that is missing or of another network.
    """
    check_choice("WEIGHT_MAP.ENCODER", form.encoder, ENCODERS)
    network = build_untrained(lambda: WeightMap(form), seed)
    if parse_random(encoder_weights) is not None:
        return network
    path = Path(encoder_weights) if encoder_weights else own_file(form.encoder)
    load_into(network.encoder, trunk_state(path), name=f"the encoder {form.encoder}", path=path)
    start = f"{path.name} + random:{seed}"
    network.weights_info = WeightsInfo(start, module_sha256(network))
    return network


def read_weight_map(path: str | Path) -> WeightMap:
    """Return the network of a file that its training wrote, in eval mode, on the CPU.

    Raises: UserError for a file that is missing, damaged or of another network.
    """
    path = Path(path)
    try:
        facts = json.loads(read_metadata(path)["weight_map"])
        form = WeightMapForm(**facts | {"widths": tuple(facts.get("widths", WIDTHS))})
        with torch.device("meta"):
            network = WeightMap(form)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path} is no weight map of this package; train one with configs/weight_map_1.yaml"
        ) from error
    load_into(network, read_state_dict(path), name="a weight map", path=path)
    network.weights_info = WeightsInfo(path.name, file_sha256(path))
    return network.eval()
