"""Rules for tests that plant the boxes."""

from boxrefine_d2.discovery.rule import DiscoveryRule


class RuleOf(DiscoveryRule):
    """The rule that a function of a `FeatureMap` is."""

    def __init__(self, draw, facets=("key",)):
        self.draw, self.facets = draw, facets

    def __call__(self, features):
        return self.draw(features)
