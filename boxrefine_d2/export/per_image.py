"""One file an image, under the image's own name and folders."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from boxrefine_d2.errors import UserError

from .labelled_images import LabelledImage


def write_per_image(
    folder: Path,
    images: Sequence[LabelledImage],
    suffix: str,
    content: Callable[[LabelledImage], bytes],
) -> None:
    """Writes `folder`/a/b.SUFFIX for an image a/b.jpg, with a progress bar.

    Raises: UserError for a file name that `image_stems` refuses.
    """
    stems = image_stems(images)
    made = set()
    for image, stem in tqdm(zip(images, stems, strict=True), "export", len(stems), unit="img"):
        path = folder / f"{stem}{suffix}"
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(content(image))


def image_stems(images: Iterable[LabelledImage]) -> list[PurePosixPath]:
    """The file names without their suffix: a/b of a/b.jpg.

    Raises: UserError for a name that leads out of the folder or does not fit a line of text, and for two images that
            differ in their suffix only, since formats of one file an image cannot tell them apart.
    """
    owner: dict[PurePosixPath, str] = {}
    for image in images:
        name = image.file_name
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"image {name!r} lies outside the data set's folder; file names must be relative"
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise UserError(
                f"image {name!r} has a character that is no text in its name; rename it"
            )
        stem = path.with_suffix("")
        if stem in owner:
            raise UserError(
                f"images {owner[stem]!r} and {name!r} would have the same file in this format, which leaves out the "
                "suffix; rename one, or export to csv or coco"
            )
        owner[stem] = name
    return list(owner)
