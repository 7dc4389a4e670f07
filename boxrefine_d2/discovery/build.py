"""The registry of rules, and the two ways to call one."""

from collections.abc import Callable
from typing import Any, TypeVar

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from boxrefine_d2.config import paper_profile
from boxrefine_d2.config.checks import check_value
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .rule import DiscoveryRule

# sections of DISCOVERY that a rule switches on by a parameter of the same name
MASK_REFINEMENTS = ("crf", "bilateral")

Named = TypeVar("Named", bound=type[DiscoveryRule])


class RuleRegistry(Registry):
    """Detectron2's registry with names of our choice: methods are called as on the command line."""

    def register_as(self, name: str) -> Callable[[Named], Named]:
        """Decorator: registers a rule under `name`."""

        def add(rule: Named) -> Named:
            self._do_register(name, rule)
            return rule

        return add


DISCOVERY_REGISTRY = RuleRegistry("DISCOVERY")
DISCOVERY_REGISTRY.__doc__ = """
Rules by name. An entry is called with keyword arguments, all of them without defaults (the defaults are in
`config.py`, under DISCOVERY.<NAME>), and gives a `DiscoveryRule`.
"""


def discover(name: str, features: FeatureMap, **parameters: Any) -> list[PseudoBoxes]:
    """Pseudo-boxes of a batch by a named rule.

    Args: parameters: those that differ from the paper profile, e.g. ``k_patches=50``.
    Returns: one PseudoBoxes per image, in input pixels.
    Raises: UserError for an unknown rule or parameter.
    """
    return build_rule(name, **parameters)(features)


def build_rule(name: str, cfg: CfgNode | None = None, **parameters: Any) -> DiscoveryRule:
    """The rule `name` with the settings of `cfg` (the paper profile if none), changed by `parameters`."""
    return _entry(name)(**rule_parameters(name, cfg, **parameters))


def rule_parameters(name: str, cfg: CfgNode | None = None, **changes: Any) -> dict[str, Any]:
    """All parameters of a rule by their short names, e.g. {"k_patches": 100, "centre": False}.

    A refinement of masks that is switched on, such as "crf", comes as the numbers of its own section.

    Raises: UserError for an unknown rule or parameter, or a value of another type than the default.
    """
    _entry(name)
    node = (cfg or paper_profile()).DISCOVERY[name.upper()]
    parameters = {key.lower(): value for key, value in node.items()}
    for key, value in changes.items():
        if key not in parameters:
            raise UserError(f"{name} has no parameter {key!r}; known: {', '.join(parameters)}")
        default = parameters[key]
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        full = f"DISCOVERY.{name.upper()}.{key.upper()}"
        check_value(full, value, default, said=f"{name}: {key} is")
        parameters[key] = value
    for name_of_step in MASK_REFINEMENTS:
        if parameters.get(name_of_step):
            numbers = (cfg or paper_profile()).DISCOVERY[name_of_step.upper()]
            parameters[name_of_step] = {key.lower(): number for key, number in numbers.items()}
    return parameters


def _entry(name: str) -> type[DiscoveryRule]:
    check_choice("discovery method", name, sorted(key for key, _ in DISCOVERY_REGISTRY))
    entry: type[DiscoveryRule] = DISCOVERY_REGISTRY.get(name)
    return entry
