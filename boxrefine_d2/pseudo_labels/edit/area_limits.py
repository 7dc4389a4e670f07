"""Labels whose area, as a share of their image, lies within limits."""

from collections.abc import Iterator

from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import FilePath
from boxrefine_d2.files.values import known_size

from .edited_file import Edit, EditSummary, write_edited
from .edits import EditedLabels
from .label_file import Entry, open_label_file
from .limits import check_share
from .overlaps import mask_rle


def limit_areas(
    source: FilePath, output: FilePath, *, min_area: float = 0.0, max_area: float = 1.0
) -> EditSummary:
    """Keep the labels that cover at least `min_area` and at most `max_area` of their image.

    A label with a mask is measured by its mask, and one without by the part of its box inside the
    image. Images that lose all labels stay listed.

    Args: min_area, max_area: shares of the image, from 0 to 1.
    Raises: UserError for impossible shares, for an image of unknown size, and if no label is left.
    """
    check_share("--min-area", min_area)
    check_share("--max-area", max_area)
    if min_area > max_area:
        raise UserError(f"--min-area {min_area} is above --max-area {max_area}; exchange them")
    labels = open_label_file(source)
    small = large = 0

    def remedy() -> str:
        if not labels.label_count:
            return "it has none"
        counts = [(small, "smaller", "lower --min-area"), (large, "larger", "raise --max-area")]
        told = [f"{count} are {word}: {advice}" for count, word, advice in counts if count]
        return ", ".join(told)

    def edited() -> Iterator[tuple[int, EditedLabels]]:
        nonlocal small, large
        for image, own in labels.by_image():
            shares = [_share(label, image) for label in own]
            small += sum(share < min_area for share in shares)
            large += sum(share > max_area for share in shares)
            pairs = zip(own, shares, strict=True)
            kept = [label for label, share in pairs if min_area <= share <= max_area]
            yield len(own), EditedLabels(kept)

    edit = Edit("areas", {"min_area": min_area, "max_area": max_area}, {"input": labels}, remedy)
    summary = write_edited(
        output, edit, images=labels.images(), image_count=labels.image_count, edited=edited()
    )
    return summary.with_notes(
        f"{small} cover less than {min_area:g} of their image" if small else "",
        f"{large} cover more than {max_area:g}" if large else "",
    )


def _share(label: Entry, image: Entry) -> float:
    """Return the share of the image that a label covers, from 0 to 1."""
    size = known_size(image)
    if size is None:
        raise UserError(
            f"image {image['id']!r} ({image['file_name']!r}) has no width and height, so no share "
            "of it can be computed; write them into the file"
        )
    height, width = size
    if label.get("segmentation"):
        return float(mask_codec.area(mask_rle(label, image))) / (height * width)
    x, y, w, h = label["bbox"]
    inside_w = max(0.0, min(x + w, width) - max(x, 0))
    inside_h = max(0.0, min(y + h, height) - max(y, 0))
    return float(inside_w * inside_h / (height * width))
