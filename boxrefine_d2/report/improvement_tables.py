"""Tables of an improvement's page: the signals, and the scores of labels."""

from typing import Any

from markupsafe import Markup

from .rendering import number, render

_LIMITS = (1, 2, 5, 10, 20, 30, 50, 100)  # ends of the axes of differences, percent points


def signals_table(found: dict[str, Any]) -> Markup:
    """Return the label-free signals of one round of verdict.json."""
    signals = found["signals"]
    area, shift, overlap = (signals[x] for x in ("area_ratio", "feature_shift", "overlap"))
    rows = [
        _change(
            "agreement with mirrored images",
            "mean IoU of the box on an image and the box on the mirrored image, percent",
            signals["flip_agreement"],
        ),
        _change(
            "agreement of different rules",
            "mean IoU of the boxes of three rules on the same map, percent",
            signals["rule_agreement"],
        ),
        _change(
            "likeness of different images",
            "mean IoU of the boxes of two images, each as if it had the same size, percent",
            signals["likeness"],
        )
        | {"colour": "even"},  # neither a rise nor a fall is good in itself
        _plain(
            "area of the boxes",
            "factor, after divided by before; geometric mean",
            f"× {number(area['mean'], digits=2)}",
            [number(end, digits=2) for end in area["ci95"]],
        ),
        _plain(
            "shift of the map",
            "relative L2 distance of the maps, percent",
            number(shift["mean"]),
            [number(end) for end in shift["ci95"]],
        ),
        _plain(
            "boxes before and after",
            "mean IoU, percent; 100 if nothing changed",
            number(overlap["mean"]),
            [number(end) for end in overlap["ci95"]],
        ),
    ]
    return render("improvement/changes.html", rows=rows, caption="")


def labels_table(scores: dict[str, Any]) -> Markup:
    """Return CorLoc and AP50 before and after. Args: scores: "labels" of a round."""
    rows = [_change("CorLoc", "share of images whose best box has IoU ≥ 0.5", scores["corloc"])]
    if "ap50" in scores:
        rows.append(_change("AP50", "COCO's, class-agnostic, of all boxes", scores["ap50"]))
    caption = f"{scores['images']} images with labels, percent"
    return render("improvement/changes.html", rows=rows, caption=caption)


def _change(title: str, why: str, change: dict[str, Any]) -> dict[str, Any]:
    difference = change["difference"]
    low, high = difference["ci95"]
    furthest = max(abs(low), abs(high))
    return {
        "title": title,
        "why": why,
        "before": number(change["before"]["mean"]),
        "after": number(change["after"]["mean"]),
        "difference": number(difference["mean"], signed=True),
        "interval": [number(end, signed=True) for end in (low, high)],
        "plot": difference | {"per_seed": []},
        "limit": next((x for x in _LIMITS if x >= furthest - 1e-9), _LIMITS[-1]),
        "colour": "gain" if low > 0 else "loss" if high < 0 else "even",
    }


def _plain(title: str, why: str, value: str, interval: list[str]) -> dict[str, Any]:
    """Return a row of a signal that exists only between before and after."""
    row = {"title": title, "why": why, "before": "", "after": "", "difference": value}
    return row | {"interval": interval, "plot": None, "limit": 0, "colour": "even"}
