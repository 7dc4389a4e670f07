"""Contract of a discovery rule: a map in, pseudo-boxes out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.steps import MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

# function from a map to a soft map (B, h, w) in [0, 1], differentiable
SoftMap = Callable[[FeatureMap], Tensor]


class DiscoveryRule(ABC):
    """Base class of the rules, which find pseudo-boxes in a map.

    A rule holds only settings. The same map always gives the same boxes.

    Attributes:
        facets: facets that the rule can read, the best first.
        input_side: side in pixels of the square to which images are squeezed for the rule; 0 keeps
            their shape.
        mask_steps: steps that follow the rule, on the pixels of the original image.
        dense_solves: number of cuts so far that LAPACK solved because Lanczos did not converge.
    """

    facets: tuple[str, ...] = ("key", "output")
    input_side: int = 0
    mask_steps: MaskSteps = MaskSteps()
    dense_solves: int = 0

    @abstractmethod
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one `PseudoBoxes` per image, in pixels of the input, the best box first."""

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Differentiable maps of the rule by name, such as "heatmap", for the detector h."""
        return {}

    def choose_facet(self, given: Sequence[str]) -> str:
        """Return the best facet that a network gives.

        Args: given: facets of the network.
        Raises: UserError if the rule can read none of them.
        """
        for facet in self.facets:
            if facet in given:
                return facet
        raise UserError(
            f"{type(self).__name__} reads the facet {' or '.join(self.facets)}, and the network "
            f"gives {', '.join(given)} only"
        )


class ObservingRule(DiscoveryRule):
    """Rule that reads the maps of the whole data set before it finds the first box.

    Attributes: state: named tensors with the result of `observe` so far, which a file can hold;
        empty at the start.
    """

    state: dict[str, Tensor]

    @abstractmethod
    def observe(self, features: FeatureMap) -> None:
        """Update the state with the maps of one batch."""
