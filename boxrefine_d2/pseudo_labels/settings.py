"""What a pseudo-label file depends on."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import boxrefine_d2
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.errors import UserError, key_values
from boxrefine_d2.files.safe_yaml import parse_yaml
from boxrefine_d2.networks import MapNetwork
from boxrefine_d2.networks.device import precision_of

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", re.ASCII)


def parameters_of(pairs: Sequence[str]) -> dict[str, Any]:
    """{"k_patches": 50} from ["k_patches=50"], as --set gives them. Raises: UserError."""
    return {key: _value(key, text) for key, text in key_values("--set", pairs).items()}


def _value(key: str, text: str) -> Any:
    value = parse_yaml(text, f"--set {key}={text[:50]!r}")
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)  # which YAML 1.1 takes for text where it has no point or no sign
    return value


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

    def info(self, backbone: MapNetwork, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
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
