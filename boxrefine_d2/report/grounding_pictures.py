"""What the page shows of single phrases: what a finished run's model finds for them now, and its heatmaps.

Boxes are XYXY, half-open, and points (x, y) are pixels, all of the original image; S x S pixels of the input.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.data import DatasetCatalog
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.data import read_image, register_spec
from boxrefine_d2.data.mappers.phrase import QueryMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.grounding import GroundedPhrase, UnitId, grounded_phrases
from boxrefine_d2.evaluation.sources import CLIP
from boxrefine_d2.structures import PhraseLocalisation, union_box
from boxrefine_d2.training.jobs import trainer_for

from .grounding_kinds import BOX, METRICS, POINTING, GroundingKind
from .grounding_run import GroundingRun
from .pictures import CellMap, choose, load_model

MAP_SIDE = 112  # of a heatmap on the page, pixels


@dataclass(frozen=True)
class DrawnMap:
    """A heatmap as it is shown.

    Attributes:
        cells: on its own scale, its lowest value 0 and its highest 1.
        low, high: these values, in [0, 1].
    """

    cells: CellMap
    low: float
    high: float


@dataclass(frozen=True)
class PhraseExample:
    """One phrase of a test image with everything that is drawn of it.

    Attributes:
        name: the file, below its data set's folder.
        phrases: phrasings of the same.
        hits: "pointing" and "box_acc" -> source -> whether it was right, as the run was scored.
        agrees: whether what is drawn here before and after hits and misses in the same way. Not so if data or code
            changed since.
        picture: (H, W, 3) uint8.
        truth: (N, 4), what the phrase names.
        boxes: source -> (1, 4), or (0, 4) for none.
        points: source -> (x, y), without those that point nowhere.
        iou: source -> IoU of its box with the union of `truth`.
        maps: of the sources before and after.
    """

    name: str
    phrases: tuple[str, ...]
    hits: dict[str, dict[str, bool]]
    agrees: bool
    picture: np.ndarray
    truth: Tensor
    boxes: dict[str, Tensor]
    points: dict[str, tuple[int, int]]
    iou: dict[str, float]
    maps: dict[str, DrawnMap]


def load_grounding_model(run: GroundingRun) -> Any:
    """The run's final `HeatmapModel`, in eval mode. Raises: UserError if it, its CLIP or the extra is not there."""
    trainer_for(run.cfg)  # the architectures are known once their trainers are
    return load_model(run)


@torch.no_grad()
def phrase_examples(run: GroundingRun, model: Any, dataset: str, count: int) -> list[PhraseExample]:
    """`count` phrases of a test data set: the first of each kind, by what became of the box.

    Raises: UserError if the data set does not have the run's phrases any more.
    """
    hits = run.hits[dataset]
    records = {r["image_id"]: r for r in DatasetCatalog.get(register_spec(dataset))}
    phrases = {p.unit_id: p for p in grounded_phrases(records.values(), dataset)}
    _check_known(hits.units, phrases, run, dataset)
    mapper = QueryMapper(run.cfg.INPUT.SQUARE_SIZE, run.cfg.GROUNDING.PROMPT)
    shown = []
    for index in choose(hits.outcomes(BOX, run.kind), count):
        unit = hits.units[index]
        scored = {
            metric: {source: bool(hit[index]) for source, hit in of.items()}
            for metric, of in hits.by_metric.items()
        }
        shown.append(_example(run.kind, model, mapper, records[unit[0]], phrases[unit], scored))
    return shown


def _check_known(
    units: list[UnitId], phrases: dict[UnitId, GroundedPhrase], run: GroundingRun, dataset: str
) -> None:
    strange = [unit for unit in units if unit not in phrases]
    if strange:
        raise UserError(
            f"{dataset} has changed since the run in {run.folder}: {len(strange)} of its {len(units)} phrases are not "
            f"there any more (first: annotation {strange[0][1]!r} of image {strange[0][0]!r}); repeat the run"
        )


def _example(
    kind: GroundingKind,
    model: Any,
    mapper: QueryMapper,
    record: dict[str, Any],
    phrase: GroundedPhrase,
    scored: dict[str, dict[str, bool]],
) -> PhraseExample:
    sample = mapper(record)
    sample["queries"] = [x for x in sample["queries"] if x[0] == phrase.annotation_id]
    [answer] = model([sample])
    found: dict[str, PhraseLocalisation] = {
        source: answer["grounding"][source][phrase.annotation_id] for source in kind.drawn
    }
    boxes = {source: _box(one) for source, one in found.items()}
    points = {source: one.point for source, one in found.items() if one.point is not None}
    union = union_box(phrase.boxes)[None]
    drawn_now = {
        POINTING: {source: phrase.is_pointed_at(point) for source, point in points.items()},
        BOX: {source: phrase.is_boxed(one.box) for source, one in found.items()},
    }
    return PhraseExample(
        name=record.get("relative_name", record["file_name"]),
        phrases=phrase.phrases,
        hits=scored,
        agrees=all(
            drawn_now[metric][source] == scored[metric][source]
            for metric in METRICS
            for source in (kind.before, kind.after)
        ),
        picture=read_image(record["file_name"]),
        truth=phrase.boxes,
        boxes=boxes,
        points=points,
        iou={s: float(box_iou(box, union)) if len(box) else 0.0 for s, box in boxes.items()},
        maps=_maps(kind, model, sample),
    )


def _box(found: PhraseLocalisation) -> Tensor:
    return torch.tensor([] if found.box is None else [found.box], dtype=torch.float64).reshape(
        -1, 4
    )


def _maps(kind: GroundingKind, model: Any, sample: dict[str, Any]) -> dict[str, DrawnMap]:
    """Of the only query of a sample, the mean over its phrasings."""
    # the extra `grounding` is needed from here on only
    from boxrefine_d2.language.relevance import relevance_maps

    images = model.normalised_images([sample])
    [(_, phrasings)] = sample["queries"]
    text = model.clip.encode_text(phrasings)
    image_of = [0] * len(phrasings)
    maps = {}
    for source in (kind.before, kind.after):
        if source == CLIP:
            layer = model.start_layer
            heatmaps = relevance_maps(model.clip, images, text, image_of, start_layer=layer)
        else:
            heatmaps = model.networks[source](images, text, image_of)[:, 0]
        maps[source] = drawn_map(heatmaps.mean(dim=0), (sample["height"], sample["width"]))
    return maps


def drawn_map(heatmap: Tensor, size: tuple[int, int]) -> DrawnMap:
    """A heatmap for the page.

    Args: heatmap: (S, S) in [0, 1].  size: (H, W) of the image that it covers.
    """
    side = min(MAP_SIDE, len(heatmap))
    low, high = heatmap.min().item(), heatmap.max().item()
    small = F.interpolate(heatmap[None, None].double(), size=(side, side), mode="area")[0, 0]
    stretched = (small - low) / (high - low) if high > low else torch.zeros_like(small)
    return DrawnMap(CellMap(stretched.cpu().numpy(), (size[1], size[0])), low, high)
