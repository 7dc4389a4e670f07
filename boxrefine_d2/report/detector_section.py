"""The section of the page on detectors that were trained on the run's boxes."""

from typing import Any

from boxrefine_d2.training.setup import load_config

from .detectors import cad_source, gain_name
from .frame import section
from .page_text import escape
from .summary import detector_titles
from .tables import number

PUBLISHED = "configs/cad_lost.yaml"
_HEADS = ("the rule's box", "CAD's best box", "gain, points", "95 % interval of the gain", "AP50")


def detector_section(summary: dict[str, Any]) -> str:
    """CAD beside the boxes that it learnt from; "" if no detector was trained."""
    if "detectors" not in summary:
        return ""
    found, titles = summary["detectors"], detector_titles(summary["rule"])
    rows = "".join(_row(source, title, found) for source, title in titles.items())
    said = " ".join(
        _said(title, found["gain"][gain_name(source)]) for source, title in titles.items()
    )
    commands = "".join(f"<pre>{escape(command)}</pre>" for command in found["commands"])
    heads = "".join(f'<th scope="col" class="num">{head}</th>' for head in _HEADS)
    return section(
        "detectors",
        "Detectors trained on these boxes",
        "<p>CAD, a class-agnostic detector that reads pictures, learns from what the rule draws on each "
        "training image. Below, its best box on the test images against the rule's box on the same images. "
        f"{escape(said)}</p>"
        '<div class="scroll"><table class="stack detectors"><caption>CorLoc on '
        f"<code>{escape(summary['dataset'])}</code>, {summary['images']} images, percent; seed {found['seed']} only</caption>"
        f'<thead><tr><th scope="col">detector</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="soft small">One seed and {found["steps"]} steps of a small network, where the published CAD takes '
        f"{_published()}: the rows show that the chain works, not how good CAD can be. 95 % intervals: paired "
        "bootstrap over images. AP50 is COCO's, class-agnostic, of all its boxes.</p>"
        f"<details><summary>The commands that trained them</summary>{commands}</details>",
    )


def _published() -> str:
    cfg = load_config(PUBLISHED, [])
    images, steps = cfg.SOLVER.REFERENCE_BATCH, f"{cfg.SOLVER.MAX_ITER:,}".replace(",", " ")
    return f"{steps} steps of {images} images with a ResNet-{cfg.MODEL.RESNETS.DEPTH}"


def _row(source: str, title: str, found: dict[str, Any]) -> str:
    scores, gain = found["sources"], found["gain"][gain_name(source)]
    of_cad = scores[cad_source(source)]
    low, high = (number(x, signed=True) for x in gain["ci95"])
    cells = (
        number(scores[source]["corloc"]["mean"]),
        f'<span class="big">{number(of_cad["corloc"]["mean"])}</span>',
        number(gain["mean"], signed=True),
        f"[{low}, {high}]",
        number(of_cad["ap50"]),
    )
    values = "".join(
        f'<td class="num" data-head="{escape(head)}">{cell}</td>'
        for head, cell in zip(_HEADS, cells, strict=True)
    )
    return f'<tr><th scope="row">{escape(title)}</th>{values}</tr>'


def _said(title: str, gain: dict[str, Any]) -> str:
    """Whether CAD beats the boxes that it learnt from; said only where the interval of the gain says so."""
    low, high = gain["ci95"]
    if low > 0:
        return f"{title} beats the boxes it learnt from."
    if high < 0:
        return f"{title} stays below the boxes it learnt from."
    return f"{title}: the interval of the gain holds zero, so this run does not show that it is better or worse."
