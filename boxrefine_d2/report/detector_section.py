"""Section of the page on detectors that were trained on the run's boxes."""

from typing import Any

from markupsafe import Markup

from boxrefine_d2.training.setup import load_config

from .detectors import cad_source, gain_name
from .rendering import render
from .summary import detector_titles

PUBLISHED = "configs/cad_lost.yaml"
_HEADS = ("the rule's box", "CAD's best box", "gain, points", "95 % interval of the gain", "AP50")


def detector_section(summary: dict[str, Any]) -> Markup:
    """Return CAD's scores and those of the boxes it learnt from; empty without detectors."""
    if "detectors" not in summary:
        return Markup()
    detectors, titles = summary["detectors"], detector_titles(summary["rule"])
    return render(
        "run/detectors.html",
        comparison=" ".join(
            _comparison(title, detectors["gain"][gain_name(x)]) for x, title in titles.items()
        ),
        dataset=summary["dataset"],
        images=summary["images"],
        seed=detectors["seed"],
        heads=_HEADS,
        rows=[_row(source, title, detectors) for source, title in titles.items()],
        steps=detectors["steps"],
        published=_published(),
        commands=detectors["commands"],
    )


def _published() -> str:
    cfg = load_config(PUBLISHED, [])
    images, steps = cfg.SOLVER.REFERENCE_BATCH, f"{cfg.SOLVER.MAX_ITER:,}".replace(",", " ")
    return f"{steps} steps of {images} images with a ResNet-{cfg.MODEL.RESNETS.DEPTH}"


def _row(source: str, title: str, detectors: dict[str, Any]) -> dict[str, Any]:
    scores = detectors["sources"]
    cad_scores = scores[cad_source(source)]
    return {
        "title": title,
        "before": scores[source]["corloc"]["mean"],
        "cad": cad_scores["corloc"]["mean"],
        "gain": detectors["gain"][gain_name(source)],
        "ap50": cad_scores["ap50"],
    }


def _comparison(title: str, gain: dict[str, Any]) -> str:
    """Return a sentence that compares CAD with the boxes it learnt from.

    It calls a difference one only if the interval of the gain excludes zero.
    """
    low, high = gain["ci95"]
    if low > 0:
        return f"{title} beats the boxes it learnt from."
    if high < 0:
        return f"{title} stays below the boxes it learnt from."
    return (
        f"{title}: the interval of the gain holds zero, so this run does not show that it is "
        "better or worse."
    )
