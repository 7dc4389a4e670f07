"""g: the heatmap of a phrase in an image ("What is Where by Looking", NeurIPS 2022; box-refinement paper, ICCV 2023).

Shapes: B images, P pairs of an image and a phrase, C channels of the map and of the text, h x w cells, S x S pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from torch import Tensor, nn

from boxrefine_d2.errors import UserError, check_choice

from .build import SHIPPED, official_file
from .build_network import build_network
from .map_network import RefinableNetwork
from .shared_upsampling import SharedUpsampling
from .weights import WeightsInfo, build_seeded, load_into, module_sha256, read_state_dict

# phrases drawn together on a CPU: with more their maps leave its caches, and each takes longer
PHRASES_ON_CPU = 2


class TextHeatmap(RefinableNetwork):
    """Encoder, bottleneck, the text as a gate on each cell, two steps of upsampling.

    Attributes: text_dim: C, of the CLIP whose phrases it was trained with.  stride: pixels of the encoder's cells.
    """

    weights_info: WeightsInfo

    def __init__(self, encoder: nn.Module, channels: int, text_dim: int, stride: int):
        """Args: encoder: (B, 3, S, S) to (B, channels, S / stride, S / stride)."""
        super().__init__()
        self.encoder = encoder
        self.bottleneck = _TwoConvolutions(channels, text_dim)
        self.up0 = _TwoConvolutions(text_dim, text_dim)
        self.up1 = _ToOneChannel(text_dim)
        self.text_dim, self.stride = text_dim, stride

    @property
    def first_learner(self) -> nn.Module:
        """The first part of the encoder."""
        return next(self.encoder.children())

    def forward(
        self, images: Tensor, text: Tensor, image_of: Sequence[int] | Tensor | None = None
    ) -> Tensor:
        """(P, 1, S, S) in (0, 1).

        Args:
            images: (B, 3, S, S) RGB in [-1, 1].
            text: (P, C) of length 1.
            image_of: the image of each pair; default: pair i is of image i.
        """
        features = self.read(images)
        if image_of is not None:
            features = features[torch.as_tensor(image_of, device=features.device)]
        return self.draw(features, text, (images.shape[2], images.shape[3]))

    def read(self, images: Tensor) -> Tensor:
        """(B, C, h, w), what the phrases of an image share."""
        features: Tensor = self.bottleneck(self.encoder(images))
        return features

    def draw(self, features: Tensor, text: Tensor, size: tuple[int, int]) -> Tensor:
        """(P, 1, H, W) in (0, 1) of (P, C, h, w) and (P, C).

        A cell is multiplied by the cosine of its features and the text, which may be negative. Cells of zeros, whose
        cosine the papers' code divides by zero, stay zeros.
        """
        return self._heatmaps(self.up0(_doubled(features * _gates(features, text))), size)

    @torch.no_grad()
    def draw_phrases(self, features: Tensor, text: Tensor, size: tuple[int, int]) -> Tensor:
        """(P, 1, H, W) as `draw`, of phrases of one image, which share the first convolution.

        It is for networks in eval mode, and there is no gradient.

        Args: features: (1, C, h, w).  text: (P, C).
        """
        if len(text) == 1:  # it would share with none
            return self.draw(features, text, size)
        first = SharedUpsampling(self.up0.conv1, features[0])
        parts = text.split(PHRASES_ON_CPU if text.device.type == "cpu" else len(text))
        maps = (self.up0.after_first(first(_gates(features, part))) for part in parts)
        return torch.cat([self._heatmaps(of_part, size) for of_part in maps])

    def _heatmaps(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """The last steps, from the maps of up0."""
        logits = self.up1(maps)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True).sigmoid()


def _gates(features: Tensor, text: Tensor) -> Tensor:
    """(P, 1, h, w), the cosines of (P, C, h, w), or of (1, C, h, w), and (P, C)."""
    return (F.normalize(features, dim=1) * text[:, :, None, None]).sum(dim=1, keepdim=True)


class _TwoConvolutions(nn.Module):
    """Twice a convolution, a batch norm and a ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.after_first(self.conv1(x))

    def after_first(self, x: Tensor) -> Tensor:
        """All that follows the first convolution."""
        x = F.relu(self.norm1(x))
        return F.relu(self.norm2(self.conv2(x)))


