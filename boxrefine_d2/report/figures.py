"""Examples of single images: boxes and maps of a finished run, and images as data URIs.

Boxes are XYXY, half-open, in pixels of the original image.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from matplotlib import colormaps
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.data import read_image, register_spec
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.discovery.build import rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.sources import DETECTOR, REFINED
from boxrefine_d2.refinement import BoxRefiner
from boxrefine_d2.training.checkpoint import SafeCheckpointer

from .detectors import Detector
from .rule_maps import MAPS
from .run_folder import FinishedRun, ImageHits, Run
from .summary import OUTCOMES, outcomes

SHOWN_SIDE = 512  # longest side of an image on the page, pixels
GROUND_TRUTH = "gt"
HIT_IOU = 0.5  # CorLoc's definition


@dataclass(frozen=True)
class CellMap:
    """Map of the rule on its grid.

    Attributes:
        values: (h, w) in [0, 1].
        extent: (width, height) that the whole grid covers, in image pixels; padding lies outside
            the image.
        colours: see `map_uri`.
    """

    values: np.ndarray
    extent: tuple[float, float]
    colours: str = "viridis"


@dataclass(frozen=True)
class Example:
    """A test image with everything that is drawn on it.

    Attributes:
        name: file name, relative to the folder of the dataset.
        outcome: a name of `summary.OUTCOMES`, as the run was scored.
        agrees: True if the boxes drawn now give that outcome, too. They may differ if data or code
            changed since.
        image: (H, W, 3) uint8.
        boxes: source -> boxes. "gt" has (N, 4). The rule's name, "h" and "refined" have (1, 4), or
            (0, 4) for none; with detectors also "lost_cad" and "refined_cad".
        iou: source -> IoU of its box with the object that it overlaps most.
        maps: the rule's name and "refined" -> the map that the box was read from; {} if the rule
            has no map to show.
    """

    name: str
    outcome: str
    agrees: bool
    image: np.ndarray
    boxes: dict[str, Tensor]
    iou: dict[str, float]
    maps: dict[str, CellMap]


def choose(codes: np.ndarray, count: int) -> list[int]:
    """Return the indices of the images to show.

    Up to a third are "helped" and up to a third "hurt"; the two other outcomes share the rest.
    The images are always the first ones in the order of the dataset, so that nobody can select
    them. If one outcome has too few images, the others fill its place.

    >>> choose(np.array([3, 0, 2, 1, 3, 2, 3]), 5)
    [1, 3, 2, 0, 5]

    Args: codes: (N,) index into `summary.OUTCOMES`.
    """
    kinds = [np.flatnonzero(codes == code).tolist() for code in range(len(OUTCOMES))]
    third = max(1, count // 3)
    shown = [kinds[0][:third], kinds[1][:third], [], []]
    neither = _taking_turns(kinds[2], kinds[3])
    rest = [*neither, *kinds[0][third:], *kinds[1][third:]]
    for index in rest[: max(0, count - len(shown[0]) - len(shown[1]))]:
        shown[codes[index]].append(index)
    ordered = [*shown[0], *shown[1], *_taking_turns(shown[2], shown[3])]
    return ordered[:count]


@torch.no_grad()
def examples(
    run: Run, dataset: str, count: int, detectors: Sequence[Detector] = ()
) -> list[Example]:
    """Return `count` images of a test dataset, with boxes and maps of the run's final model.

    Args: detectors: detectors trained on the run's boxes; their boxes are drawn, too.
    Raises: UserError if the model is missing.
    """
    model = load_model(run)
    codes = outcomes(run.hits[dataset], run.rule)
    records = {r["image_id"]: r for r in DatasetCatalog.get(register_spec(dataset))}
    truth = run.gt_boxes(dataset)
    shown = []
    for index in choose(codes, count):
        image_id = run.hits[dataset].image_ids[index]
        record = records[image_id]
        boxes, maps = boxes_and_maps(model, run.cfg, record)
        boxes |= {detector.source: _best_box(detector, image_id) for detector in detectors}
        gt_boxes = truth[image_id].double()
        iou = {source: _best_iou(box, gt_boxes) for source, box in boxes.items()}
        boxes[GROUND_TRUTH] = gt_boxes
        hits = {source: np.array([iou[source] >= HIT_IOU]) for source in (run.rule, REFINED)}
        agrees = bool(outcomes(ImageHits([image_id], hits), run.rule)[0] == codes[index])
        name = record.get("relative_name", record["file_name"])
        image = read_image(record["file_name"])
        shown.append(Example(name, OUTCOMES[codes[index]], agrees, image, boxes, iou, maps))
    return shown


def load_model(run: FinishedRun) -> Any:
    """Load the run's final model, in eval mode. Raises: UserError if it is missing."""
    path = run.folder / "model_final.pth"
    if not path.is_file():
        raise UserError(
            f"no {path.name} in {run.folder}: the page's boxes and maps are made with it"
        )
    model = build_model(run.cfg)
    SafeCheckpointer(model).load(str(path))
    return model.eval()


