"""Contract of a map network: the methods that rules, discovery and refinement call.

Shapes: B images, H x W pixels, N patches, C channels.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .padding import normalise_and_pad
from .weights import SourcedNetwork

Kind = TypeVar("Kind", bound=nn.Module)
Sizes = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class LastBlock:
    """Tokens of a transformer's last block.

    Attributes:
        qkv: (B, 3, 1 + N, C), query, key and value with their biases, before head scaling; CLS is
            the first token.
        cls: (B, C), the CLS token after the final norm.
        grid_size: (h, w) of the patches.
    """

    qkv: Tensor
    cls: Tensor
    grid_size: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """Result of one forward pass for refinement.

    Attributes:
        map: the map that the rule reads.
        last: tokens of a transformer's last block; None for other networks.
    """

    map: FeatureMap
    last: LastBlock | None = None

    @property
    def tokens(self) -> LastBlock:
        """`last` of a network that has tokens."""
        assert self.last is not None
        return self.last


class RefinableNetwork(SourcedNetwork):
    """Network that learns beside a frozen copy of itself."""

    @property
    def frozen_parts(self) -> Sequence[nn.Module]:
        """Parts that never learn. A frozen copy shares them."""
        return ()

    @property
    def fresh_part(self) -> nn.Module | None:
        """Part that REFINE.FRESH_HEAD gives new weights and trains alone; None if there is none."""
        return None

    @property
    def first_learner(self) -> nn.Module:
        """Part that learns and lies nearest to the image."""
        return next(child for child in self.children() if any(True for _ in child.parameters()))

    def frozen_copy(self) -> Self:
        """Return a copy that never learns.

        In train mode its batch norms use the statistics of the batch, and their running averages do
        not change.
        """
        frozen = copy.deepcopy(self, {id(part): part for part in self.frozen_parts})
        frozen.requires_grad_(False)
        for module in frozen.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0
        return frozen

    def restart_head(self, seed: int) -> None:
        """Give `fresh_part` new random weights. Raises: ValueError if there is no such part."""
        raise ValueError(f"{type(self).__name__} has no head to start anew")

    def trained_state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes.

        Together with the shipped or official files they are the whole network.
        """
        return self.state_dict()


class MapNetwork(RefinableNetwork, ABC):
    """Network whose output is a map of the image.

    Attributes:
        facets: names of the maps that the network gives; refinement reads the first one.
        stride: pixels; the sides of an input are multiples of it.
        padding: kind of padding to such sides, "zeros" or "reflect".
        holds: names in `preservation.HELD` of the losses that can hold the network near its frozen
            copy.
        has_tokens: True if `Reading.last` is not None.
    """

    facets: tuple[str, ...]
    stride: int
    padding: str = "zeros"
    holds: tuple[str, ...] = ("map",)
    has_tokens: bool = False

    @abstractmethod
    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return one facet as a map with float32 data.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the stride.
            facet: one of `facets`; the default is the first one.
            image_sizes: (H, W) of each image before padding; the default is the padded size.
        Raises: ValueError for another facet or another size.
        """

    def prepare(self, images: Sequence[Tensor]) -> Tensor:
        """Return the input (B, 3, H', W'), normalised and padded for the network, on its device.

        Args: images: (3, H, W) RGB in [0, 255], of any number type. Their padded sizes are equal.
        Raises: ValueError if the padded sizes differ.
        """
        device = next(self.parameters()).device
        return normalise_and_pad(images, self.stride, self.padding, device)

    def for_refinement(self) -> "MapNetwork":
        """Return the network that refinement changes: this one, or one that holds it."""
        return self

    def share(self, images: Tensor) -> Tensor:
        """Return the features that the network and its frozen copy share, computed once for both.

        Args: images: (B, 3, H, W), normalised.
        """
        return images

    def map_of(self, shared: Tensor, image_sizes: Sizes | None = None) -> FeatureMap:
        """Return the map that refinement reads; compute no layer behind it.

        Args: shared: the result of `share`.
        """
        features: FeatureMap = self(shared, None, image_sizes)
        return features

    def read(self, shared: Tensor) -> Reading:
        """Return everything that refinement reads of images without padding.

        Args: shared: the result of `share`.
        """
        return Reading(self.map_of(shared))


def require_kind(network: nn.Module, kind: type[Kind], message: str) -> Kind:
    """Return the network if it is of a kind. Raises: UserError with the message if it is not."""
    if not isinstance(network, kind):
        raise UserError(message)
    return network


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Return `RefinableNetwork.trained_state` of a network; the whole state of any other module."""
    if isinstance(network, RefinableNetwork):
        return network.trained_state()
    return network.state_dict()
