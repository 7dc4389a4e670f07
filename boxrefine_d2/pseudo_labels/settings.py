"""What a pseudo-label file depends on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

import boxrefine_d2
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.errors import UserError, key_values
from boxrefine_d2.features import Backbone
from boxrefine_d2.features.device import precision_of


def parameters_of(pairs: Sequence[str]) -> dict[str, Any]:
    """{"k_patches": 50} from ["k_patches=50"], as --set gives them. Raises: UserError."""
    return {key: yaml.safe_load(value) for key, value in key_values("--set", pairs).items()}


@dataclass(frozen=True)
class DiscoverySettings:
    """Everything the content of a pseudo-label file depends on, besides the images and the weights' bytes.

    Attributes: parameters: those of the method that differ from the paper profile.
    """

    method: str
    backbone: str = "dino_vits16"
    weights: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8
    precision: str = "fp32"
    max_side: int = 800

    def __post_init__(self) -> None:
        precision_of(self.precision)
        if self.batch_size < 1:
            raise UserError(f"batch size is {self.batch_size}, but at least 1 image is needed")
        if self.max_side < 0:
            raise UserError(f"max side is {self.max_side}; give pixels, or 0 for no limit")

    def info(self, backbone: Backbone, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What the file says of itself; equal infos mean that a journal may be continued."""
        named = [[r["image_id"], r["relative_name"], r["height"], r["width"]] for r in records]
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
            "images_asked": len(records),
            "images_sha256": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        }
