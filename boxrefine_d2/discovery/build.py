"""Registry of the discovery rules, and two functions that run or build a rule by name."""

from collections.abc import Callable
from typing import Any, TypeVar

from detectron2.config import CfgNode
from fvcore.common.registry import Registry

from boxrefine_d2.config import paper_profile
from boxrefine_d2.config.checks import check_value
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .rule import DiscoveryRule

# Sections of DISCOVERY. A rule switches one on by a parameter of the same name.
MASK_REFINEMENTS = ("crf", "bilateral", "arm", "sgrm")

Named = TypeVar("Named", bound=type[DiscoveryRule])


class RuleRegistry(Registry):
    """Detectron2's registry with free names; a rule has the name that the command line uses."""

    def register_as(self, name: str) -> Callable[[Named], Named]:
        """Return a decorator that registers a rule under `name`."""

        def add(rule: Named) -> Named:
            self._do_register(name, rule)
            return rule

        return add


DISCOVERY_REGISTRY = RuleRegistry("DISCOVERY")
DISCOVERY_REGISTRY.__doc__ = """
Rules by name. Calling an entry returns a `DiscoveryRule`. Its arguments are keyword-only and have
no defaults. The defaults are in `config.py`, under DISCOVERY.<NAME>.
"""


def discover(name: str, features: FeatureMap, **parameters: Any) -> list[PseudoBoxes]:
    """Return the pseudo-boxes of a batch by a named rule.

    Args: parameters: parameters that differ from the paper profile, such as ``k_patches=50``.
    Returns: one PseudoBoxes per image, in pixels of the input.
    Raises: UserError for an unknown rule or parameter.
    """
    return build_rule(name, **parameters)(features)


def build_rule(name: str, cfg: CfgNode | None = None, **parameters: Any) -> DiscoveryRule:
    """Return a rule with the settings of `cfg`, changed by `parameters`.

    Args: cfg: the configuration; None for the paper profile.
    Raises: UserError, see `rule_parameters`.
    """
    return _entry(name)(**rule_parameters(name, cfg, **parameters))


def rule_parameters(name: str, cfg: CfgNode | None = None, **changes: Any) -> dict[str, Any]:
    """Return all parameters of a rule by their short names, such as {"k_patches": 100}.

    If a refinement of masks such as "crf" is on, its value is the dictionary of its own section. A
    change of such a section has the name of both, such as "crf.iterations".

    Args: cfg: the configuration; None for the paper profile.
    Raises: UserError for an unknown rule or parameter, a value of another type than the default, or
        a change of a refinement that is off.
    """
    _entry(name)
    sections = (cfg or paper_profile()).DISCOVERY
    parameters = _short_names(sections[name.upper()])
    refinements = {
        step: _short_names(sections[step.upper()])
        for step in MASK_REFINEMENTS
        if step in parameters
    }
    for key, value in changes.items():
        step, _, short = key.rpartition(".")
        table = refinements.get(step, {}) if step else parameters
        if short not in table:
            known = refinements.get(step) or parameters
            raise UserError(f"{name} has no parameter {key!r}; known: {', '.join(known)}")
        if isinstance(table[short], float) and type(value) is int:
            value = float(value)
        full = f"DISCOVERY.{(step or name).upper()}.{short.upper()}"
        check_value(full, value, table[short], said=f"{name}: {key} is")
        table[short] = value
    for step, numbers in refinements.items():
        if parameters[step]:
            parameters[step] = numbers
        elif unused := [key for key in changes if key.startswith(f"{step}.")]:
            raise UserError(f"{name}: {unused[0]} has no effect, because {step} is off")
    return parameters


def _short_names(section: CfgNode) -> dict[str, Any]:
    return {key.lower(): value for key, value in section.items()}


def _entry(name: str) -> type[DiscoveryRule]:
    check_choice("discovery method", name, sorted(key for key, _ in DISCOVERY_REGISTRY))
    entry: type[DiscoveryRule] = DISCOVERY_REGISTRY.get(name)
    return entry
