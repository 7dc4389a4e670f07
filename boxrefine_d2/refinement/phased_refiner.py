"""Common base of refiners: a network, its frozen copy and the detector h; one learns at a time."""

from typing import Any, Self, TypeVar

import torch
from torch import nn

from boxrefine_d2.networks.map_network import RefinableNetwork
from boxrefine_d2.networks.recurring import OncePerInput

from .drift import weight_distance
from .map_detector import MapDetector

DETECTOR, REFINE = "detector", "refine"
T = TypeVar("T")


class PhasedRefiner(nn.Module):
    """Base of refiners.

    In phase "detector", h learns from the boxes of the map. In phase "refine", the network learns.
    A subclass calls `start_phases` in its `__init__`, and sets `detector_samples`.

    Attributes:
        map_network: network that is refined.
        reference_network: frozen copy of the network.
        map_detector: h.
        detector_samples: function from inputs to one row each: what h reads and learns while the
            network is fixed.
    """

    map_network: RefinableNetwork
    reference_network: RefinableNetwork
    map_detector: MapDetector
    detector_samples: OncePerInput[dict[str, Any]]

    def start_phases(
        self,
        map_network: RefinableNetwork,
        map_detector: MapDetector,
        *,
        shuffle_boxes: bool,
        reference_targets: bool,
        reference_batch_statistics: bool = False,
        head_alone: bool = False,
    ) -> None:
        """Take the parts, and make the frozen copy.

        Args:
            shuffle_boxes: h learns from the boxes of the next image of the batch, as a control.
            reference_targets: the boxes come from the frozen copy, not from the current network.
            reference_batch_statistics: the frozen copy normalises by the batch while the network
                learns.
            head_alone: only `RefinableNetwork.fresh_part` learns.
        """
        self.map_network = map_network
        self.reference_network = map_network.frozen_copy()
        self.map_detector = map_detector
        self.shuffle_boxes = shuffle_boxes
        self.reference_targets = reference_targets
        self.reference_batch_statistics = reference_batch_statistics
        self.head_alone = head_alone
        self.phase = DETECTOR

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def set_phase(self, phase: str) -> None:
        """Choose the part that learns: h in "detector", the network in "refine".

        The other part has no gradient.
        """
        if phase not in (DETECTOR, REFINE):
            raise ValueError(f"unknown phase {phase!r}; known: {DETECTOR}, {REFINE}")
        self.phase = phase
        self.detector_samples.forget()  # the network may have changed
        network = self.map_network
        network.requires_grad_(phase == REFINE and not self.head_alone)
        if self.head_alone and network.fresh_part is not None:
            network.fresh_part.requires_grad_(phase == REFINE)
        self.map_detector.requires_grad_(phase == DETECTOR)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set train mode only for the part that learns; a fixed h keeps its batch statistics."""
        super().train(mode)
        refines = mode and self.phase == REFINE
        self.reference_network.train(refines and self.reference_batch_statistics)
        self.map_network.train(refines)
        self.map_detector.train(mode and self.phase == DETECTOR)
        return self

    def for_h(self, targets: list[T]) -> list[T]:
        """Return the targets of a batch for h; as a control, each image gets those of the next."""
        return targets[1:] + targets[:1] if self.shuffle_boxes else targets

    def weight_distance(self) -> float:
        """Return the L2 distance of the network's parameters to those of its frozen copy."""
        return weight_distance(self.map_network, self.reference_network)
