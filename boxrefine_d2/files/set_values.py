"""Values of the flag --set, KEY=VALUE, read as YAML."""

import re
from collections.abc import Sequence
from typing import Any

from boxrefine_d2.errors import key_values

from .safe_yaml import parse_yaml

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", re.ASCII)


def parameters_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse the values of --set: {"k_patches": 50} from ["k_patches=50"].

    Raises: UserError, naming the pair, if one is not KEY=VALUE or its value is not YAML.
    """
    return {key: _value(key, text) for key, text in key_values("--set", pairs).items()}


def _value(key: str, text: str) -> Any:
    value = parse_yaml(text, f"--set {key}={text[:50]!r}")
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)  # YAML 1.1 reads 1e-3 and 1.0e3 as text: no point, or no sign
    return value
