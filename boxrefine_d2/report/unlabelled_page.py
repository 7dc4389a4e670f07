"""Page of a run of `BoxRefiner` on images without labels: what changed, and no accuracy."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from markupsafe import Markup
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.data import ImageReadError, read_image, register_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.sources import DETECTOR, REFINED
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.progress import progress_bar

from .drawing import drawn_box, panel, panel_sizes
from .figures import CellMap, boxes_and_maps, load_model
from .page import TITLE, repeat_section
from .rendering import number, render
from .rule_maps import MAPS, rule_title
from .run_folder import FinishedRun
from .summary import versions
from .tables import record_table
from .training_charts import training_charts

READ_PER_SHOWN = 4  # images that are read for each card; those that changed most are shown


@dataclass(frozen=True)
class ChangedImage:
    """Training image with the rule's box before refinement and after it.

    Attributes:
        name: file name, relative to the folder of the dataset.
        image: (H, W, 3) uint8.
        boxes: source -> (1, 4) XYXY in image pixels, or (0, 4) for none.
        maps: source -> map that the box was read from.
        iou: IoU of the rule's boxes before and after.
    """

    name: str
    image: np.ndarray
    boxes: dict[str, Tensor]
    maps: dict[str, CellMap]
    iou: float


def write_unlabelled_page(path: str | Path, run: FinishedRun, shown: int) -> None:
    """Write the page of a run without test data.

    Args: shown: number of training images that are drawn.
    Raises: UserError if the model is missing, no image can be read, or `path` cannot be written.
    """
    wanted = READ_PER_SHOWN * shown
    changed = list(_changed_images(run, wanted))
    if not changed:
        raise UserError(
            f"none of the first {wanted} training images of the run in {run.folder} can be read: "
            "put the images back to where they were"
        )
    changed.sort(key=lambda image: image.iou)
    rule, record = run.cfg.DISCOVERY.NAME, run.results["record"]
    facts = {
        "seeds": [run.seed],
        "runs": [{"record": record}],
        "weights": run.results["weights"],
        "versions": versions(),
        "commands": [],
    }
    page = render(
        "run/unlabelled.html",
        title=TITLE,
        verdict=_verdict(record, rule),
        rule=rule_title(rule),
        drawn=min(shown, len(changed)),
        compared=len(changed),
        cards=_cards(changed[:shown], rule),
        curves=training_charts([run]),
        record=record_table(facts),
        repeat=repeat_section(facts, run),
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(record: dict[str, Any], rule: str) -> Markup:
    return render(
        "run/unlabelled_verdict.html",
        rule=rule_title(rule),
        images=record.get("images", 0),
        changed=record.get("boxes_changed"),
        stopped=record.get("stopped"),
    )


@torch.no_grad()
def _changed_images(run: FinishedRun, count: int) -> Iterator[ChangedImage]:
    """Yield the readable images among the first `count` training images of the run."""
    model, rule = load_model(run), run.cfg.DISCOVERY.NAME
    records = [
        record
        for name in run.cfg.DATASETS.TRAIN
        for record in DatasetCatalog.get(register_spec(name))
    ][:count]
    with progress_bar("compare boxes", total=len(records)) as bar:
        for record in records:
            bar.update()
            try:
                boxes, maps = boxes_and_maps(model, run.cfg, record)
                image = read_image(record["file_name"])
            except ImageReadError:
                continue  # the record of the run counts the images that cannot be read
            before, after = boxes[rule], boxes[REFINED]
            both = len(before) and len(after)
            iou = float(box_iou(before, after)) if both else float(len(before) == len(after))
            name = record.get("relative_name", record["file_name"])
            yield ChangedImage(name, image, boxes, maps, iou)


def _cards(changed: list[ChangedImage], rule: str) -> Markup:
    title = rule_title(rule)
    lines = {"before": f"{title} before", "after": f"{title} after"}
    if any(DETECTOR in image.boxes for image in changed):
        lines["h"] = "h, best box"
    return render(
        "run/cards.html",
        lines=lines,
        maps_show=MAPS[rule].meaning if any(image.maps for image in changed) else "",
        iou_is="The number beside a name is the IoU of the boxes before and after.",
        cards=[_card(image, rule) for image in changed],
    )


def _card(changed: ChangedImage, rule: str) -> dict[str, Any]:
    image, boxes = changed.image, changed.boxes
    height, width = image.shape[:2]

    def drawn(*styles: tuple[str, str]) -> list[Any]:
        pairs = [(style, box) for style, source in styles for box in boxes.get(source, ())]
        return [drawn_box(style, box, width, height) for style, box in pairs]

    all_boxes = drawn(("after", REFINED), ("h", DETECTOR), ("before", rule))
    panels = [panel(image, f"{changed.name} with all boxes", all_boxes)]
    for source, when in ((rule, "before"), (REFINED, "after")):
        if source in changed.maps:
            cells, text = changed.maps[source], f"map and box {when}, of {changed.name}"
            box = drawn((when, source))
            panels.append(panel(image, text, box, cells=cells, caption=when))
    return {
        "name": changed.name,
        "colour": "even",
        "badge": f"IoU {number(changed.iou, digits=2)}",
        "panels": panels,
        "sizes": panel_sizes(image, has_maps=len(panels) > 1),
        "ious": [],
    }
