"""Check that a prediction file belongs to the images of the ground truth."""

from collections.abc import Iterable

from boxrefine_d2.errors import UserError

from .ground_truth import ImageId

# least share of the smaller set of image ids that must be in the other set; `+first=N` makes
# either set the smaller one
MIN_MATCHED_SHARE = 0.5
# share of the ground truth's images with a prediction below which a warning is printed
SMALL_OVERLAP_SHARE = 0.5


def check_ids(
    path: str, image_ids: Iterable[ImageId], known: Iterable[ImageId], name: str, all_images: bool
) -> list[str]:
    """Compare the image ids of a prediction file with those of the ground truth.

    Args:
        path: name of the prediction file, for messages.
        image_ids: ids in the file.
        known: ids of the ground truth.
        name: name of the ground truth, for messages.
        all_images: whether images without a prediction count; if so, many of them are a warning.
    Returns: warnings, one line each.
    Raises: UserError if less than half of the ids of the smaller set are in the other one.
    """
    predicted, wanted = dict.fromkeys(image_ids), dict.fromkeys(known)
    matched = [image_id for image_id in predicted if image_id in wanted]
    if len(matched) < MIN_MATCHED_SHARE * min(len(predicted), len(wanted)):
        count = f"only {len(matched)}" if matched else "none"
        raise UserError(
            f"{path}: {count} of its {len(predicted)} image ids are among the {len(wanted)} of "
            f"{name}: the file has {_examples(predicted)}, the ground truth has "
            f"{_examples(wanted)}; {_id_remedy(predicted, wanted)}"
        )
    warnings = []
    if all_images and len(matched) < SMALL_OVERLAP_SHARE * len(wanted):
        warnings.append(
            f"only {len(matched)} of the {len(wanted)} images of {name} have a prediction, "
            f"all others count as misses; was {path} made of a part, such as {name}+first=N?"
        )
    foreign = len(predicted) - len(matched)
    return warnings + (
        [f"{foreign} images of {path} are not in {name}: ignored"] if foreign else []
    )


def _id_remedy(predicted: Iterable[ImageId], wanted: Iterable[ImageId]) -> str:
    texts = {str(image_id) for image_id in wanted}
    if any(str(image_id) in texts for image_id in predicted):
        return "they are equal as text: write them with the same JSON type (5 is not '5')"
    numbers = {_as_number(image_id) for image_id in wanted} - {None}
    if any(_as_number(image_id) in numbers for image_id in predicted):
        return "they are equal as numbers: write them exactly as the ground truth does"
    return "name the data set that the predictions were made on, or write its ids"


def _as_number(image_id: ImageId) -> int | None:
    stem = str(image_id).rsplit(".", 1)[0]
    return int(stem) if stem.isdecimal() else None


def _examples(image_ids: Iterable[ImageId]) -> str:
    ids = [repr(image_id) for image_id in image_ids]
    return ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
