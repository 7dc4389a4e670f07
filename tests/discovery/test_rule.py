"""Contract of a rule: its defaults, and a check that every rule fulfils it."""

import pytest

from boxrefine_d2.discovery import DISCOVERY_REGISTRY, build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.steps import MaskSteps
from tests.toy_rules import RuleOf


def test_every_rule_fulfils_the_contract():
    rules = dict(DISCOVERY_REGISTRY)
    assert {"lost", "contours", "ensemble"} <= rules.keys()
    assert all(issubclass(rule, DiscoveryRule) for rule in rules.values())


def test_the_least_that_a_rule_needs():
    """Check the defaults: whole images, keys or a CNN's output, raw masks, and no maps for h."""
    rule = RuleOf(lambda _: [], DiscoveryRule.facets)
    assert (rule.input_side, rule.dense_solves, rule.mask_steps) == (0, 0, MaskSteps())
    assert dict(rule.soft_maps) == {}
    assert rule.choose_facet(["value", "output", "key"]) == "key"
    assert rule.choose_facet(["output"]) == "output"
    with pytest.raises(UserError, match="RuleOf reads the facet key or output, .* gives mask only"):
        rule.choose_facet(["mask"])
    with pytest.raises(TypeError, match="abstract"):
        DiscoveryRule()


def test_the_maps_that_h_can_read():
    assert build_rule("lost").soft_maps.keys() == {"heatmap", "inverse_degree"}
    for name in ("tokencut", "move", "found", "representer"):
        assert build_rule(name).soft_maps.keys() == {"heatmap"}
    assert not build_rule("maskcut").soft_maps
