"""What the segmenters share: a frozen extractor below the part that learns."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .map_network import MapNetwork, Sizes
from .vit import VisionTransformer
from .weights import build_seeded


class Segmenter(MapNetwork):
    """A map network whose map is a soft mask of the foreground.

    The extractor never learns: its parameters take no gradient whatever is asked of the module, and it stays in eval
    mode. What stands on it does.

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
        """Switches the gradient of what stands on the extractor."""
        super().requires_grad_(requires_grad)
        self.extractor.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> "Segmenter":
        """Sets the mode of what stands on the extractor."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """The mask as a map of one channel in [0, 1].

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            image_sizes: (H, W) of each image before padding; the padded size when not given.
        Raises: ValueError for a facet other than "mask", or another size.
        """
        if facet not in (None, *self.facets):
            raise ValueError(f"a segmenter has the facet 'mask' only, not {facet!r}")
        return self.map_of(self.share(images), image_sizes)

    @property
    def frozen_parts(self) -> Sequence[nn.Module]:
        """The extractor."""
        return (self.extractor,)

    @property
    def fresh_part(self) -> nn.Module:
        """The head."""
        return self.head

    @property
    def first_learner(self) -> nn.Module:
        """The head."""
        return self.head

    def share(self, images: Tensor) -> Tensor:
        """What the head draws from, (B, C, h, w), without gradient: copies that differ in their heads share it.

        Args: images: (B, 3, H, W), normalised; H and W are multiples of the patch.
        """
        raise NotImplementedError

    def logits(self, extracted: Tensor) -> Tensor:
        """The mask before its sigmoid, (B, 1, rows, columns) float32.

        Args: extracted: of `share`.
        """
        raise NotImplementedError

    def map_of(self, shared: Tensor, image_sizes: Sizes | None = None) -> FeatureMap:
        """The mask as `forward` gives it, from what `share` gave."""
        mask = self.logits(shared).sigmoid()
        height, width = (side * self.stride for side in shared.shape[-2:])
        stride = height // mask.shape[2]
        return FeatureMap(mask, stride, image_sizes or [(height, width)] * len(mask), "mask")

    def restart_head(self, seed: int) -> None:
        """The head knows nothing any more, as one that was just built."""

        def reset() -> None:
            for module in self.head.modules():
                forget: Callable[[], None] | None = getattr(module, "reset_parameters", None)
                if forget is not None:
                    forget()

        build_seeded(reset, seed)

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes: as a file of tensors, all that `build_backbone` needs."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if not name.startswith("extractor.")
        }
