"""Discovery on one image."""

from typing import Any

import torch

from boxrefine_d2.data.mappers import ImageMapper, SqueezedImageMapper, WholeImageMapper
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule, ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone, read_map
from boxrefine_d2.networks.device import check_device, precision_of

from .finishing import annotations_of, grid_masks
from .settings import DiscoverySettings
from .view import WHOLE, View, ViewMapper


@torch.no_grad()
def discover_image(
    image: str, settings: DiscoverySettings, *, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return the annotations that `discover_dataset` would write for one image, best first.

    Returns: a list of {image_id, bbox, score, segmentation}. Boxes are [x, y, w, h] in pixels of
        the original image.
    Raises: UserError for a user's mistake, and for a rule that reads a whole data set first.
    """
    check_device(device)
    rule = build_rule(settings.method, **settings.parameters)
    if isinstance(rule, ObservingRule):
        raise UserError(
            f"{settings.method} compares an image with a whole data set; run discover.py on one"
        )
    backbone = build_backbone(settings.backbone, settings.weights)
    facet = rule.choose_facet(backbone.facets)
    steps = rule.mask_steps
    if steps.require:
        steps.require()
    record = {"file_name": image, "image_id": image}
    sample = image_mapper(settings, rule)(record)
    backbone.to(device, precision_of(settings.precision))
    features = read_map([sample["image"]], backbone, facet)
    [boxes] = rule(features)
    return annotations_of(image, grid_masks(sample, boxes, features, steps), steps)


def image_mapper(settings: DiscoverySettings, rule: DiscoveryRule) -> ImageMapper:
    """Return the mapper that makes the rule's network input.

    The image is squeezed to a square if the rule has an `input_side`. Otherwise it keeps its shape
    and is reduced if its longer side exceeds `max_side` pixels. A view of the settings changes what
    the input shows.
    """
    mapper: SqueezedImageMapper | WholeImageMapper = WholeImageMapper(settings.max_side)
    if rule.input_side:
        mapper = SqueezedImageMapper(rule.input_side)
    if settings.view == WHOLE:
        return mapper
    return ViewMapper(mapper, View.parse(settings.view))
