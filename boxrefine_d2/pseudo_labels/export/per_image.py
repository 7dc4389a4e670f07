"""Writing of one file per image, with a progress bar."""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import with_progress

from .labelled_images import LabelledImage


def write_per_image(
    folder: Path,
    images: Sequence[LabelledImage],
    names: Sequence[PurePosixPath],
    content: Callable[[LabelledImage], bytes],
) -> None:
    """Write one file per image, with a progress bar.

    Args: names: names of the files, relative to `folder`; see `file_names`.
        content: function that returns the bytes of an image's file.
    Raises: UserError if the disk does not distinguish two of the names.
    """
    made = set()
    for image, name in with_progress(zip(images, names, strict=True), "export", len(names)):
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        try:
            with path.open("xb") as file:
                file.write(content(image))
        except FileExistsError as error:
            raise UserError(
                f"image {image.file_name!r} would overwrite the file of another one: this disk "
                f"does not distinguish {str(name)!r} from a name that differs in upper and lower "
                "case or in accents; rename one, or export to csv or coco"
            ) from error
