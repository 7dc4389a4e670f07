"""Network g: a phrase's heatmap ("What is Where by Looking", 2022; box-refinement paper, 2023).

Shapes: B images, P image-phrase pairs, C channels of map and text, h x w cells, S x S pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from boxrefine_d2.errors import UserError, check_choice

from .build import SHIPPED, official_file
from .build_network import build_network
from .map_network import RefinableNetwork
from .mini_trunk import MiniTrunk
from .shared_upsampling import SharedUpsampling
from .weights import WeightsInfo, build_seeded, load_into, module_sha256, read_state_dict

# phrases computed together on a CPU; the maps of more exceed its caches, and each takes longer
PHRASES_ON_CPU = 2


class TextHeatmap(RefinableNetwork):
    """Encoder, bottleneck, a gate by the text on each cell, and two steps of upsampling.

    Attributes: text_dim: C, that of its CLIP.  stride: pixels per cell of the encoder.
    """

    weights_info: WeightsInfo

    def __init__(self, encoder: nn.Module, channels: int, text_dim: int, stride: int):
        """Build g. Args: encoder: from (B, 3, S, S) to (B, channels, S / stride, S / stride)."""
        super().__init__()
        self.encoder = encoder
        self.bottleneck = _TwoConvolutions(channels, text_dim)
        self.up0 = _TwoConvolutions(text_dim, text_dim)
        self.up1 = _ToOneChannel(text_dim)
        self.text_dim, self.stride = text_dim, stride

    @property
    def first_learner(self) -> nn.Module:
        """First part of the encoder."""
        return next(self.encoder.children())

    def forward(
        self, images: Tensor, text: Tensor, image_of: Sequence[int] | Tensor | None = None
    ) -> Tensor:
        """Return the heatmaps, (P, 1, S, S) in (0, 1).

        Args:
            images: (B, 3, S, S) RGB in [-1, 1].
            text: (P, C) of length 1.
            image_of: index of the image of each pair; by default pair i is of image i.
        """
        features = self.read(images)
        if image_of is not None:
            features = features[torch.as_tensor(image_of, device=features.device)]
        return self.draw(features, text, (images.shape[2], images.shape[3]))

    def read(self, images: Tensor) -> Tensor:
        """Return the features that all phrases of an image share, (B, C, h, w)."""
        features: Tensor = self.bottleneck(self.encoder(images))
        return features

    def draw(self, features: Tensor, text: Tensor, size: tuple[int, int]) -> Tensor:
        """Return heatmaps (P, 1, H, W) in (0, 1) for features (P, C, h, w) and text (P, C).

        A cell is multiplied by the cosine of its features and the text, which may be negative. A
        cell of zeros stays zero; the papers' code divides by zero there.
        """
        return self._heatmaps(self.up0(_doubled(features * _gates(features, text))), size)

    @torch.no_grad()
    def draw_phrases(self, features: Tensor, text: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the heatmaps of phrases of one image, as `draw`, without a gradient.

        The phrases share the first convolution. The network must be in eval mode.

        Args: features: (1, C, h, w).  text: (P, C).
        """
        if len(text) == 1:  # nothing can be shared
            return self.draw(features, text, size)
        first = SharedUpsampling(self.up0.conv1, features[0])
        parts = text.split(PHRASES_ON_CPU if text.device.type == "cpu" else len(text))
        maps = (self.up0.after_first(first(_gates(features, part))) for part in parts)
        return torch.cat([self._heatmaps(part_maps, size) for part_maps in maps])

    def _heatmaps(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the heatmaps, (P, 1, H, W). Args: maps: the output of up0.  size: (H, W)."""
        logits = self.up1(maps)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True).sigmoid()


def _gates(features: Tensor, text: Tensor) -> Tensor:
    """Return cosines (P, 1, h, w) of features (P, C, h, w), or (1, C, h, w), and text (P, C)."""
    return (F.normalize(features, dim=1) * text[:, :, None, None]).sum(dim=1, keepdim=True)


class _TwoConvolutions(nn.Module):
    """Two times a convolution, a batch norm and a ReLU."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.after_first(self.conv1(x))

    def after_first(self, x: Tensor) -> Tensor:
        """Return the output, from the output of the first convolution."""
        x = F.relu(self.norm1(x))
        return F.relu(self.norm2(self.conv2(x)))


class _ToOneChannel(nn.Module):
    """Last step of upsampling: its first convolution gives one channel; it has one norm."""

    def __init__(self, inputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 1, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(1)
        self.conv2 = nn.Conv2d(1, 1, 3, padding=1)
        # Initial weights are positive (ours). With negative ones the ReLU cuts off bright pixels.
        nn.init.uniform_(self.conv2.weight, 0, 1 / 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (P, 1, 2 h, 2 w). Args: x: (P, C, h, w)."""
        logits: Tensor = self.conv2(F.relu(self.norm1(convolved_doubled(self.conv1, x))))
        return logits


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def convolved_doubled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Return conv(doubled(x)), (P, 1, 2 h, 2 w), of x (P, C, h, w); conv: 3 x 3, C to 1, padding 1.

    The convolution computes, for each of its nine taps, a weighted sum over the channels. It then
    adds the nine sums, each shifted by its tap. Doubling treats every channel alike and may come
    after the first sum. Nine maps are then doubled instead of C. The convolution pads outside the
    doubled map, and all nine maps are zero there.
    """
    # `fold` shifts a map towards its tap. The convolution shifts it the other way: hence the flip.
    taps = conv.weight[0].flip(1, 2).flatten(1).T[:, :, None, None]
    sums = _doubled(F.conv2d(x, taps))
    moved = F.fold(sums.flatten(2), sums.shape[2:], kernel_size=3, padding=1)
    return moved if conv.bias is None else moved + conv.bias


def _vgg16() -> TextHeatmap:
    """Return the papers' g: VGG16 up to the ReLU of conv4_3, 17 083 213 parameters in use."""
    encoder = torchvision.models.vgg16(weights=None).features[:23]
    return TextHeatmap(encoder, channels=512, text_dim=512, stride=8)


def _mini() -> TextHeatmap:
    """Return our small network for clip_mini; it has 4.2 million parameters."""
    return TextHeatmap(MiniTrunk(), channels=256, text_dim=192, stride=16)


@dataclass(frozen=True)
class HeatmapSpec:
    """Builder of a named g, and the place of its own weights.

    Attributes:
        weights: the file that ships; None if none ships.
        encoder: file or backbone that gives the encoder's start, see `build_untrained_heatmap`.
    """

    build: Callable[[], TextHeatmap]
    weights: Path | None
    encoder: Path | str


HEATMAPS: dict[str, HeatmapSpec] = {
    "heatmap_mini": HeatmapSpec(
        _mini, SHIPPED / "heatmap_mini.safetensors", SHIPPED / "resnet_mini.safetensors"
    ),
    # No host offers the papers' files under a permanent URL.
    "heatmap_vgg16": HeatmapSpec(_vgg16, None, "imagenet_vgg16"),
}


def build_heatmap(name: str, weights: str | Path | None = None) -> TextHeatmap:
    """Return g in eval mode, float32, on the CPU.

    Args:
        name: one of `HEATMAPS`.
        weights: a file with our names or those of the papers' code, "random" or "random:SEED", or
            None (or "") for the file that ships.
    Raises: UserError for an unknown name, a missing or foreign file, or a name without a file.
    """
    spec = _spec(name)

    def own() -> Path:
        if spec.weights is None:
            raise UserError(
                f"{name} has no weights that could be fetched, and none ship; train it with "
                "configs/grounding_train.yaml, give a file, or give random:0 for untrained weights"
            )
        return spec.weights

    def read(path: Path) -> tuple[dict[str, Tensor], list[Path]]:
        return our_names(read_state_dict(path)), [path]

    return build_network(name, weights, spec.build, own=own, read=read)


def build_untrained_heatmap(name: str, encoder: str, *, seed: int) -> TextHeatmap:
    """Return g for a training, float32, on the CPU.

    Args:
        encoder: a file of its weights, "random", or "" for ImageNet's or the shipped trunk's.
        seed: seed of all random weights.
    Raises: UserError for an unknown name, or a file that is missing or of another network.
    """
    spec = _spec(name)
    network = build_seeded(spec.build, seed)
    if encoder != "random":
        path = Path(encoder) if encoder else _usual_encoder(spec)
        state = read_state_dict(path)
        # The names in a whole VGG16 begin with "features."; only the encoder's layers are taken.
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


# Names in the papers' code -> our names. E is the encoder, D the decoder.
_PAPER_NAMES = (
    ("E.Org_model.", "encoder."),
    ("D.", ""),
    (".BN1.", ".norm1."),
    (".BN2.", ".norm2."),
)
_UNUSED = "up1.norm2."  # the papers' code registers this norm and never calls it


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of the papers' code by our names; one with our names does not change."""
    renamed = {}
    for name, value in state.items():
        for paper_name, our_name in _PAPER_NAMES:
            start = paper_name.startswith(".") or name.startswith(paper_name)
            name = name.replace(paper_name, our_name, 1) if start else name
        if not name.startswith(_UNUSED):
            renamed[name] = value
    return renamed