def photo_uri(image: np.ndarray, side: int = SHOWN_SIDE) -> str:
    """Return an image (H, W, 3) uint8 as a JPEG data URI, its longest side reduced to `side`."""
    photo = Image.fromarray(image)
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(photo, "JPEG", quality=82, optimize=True)


def map_uri(values: np.ndarray, colours: str = "viridis") -> str:
    """Return a map (h, w) in [0, 1] as a PNG data URI, one pixel per cell.

    Args: colours: a colour map of matplotlib; viridis can be read by the colour-blind.
    """
    shown = colormaps[colours](values, bytes=True)[..., :3]
    return _uri(Image.fromarray(np.ascontiguousarray(shown)), "PNG", optimize=True)


def boxes_and_maps(
    model: BoxRefiner, cfg: CfgNode, record: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, CellMap]]:
    """Return the first box of each source on an image, and the maps of the rule before and after.

    Returns: source -> (1, 4) float64, or (0, 4); source -> map, {} if the rule has none to show.
    Raises: ImageReadError for an image that cannot be read.
    """
    sample = WholeImageMapper(cfg.INPUT.MAX_SIDE)(record)
    [output] = model([sample])
    boxes = {name: each.boxes[:1].double() for name, each in output["pseudo_boxes"].items()}
    if "instances" in output:  # a refinement without h has none
        boxes[DETECTOR] = output["instances"].pred_boxes.tensor[:1].double()
    rule = cfg.DISCOVERY.NAME
    if rule not in MAPS:
        return boxes, {}
    input_size = tuple(sample["image"].shape[-2:])
    f = model.map_network
    shared = f.share(f.prepare([sample["image"]]))
    maps = {}
    for name, network in ((rule, model.reference_network), (REFINED, f)):
        features = network.map_of(shared, [input_size])
        (h, w), (sy, sx) = features.grid_size, features.strides
        extent = (
            w * sx * sample["width"] / input_size[1],
            h * sy * sample["height"] / input_size[0],
        )
        maps[name] = CellMap(MAPS[rule].draw(features, **rule_parameters(rule, cfg)), extent)
    return boxes, maps


def _best_box(detector: Detector, image_id: Any) -> Tensor:
    box = detector.best_boxes.get(image_id)
    return torch.tensor([] if box is None else [list(box)], dtype=torch.float64).reshape(-1, 4)


def _best_iou(boxes: Tensor, gt_boxes: Tensor) -> float:
    return float(box_iou(boxes, gt_boxes).max()) if len(boxes) and len(gt_boxes) else 0.0


def _taking_turns(one: Sequence[int], other: Sequence[int]) -> list[int]:
    paired = [index for pair in zip(one, other, strict=False) for index in pair]
    return [*paired, *one[len(other) :], *other[len(one) :]]


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
