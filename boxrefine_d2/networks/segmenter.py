"""Base class of the segmenters: a frozen extractor below a part that learns."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .map_network import MapNetwork, Sizes
from .vit import VisionTransformer
from .weights import build_seeded


class Segmenter(MapNetwork):
    """Map network whose map is a soft mask of the foreground.

    The extractor never learns. Its parameters take no gradient and it stays in eval mode, even if
    the module is told otherwise. The layers above the extractor learn.

    Shapes: B images, C channels, h x w patches.
    """

    facets = ("mask",)
    holds = ("mask",)
    head: nn.Module

    def __init__(self, extractor: VisionTransformer):
        super().__init__()
        self.stride = extractor.stride
        self.extractor = extractor

    def requires_grad_(self, requires_grad: bool = True) -> "Segmenter":
        """Switch the gradients of the layers above the extractor on or off."""
        super().requires_grad_(requires_grad)
        self.extractor.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> "Segmenter":
        """Set the mode of the layers above the extractor."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """Return the mask as a map of one channel in [0, 1].

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            image_sizes: (H, W) of each image before padding; the default is the padded size.
        Raises: ValueError for a facet other than "mask", or another size.
        """
        if facet not in (None, *self.facets):
            raise ValueError(f"a segmenter has the facet 'mask' only, not {facet!r}")
        return self.map_of(self.share(images), image_sizes)

    @property
    def frozen_parts(self) -> Sequence[nn.Module]:
        """Extractor, the only part that never learns."""
        return (self.extractor,)

    @property
    def fresh_part(self) -> nn.Module:
        """Head of the segmenter."""
        return self.head

    @property
    def first_learner(self) -> nn.Module:
        """Head of the segmenter."""
        return self.head

    def share(self, images: Tensor) -> Tensor:
        """Return the features that the head reads, (B, C, h, w), without gradient.

        Copies that differ only in their heads share these features.

        Args: images: (B, 3, H, W), normalised; H and W are multiples of the patch.
        """
        raise NotImplementedError

    def logits(self, extracted: Tensor) -> Tensor:
        """Return the mask before its sigmoid, (B, 1, rows, columns) float32.

        Args: extracted: the result of `share`.
        """
        raise NotImplementedError

    def map_of(self, shared: Tensor, image_sizes: Sizes | None = None) -> FeatureMap:
        """Return the mask, as `forward`. Args: shared: the result of `share`."""
        mask = self.logits(shared).sigmoid()
        height, width = (side * self.stride for side in shared.shape[-2:])
        stride = height // mask.shape[2]
        return FeatureMap(mask, stride, image_sizes or [(height, width)] * len(mask), "mask")

    def restart_head(self, seed: int) -> None:
        """Give the head new random weights, as for a head that was just built."""

        def reset() -> None:
            for module in self.head.modules():
                restart: Callable[[], None] | None = getattr(module, "reset_parameters", None)
                if restart is not None:
                    restart()

        build_seeded(reset, seed)

    def trained_state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes; `build_backbone` can read a file of them."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if not name.startswith("extractor.")
        }
