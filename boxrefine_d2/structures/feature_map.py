"""Patch features on their grid. Shapes: B images, C channels, h x w cells, H x W pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class FeatureMap:
    """Feature map of a batch of equally sized, padded inputs. It never contains the CLS token.

    Attributes:
        data: (B, C, h, w).
        stride: input pixels per cell, one number or (vertical, horizontal); a float for
            convolutional maps.
        image_sizes: (H, W) of each image before padding; boxes are clipped to it.
        facet: "key", "query", "value", "kqv" (channels in that order), "output", "attention" (of
            CLS, one channel per head) or "mask" (one channel in [0, 1]).
    Raises: ValueError if the shapes contradict each other.
    """

    data: Tensor
    stride: float | tuple[float, float]
    image_sizes: Sequence[tuple[int, int]]
    facet: str = "key"

    def __post_init__(self) -> None:
        if self.data.dim() != 4:
            raise ValueError(f"FeatureMap data must be (B, C, h, w), not {tuple(self.data.shape)}")
        if len(self.image_sizes) != len(self.data):
            raise ValueError(f"{len(self.image_sizes)} image sizes for {len(self.data)} images")
        sy, sx = self.strides
        for height, width in self.image_sizes:
            if not (0 < height <= self.grid_size[0] * sy and 0 < width <= self.grid_size[1] * sx):
                raise ValueError(
                    f"an image of {height} x {width} does not fit a grid of {self.grid_size} cells "
                    f"of {sy} x {sx} pixels"
                )

    def __len__(self) -> int:
        return len(self.data)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Grid size (h, w), in cells."""
        return self.data.shape[2], self.data.shape[3]

    @property
    def strides(self) -> tuple[float, float]:
        """Strides (sy, sx): input pixels per cell along rows and columns."""
        return self.stride if isinstance(self.stride, tuple) else (self.stride, self.stride)

    @property
    def padded_size(self) -> tuple[int, int]:
        """Size (H', W') of the padded input, in pixels."""
        (h, w), (sy, sx) = self.grid_size, self.strides
        return round(h * sy), round(w * sx)

    def tokens(self) -> Tensor:
        """Return (B, N, C) features of N = h * w cells in row-major order."""
        return self.data.flatten(2).transpose(1, 2)

    def detach(self) -> "FeatureMap":
        """Return the same map without its gradient history."""
        return FeatureMap(self.data.detach(), self.stride, self.image_sizes, self.facet)

    @staticmethod
    def from_tokens(
        tokens: Tensor,
        grid_size: tuple[int, int],
        stride: float | tuple[float, float],
        image_sizes: Sequence[tuple[int, int]],
        facet: str,
    ) -> "FeatureMap":
        """Return the map of (B, N, C) tokens in row-major order, without copying them."""
        return FeatureMap(
            tokens.transpose(1, 2).unflatten(2, torch.Size(grid_size)), stride, image_sizes, facet
        )