class _ToOneChannel(nn.Module):
    """The last step of upsampling: one channel already after the first convolution, no norm after the second."""

    def __init__(self, inputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 1, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(1)
        self.conv2 = nn.Conv2d(1, 1, 3, padding=1)
        # it starts positive, ours: else the ReLU before it cuts off what is brightest, and an object has no brightest pixel
        nn.init.uniform_(self.conv2.weight, 0, 1 / 3)

    def forward(self, x: Tensor) -> Tensor:
        """(P, 1, 2 h, 2 w) of (P, C, h, w)."""
        logits: Tensor = self.conv2(F.relu(self.norm1(convolved_doubled(self.conv1, x))))
        return logits


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def convolved_doubled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(doubled(x)), (P, 1, 2 h, 2 w) of (P, C, h, w), for a 3 x 3 convolution to one channel with padding 1.

    Such a convolution sums over the channels what each of its nine taps sees, and then adds the nine sums, each moved by its
    tap. Doubling does the same to every channel, so it may follow the first sum: nine maps are doubled in place of C.
    Outside the doubled map, where the convolution pads, all nine are zero.
    """
    # `fold` moves a map to where its tap lies, and the convolution takes it from there: the reverse
    taps = conv.weight[0].flip(1, 2).flatten(1).T[:, :, None, None]
    seen = _doubled(F.conv2d(x, taps))
    moved = F.fold(seen.flatten(2), seen.shape[2:], kernel_size=3, padding=1)
    return moved if conv.bias is None else moved + conv.bias


def _vgg16() -> TextHeatmap:
    """The papers': VGG16 up to the ReLU of conv4_3; 17 083 213 parameters that are used."""
    encoder = torchvision.models.vgg16(weights=None).features[:23]
    return TextHeatmap(encoder, channels=512, text_dim=512, stride=8)


class _ResNetTrunk(nn.Module):
    """A ResNet-18 up to res4, by the names of the trunk that ships."""

    def __init__(self) -> None:
        super().__init__()
        stages = [
            ResNet.make_stage(
                BasicBlock,
                2,
                stride_per_block=[first_stride, 1],
                in_channels=inputs,
                out_channels=outputs,
                norm="BN",
            )
            for first_stride, inputs, outputs in ((1, 64, 64), (2, 64, 128), (2, 128, 256))
        ]
        trunk = ResNet(BasicStem(norm="BN"), stages, out_features=["res4"])
        for name, child in trunk.named_children():
            self.add_module(name, child)

    def forward(self, images: Tensor) -> Tensor:
        for child in self.children():
            images = child(images)
        return images


def _mini() -> TextHeatmap:
    """Ours, for clip_mini: 4.2 million parameters."""
    return TextHeatmap(_ResNetTrunk(), channels=256, text_dim=192, stride=16)


@dataclass(frozen=True)
class HeatmapSpec:
    """How a named g is built and where its own weights are.

    Attributes:
        weights: the file that ships, or None.
        encoder: file or backbone's file that its encoder may start from, see `build_untrained_heatmap`.
    """

    build: Callable[[], TextHeatmap]
    weights: Path | None
    encoder: Path | str


HEATMAPS: dict[str, HeatmapSpec] = {
    "heatmap_mini": HeatmapSpec(
        _mini, SHIPPED / "heatmap_mini.safetensors", SHIPPED / "resnet_mini.safetensors"
    ),
    # no host has the papers' files under a lasting address
    "heatmap_vgg16": HeatmapSpec(_vgg16, None, "imagenet_vgg16"),
}


def build_heatmap(name: str, weights: str | Path | None = None) -> TextHeatmap:
    """A g in eval mode, float32, on the CPU.

    Args:
        name: one of `HEATMAPS`.
        weights: a file with our names or those of the papers' code, "random" or "random:SEED", or None (or "") for
            the file that ships.
    Raises: UserError for an unknown name, a missing or foreign file, or a name without a file.
    """
    spec = _spec(name)

    def own() -> Path:
        if spec.weights is None:
            raise UserError(
                f"{name} has no weights that could be fetched, and none ship; train it with "
                "configs/grounding_train.yaml, give a file, or random:0 for untrained ones"
            )
        return spec.weights

    def read(path: Path) -> tuple[dict[str, Tensor], list[Path]]:
        return our_names(read_state_dict(path)), [path]

    return build_network(name, weights, spec.build, own=own, read=read)


def build_untrained_heatmap(name: str, encoder: str, *, seed: int) -> TextHeatmap:
    """A g that is to be trained, float32, on the CPU.

    Args:
        encoder: a file with the encoder's weights; "" for those it usually starts from, ImageNet's or the trunk that
            ships; "random".
        seed: of all that knows nothing yet.
    Raises: UserError for an unknown name, or a file that is missing or of another network.
    """
    spec = _spec(name)
    network = build_seeded(spec.build, seed)
    if encoder != "random":
        path = Path(encoder) if encoder else _usual_encoder(spec)
        state = read_state_dict(path)
        # of a whole VGG16, whose names begin with features, what lies before the encoder's end
        wanted = {
            key: state[name]
            for key in network.encoder.state_dict()
            for name in (key, f"features.{key}")
            if name in state
        }
        load_into(network.encoder, wanted, name=f"{name}'s encoder", path=path)
        start = f"{path.name} + random:{seed}"
    else:
        start = f"random:{seed}"
    network.weights_info = WeightsInfo(start, module_sha256(network))
    return network


def _usual_encoder(spec: HeatmapSpec) -> Path:
    return spec.encoder if isinstance(spec.encoder, Path) else official_file(spec.encoder)


def _spec(name: str) -> HeatmapSpec:
    check_choice("heatmap network", name, HEATMAPS)
    return HEATMAPS[name]


# of the papers' code: the encoder E, the decoder D, batch norms in capitals
_THEIRS = (
    ("E.Org_model.", "encoder."),
    ("D.", ""),
    (".BN1.", ".norm1."),
    (".BN2.", ".norm2."),
)
_UNUSED = "up1.norm2."  # registered by that code and never called


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the papers' code by our names; one of ours as it is."""
    renamed = {}
    for name, value in state.items():
        for theirs, ours in _THEIRS:
            start = theirs.startswith(".") or name.startswith(theirs)
            name = name.replace(theirs, ours, 1) if start else name
        if not name.startswith(_UNUSED):
            renamed[name] = value
    return renamed
