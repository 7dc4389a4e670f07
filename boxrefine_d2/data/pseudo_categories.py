"""Categories of a pseudo-label file: the one "object", or the classes of its images."""

from collections.abc import Mapping, Sequence
from typing import Any

from boxrefine_d2.files.values import is_text, is_whole, shown_value

OBJECT_ID, OBJECT_NAME = 1, "object"

Category = Mapping[str, Any]  # {"id", "name"}
OBJECT_CATEGORIES: Sequence[Category] = ({"id": OBJECT_ID, "name": OBJECT_NAME},)

SOFTWARE = {"software": "boxrefine_d2"}  # entry of `info` of every file with classes


def categories_of(document: Mapping[str, Any]) -> Sequence[Category] | None:
    """Return the categories of a pseudo-label file; None for a file that is none.

    Every category list but the one "object" needs `SOFTWARE` in the `info` of the file, so that
    nobody takes ground truth for pseudo-labels.
    """
    categories, info = document.get("categories", []), document.get("info")
    if [category.get("id") for category in categories] == [OBJECT_ID]:
        return OBJECT_CATEGORIES
    ours = isinstance(info, dict) and SOFTWARE.items() <= info.items()
    return categories if ours and categories_problem(categories) is None else None


def categories_problem(categories: Sequence[Category]) -> str | None:
    """Return the problem with a list of categories, or None if it is valid."""
    if not categories:
        return "there is no category"
    for category in categories:
        if not is_whole(category.get("id")) or not is_text(category.get("name")):
            return f"category {shown_value(category)} needs a whole number as id and a name"
    for key in ("id", "name"):
        values = [category[key] for category in categories]
        if len(set(values)) < len(values):
            return f"two categories have one {key}"
    return None
