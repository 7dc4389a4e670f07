"""Explainer of points: it reads a data set for its statistics, then for the values of its points.

Source: representer point selection, supplement.

Shapes: C channels, h x w cells. Points and boxes are in pixels of the original image.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

import boxrefine_d2
from boxrefine_d2.data import load_spec, read_image
from boxrefine_d2.data.frames import with_pixel_sizes
from boxrefine_d2.data.loaders import WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.data.records import Record
from boxrefine_d2.discovery.build import build_rule, rule_parameters
from boxrefine_d2.discovery.representer import Representer
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone, padded_size, read_map
from boxrefine_d2.structures import FeatureMap

from .explanation import ExplainingPoint, Explanation, MappedImage
from .extreme_points import ExtremePoints, PointTable

RULE = "representer"
BATCH_SIZE = 8  # images of one pass through the network


@dataclass(frozen=True)
class ExplainerSettings:
    """The settings of an explainer.

    Attributes:
        base: dataset spec of the points that explain.
        backbone: name of the network.
        weights: weights of the network; None for its default.
        facet: facet of the features; None for the best one that the rule can read.
        parameters: parameters of the rule `representer` that differ from the paper profile.
        max_side: longest side of the network's input, pixels; 0 is no limit.
        device: device of the network.
        num_workers: processes that decode images; 0 for none.
    """

    base: str
    backbone: str
    weights: str | None = None
    facet: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    max_side: int = 800
    device: str = "cpu"
    num_workers: int = 0


class PointExplainer:
    """Rule `representer` that observed a data set, and explains points of any image by it.

    Attributes:
        records: images of the data set.
        failed: name -> reason, for images of the data set that cannot be read.
    """

    def __init__(self, settings: ExplainerSettings):
        """Observe the data set. Raises: UserError for a wrong setting, or if nothing is read."""
        self.settings = settings
        self._rule = _rule_of(settings.parameters)
        self.records = with_pixel_sizes(load_spec(settings.base), settings.base).records
        self._network = build_backbone(settings.backbone, settings.weights).to(settings.device)
        given = self._network.facets
        self._facet = settings.facet or self._rule.choose_facet(given)
        if self._facet not in given:
            raise UserError(
                f"{settings.backbone} has no facet {self._facet!r}; it gives {', '.join(given)}"
            )
        self._mapper = WholeImageMapper(settings.max_side)
        self.failed: dict[str, str] = {}
        for _, features in self._maps("observe"):
            self._rule.observe(features)
        _ = self._rule.predictor  # refuses data without points

    @torch.no_grad()
    def explain(
        self, record: Record, point: tuple[float, float], *, highest: int, lowest: int
    ) -> Explanation:
        """Return the explanation of a point; it reads the data set once.

        Args:
            record: the image of the point.
            point: (x, y).
            highest, lowest: numbers of points to keep.
        Raises: UserError for a point outside of the image, or without a feature.
        """
        sample, features = self._read(record)
        tested = _mapped(sample, features, {"heatmap": self._rule.heatmap(features)[0]})
        cell = tested.cell_at(point)
        direction = self._rule.read_features(features)[0, :, cell.row, cell.column].double().cpu()
        if not direction.norm():
            raise UserError(
                f"the feature at {point[0]:g}, {point[1]:g} is 0 and has no direction; choose "
                "another point"
            )
        extremes = ExtremePoints(highest, lowest)
        place_of = {each["image_id"]: place for place, each in enumerate(self.records)}
        for ids, batch in self._maps("explain"):
            extremes.add([place_of[i] for i in ids], self._rule.point_values(batch, direction))
        kept = extremes.highest.joined(extremes.lowest)
        maps = {place: self._values_of(place, direction) for place in set(kept.places.tolist())}
        return Explanation(
            info=self._info(extremes.points),
            tested=tested,
            point=point,
            cell=cell,
            activation=float(direction / direction.norm() @ self._rule.predictor),
            excitatory=extremes.excitatory,
            inhibitory=extremes.inhibitory,
            highest=_explaining(extremes.highest, maps),
            lowest=_explaining(extremes.lowest, maps),
            images={each.image_id: each for each in maps.values()},
        )

    def _maps(self, what: str) -> Iterator[tuple[list[Any], FeatureMap]]:
        """Yield image ids and map of each batch of the data set. Args: what: label of the bar."""
        stride = self._network.stride
        batches = equal_size_batches(
            self.records, self._mapper, lambda size: padded_size(size, stride), BATCH_SIZE
        )
        loader = WholeImageLoader(batches, self._mapper, self.settings.num_workers, what=what)
        for batch in loader:
            with torch.no_grad():
                features = read_map([x["image"] for x in batch], self._network, self._facet)
            yield [sample["image_id"] for sample in batch], features
        self.failed = dict(loader.unreadable)

    def _read(self, record: Record) -> tuple[dict[str, Any], FeatureMap]:
        sample = self._mapper(record)
        return sample, read_map([sample["image"]], self._network, self._facet)

    def _values_of(self, place: int, direction: Tensor) -> MappedImage:
        """Return an image of the data set with the parts of all its points."""
        sample, features = self._read(self.records[place])
        parts = self._rule.point_values(features, direction)
        maps = {
            "similarity": parts.similarity,
            "importance": parts.importance,
            "value": parts.value,
        }
        grids = {name: each.reshape(features.grid_size) for name, each in maps.items()}
        return _mapped(sample, features, grids)

    def _info(self, points: int) -> dict[str, Any]:
        settings = self.settings
        return {
            "software": "boxrefine_d2",
            "version": boxrefine_d2.__version__,
            "method": RULE,
            "parameters": rule_parameters(RULE, **settings.parameters),
            "backbone": settings.backbone,
            "weights": asdict(self._network.weights_info),
            "facet": self._facet,
            "max_side": settings.max_side,
            "base": settings.base,
            "base_images": len(self.records) - len(self.failed),
            "base_images_failed": self.failed,
            "base_points": points,
            "tau": self._rule.threshold_norm,
        }


def record_of(spec: str, image: str) -> Record:
    """Return the record of an image of a data set.

    Args: image: its name, relative to the folder of the data set, or its id.
    Raises: UserError if the data set has no such image.
    """
    records = load_spec(spec).records
    for record in records:
        if image in (record["relative_name"], record["file_name"], str(record["image_id"])):
            return record
    names = [record["relative_name"] for record in records]
    close = get_close_matches(image, names, n=1) or names[:1]
    raise UserError(
        f"--image {image!r}: {spec} has no such image among its {len(records)}"
        + (f"; it has {close[0]!r}" if close else "")
    )


def _rule_of(parameters: Mapping[str, Any]) -> Representer:
    rule = build_rule(RULE, **parameters)
    assert isinstance(rule, Representer)
    if rule.sampling_ratio != 1:
        raise UserError(
            f"sampling_ratio is {rule.sampling_ratio:g}, and an explanation reads all points; name "
            "fewer images with +every=N"
        )
    if rule.importance == "norm_only":
        raise UserError(
            "importance norm_only compares with no other point, so that none explains; choose "
            "ratio or mean_norm"
        )
    return rule


def _mapped(
    sample: Mapping[str, Any], features: FeatureMap, maps: Mapping[str, Tensor]
) -> MappedImage:
    """Return the original image with maps (h, w)."""
    [(height, width)] = features.image_sizes
    (h, w), (sy, sx) = features.grid_size, features.strides
    return MappedImage(
        sample["image_id"],
        sample["relative_name"],
        read_image(sample["file_name"]),
        {name: each.double().cpu().numpy() for name, each in maps.items()},
        (w * sx * sample["width"] / width, h * sy * sample["height"] / height),
    )


def _explaining(points: PointTable, images: Mapping[int, MappedImage]) -> list[ExplainingPoint]:
    return [
        ExplainingPoint(images[place].image_id, images[place].cell(number), *parts)
        for place, number, *parts in points.each()
    ]
