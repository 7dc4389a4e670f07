"""Discovery rules with planted boxes, for tests."""

from boxrefine_d2.discovery.rule import DiscoveryRule


class RuleOf(DiscoveryRule):
    """Rule that applies a function of a `FeatureMap`."""

    def __init__(self, draw, facets=("key",)):
        self.draw, self.facets = draw, facets

    def __call__(self, features):
        return self.draw(features)
