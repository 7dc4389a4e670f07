"""The settings that determine the content of a pseudo-label file."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import boxrefine_d2
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import MapNetwork
from boxrefine_d2.networks.device import precision_of

from .view import WHOLE, View


@dataclass(frozen=True)
class DiscoverySettings:
    """The settings of a run, which determine its output together with images and weights.

    Attributes:
        method: name of the rule.  backbone: name of the map network.
        weights: weights file, "random" or "random:SEED"; None is the network's own file.
        parameters: parameters of the method that differ from the paper profile.
        batch_size: most images per batch.  precision: "fp32" or "bf16", of the network.
        max_side: pixels above which the longer side of an image is reduced; 0 is no limit.
        view: text of the `View` that the network reads; boxes are those of the original image.
        base: dataset spec of the images that an `ObservingRule` observes; "" for those of the run.
    """

    method: str
    backbone: str = "dino_vits16"
    weights: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8
    precision: str = "fp32"
    max_side: int = 800
    view: str = WHOLE
    base: str = ""

    def __post_init__(self) -> None:
        precision_of(self.precision)
        if self.batch_size < 1:
            raise UserError(f"batch size is {self.batch_size}, but at least 1 image is needed")
        if self.max_side < 0:
            raise UserError(f"max side is {self.max_side}; give pixels, or 0 for no limit")
        View.parse(self.view)

    def info(
        self,
        backbone: MapNetwork,
        records: Sequence[dict[str, Any]],
        base: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        """Return the `info` of the output file; a journal is continued only with an equal one.

        Args: base: records of `self.base`.
        """
        observed = {"base": self.base, "base_images_sha256": _digest(base)} if self.base else {}
        return {
            "software": "boxrefine_d2",
            "version": boxrefine_d2.__version__,
            "method": self.method,
            "parameters": rule_parameters(self.method, **self.parameters),
            "backbone": self.backbone,
            "weights": asdict(backbone.weights_info),
            "batch_size": self.batch_size,
            "precision": self.precision,
            "max_side": self.max_side,
            "view": str(View.parse(self.view)),
            "images_asked": len(records),
            "images_sha256": _digest(records),
            **observed,
        }


def _digest(records: Sequence[dict[str, Any]]) -> str:
    """Return the SHA-256 of the ids, names and sizes of images."""
    named = [[r["image_id"], r["relative_name"], r["height"], r["width"]] for r in records]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
