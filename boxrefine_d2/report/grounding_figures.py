"""Examples of single phrases: answers and heatmaps of the model of a finished run.

Boxes are XYXY, half-open, and points (x, y) are pixels, all of the original image; S x S pixels of
the input.
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

from .figures import CellMap, choose, load_model
from .grounding_kinds import BOX, METRICS, POINTING, GroundingKind
from .grounding_run import GroundingRun

MAP_SIDE = 112  # side of a heatmap on the page, pixels


@dataclass(frozen=True)
class DrawnMap:
    """Heatmap as it is shown.

    Attributes:
        cells: map on its own scale: 0 is its lowest value and 1 its highest.
        low, high: these two values, in [0, 1].
    """

    cells: CellMap
    low: float
    high: float


@dataclass(frozen=True)
class PhraseExample:
    """A phrase of a test image with everything that is drawn for it.

    Attributes:
        name: file name, relative to the folder of the dataset.
        phrases: phrasings of the same phrase.
        hits: "pointing" and "box_acc" -> source -> True for a hit when the run was scored.
        agrees: True if the answers drawn now, before and after, hit and miss in the same way. They
            may differ if data or code changed since.
        image: (H, W, 3) uint8.
        truth: (N, 4), boxes of the phrase.
        boxes: source -> (1, 4), or (0, 4) for none.
        points: source -> (x, y); sources without a point are absent.
        iou: source -> IoU of its box with the union of `truth`.
        maps: source -> heatmap, of the sources before and after.
    """

    name: str
    phrases: tuple[str, ...]
    hits: dict[str, dict[str, bool]]
    agrees: bool
    image: np.ndarray
    truth: Tensor
    boxes: dict[str, Tensor]
    points: dict[str, tuple[int, int]]
    iou: dict[str, float]
    maps: dict[str, DrawnMap]


def load_grounding_model(run: GroundingRun) -> Any:
    """Load the run's final `HeatmapModel`, in eval mode.

    Raises: UserError if the model, its CLIP or the extra is missing.
    """
    trainer_for(run.cfg)  # the import of the trainer registers the architecture
    return load_model(run)


@torch.no_grad()
def phrase_examples(run: GroundingRun, model: Any, dataset: str, count: int) -> list[PhraseExample]:
    """Return `count` phrases of a test dataset: the first of each outcome of the box.

    Raises: UserError if the dataset has lost phrases of the run.
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
            metric: {source: bool(hit[index]) for source, hit in by_source.items()}
            for metric, by_source in hits.by_metric.items()
        }
        shown.append(_example(run.kind, model, mapper, records[unit[0]], phrases[unit], scored))
    return shown


def _check_known(
    units: list[UnitId], phrases: dict[UnitId, GroundedPhrase], run: GroundingRun, dataset: str
) -> None:
    missing = [unit for unit in units if unit not in phrases]
    if missing:
        raise UserError(
            f"{dataset} has changed since the run in {run.folder}: {len(missing)} of its "
            f"{len(units)} phrases are not there any more (first: annotation {missing[0][1]!r} of "
            f"image {missing[0][0]!r}); repeat the run"
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
    answers: dict[str, PhraseLocalisation] = {
        source: answer["grounding"][source][phrase.annotation_id] for source in kind.drawn
    }
    boxes = {source: _box(one) for source, one in answers.items()}
    points = {source: one.point for source, one in answers.items() if one.point is not None}
    union = union_box(phrase.boxes)[None]
    drawn_now = {
        POINTING: {source: phrase.is_pointed_at(point) for source, point in points.items()},
        BOX: {source: phrase.is_boxed(one.box) for source, one in answers.items()},
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
        image=read_image(record["file_name"]),
        truth=phrase.boxes,
        boxes=boxes,
        points=points,
        iou={s: float(box_iou(box, union)) if len(box) else 0.0 for s, box in boxes.items()},
        maps=_maps(kind, model, sample),
    )


def _box(answer: PhraseLocalisation) -> Tensor:
    return torch.tensor([] if answer.box is None else [answer.box], dtype=torch.float64).reshape(
        -1, 4
    )


def _maps(kind: GroundingKind, model: Any, sample: dict[str, Any]) -> dict[str, DrawnMap]:
    """Return the heatmaps of the only query of a sample: means over its phrasings."""
    # imported here because only this function needs the extra `grounding`
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
    """Return a heatmap in the form that the page shows.

    Args: heatmap: (S, S) in [0, 1].  size: (H, W) of the image that it covers.
    """
    side = min(MAP_SIDE, len(heatmap))
    low, high = heatmap.min().item(), heatmap.max().item()
    small = F.interpolate(heatmap[None, None].double(), size=(side, side), mode="area")[0, 0]
    stretched = (small - low) / (high - low) if high > low else torch.zeros_like(small)
    return DrawnMap(CellMap(stretched.cpu().numpy(), (size[1], size[0])), low, high)
