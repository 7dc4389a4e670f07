"""The contract of a rule: a map in, pseudo-boxes out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.steps import MaskSteps
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

# a map to the rule's own view of it, (B, h, w) in [0, 1], differentiable
SoftMap = Callable[[FeatureMap], Tensor]


class DiscoveryRule(ABC):
    """Draw pseudo-boxes from a map. A rule holds settings only: the same map gives the same boxes.

    Attributes:
        facets: the facets that the rule can read, the best first.
        input_side: side of the square to which the rule wants images squeezed, in pixels; 0 keeps their shape.
        mask_steps: the steps that follow the rule, on the pixels of the original image.
        dense_solves: the number of cuts so far that Lanczos did not solve and LAPACK did.
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
        """The rule's differentiable maps by name, such as "heatmap": the detector h can read them."""
        return {}

    def choose_facet(self, given: Sequence[str]) -> str:
        """Return the best facet that a network gives.

        Args:   given: facets of the network.
        Raises: UserError if the rule can read none of them.
        """
        for facet in self.facets:
            if facet in given:
                return facet
        raise UserError(
            f"{type(self).__name__} reads the facet {' or '.join(self.facets)}, and the network gives "
            f"{', '.join(given)} only"
        )


class ObservingRule(DiscoveryRule):
    """A rule that reads the maps of the whole data set before it draws the first box.

    Attributes: state: what it has learnt so far, as named tensors that a file can keep; empty at the start.
    """

    state: dict[str, Tensor]

    @abstractmethod
    def observe(self, features: FeatureMap) -> None:
        """Learn from the maps of one batch."""
