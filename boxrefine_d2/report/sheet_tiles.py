"""The tiles of a contact sheet: one picture each, with the boxes and masks of every file."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import torch

from boxrefine_d2.pseudo_labels.export import LabelledImage, mask_of

from .compared_files import ComparedImage
from .example_cards import box_drawing
from .mask_outline import mask_path
from .page_text import escape
from .pictures import SHOWN_SIDE, photo_uri
from .tables import number

LETTERS = "ABCDE"  # of the files; contact_sheet.html has a colour and a kind of line for each


def tile(image: ComparedImage, picture: np.ndarray) -> str:
    """The card of one image.

    Args: picture: (H, W, 3) uint8.
    Raises: UserError for a mask that cannot be decoded.
    """
    several = len(image.found) > 1
    what = "disagreement" if several else "top score"
    folder, base = PurePosixPath(image.name).parent, escape(PurePosixPath(image.name).name)
    name = f"<span>{escape(str(folder))}/</span>{base}" if folder.name else base
    badge = image.disagreement if several else image.score
    said = "–" if badge is None else number(badge, digits=2 if several else 3)
    lines = "".join(
        f'<div class="file-{index}">'
        + (f'<dt><span class="chip">{LETTERS[index]}</span></dt>' if several else "")
        + f"{_numbers(found, several)}</div>"
        for index, found in enumerate(image.found)
    )
    return (
        f'<article class="card"><header><h3>{name}</h3><span class="badge" title="{what}">{said}</span></header>'
        f"{_drawing(image, picture)}<dl>{lines}</dl></article>"
    )


def legend(files: Sequence[str], has_further: bool, has_masks: bool) -> str:
    """What the lines mean.

    Args: files: what to call each file, escaped.
    """
    keys = [
        f'<li><svg viewBox="0 0 34 20" aria-hidden="true"><g class="file-{index}">{_key_box()}</g></svg>{name}</li>'
        for index, name in enumerate(files)
    ]
    if has_further:
        keys.append(
            '<li><svg viewBox="0 0 34 20" aria-hidden="true">'
            f'<g class="file-0"><g class="further">{_key_box()}</g></g></svg>thin: further boxes</li>'
        )
    if has_masks:
        keys.append(
            '<li><svg viewBox="0 0 34 20" aria-hidden="true"><g class="file-0">'
            '<path class="mask" d="M7,14Q8,4 17,6T28,13Q18,18 7,14Z"/></g></svg>filled: mask</li>'
        )
    return f'<div class="legend"><ul class="keys">{"".join(keys)}</ul></div>'


def _key_box() -> str:
    place = 'x="6" y="5" width="22" height="10"'
    return f'<rect class="casing" {place}/><rect class="stroke" {place}/>'


def _numbers(found: LabelledImage | None, with_score: bool) -> str:
    """Top score, number of boxes and of masks in one file."""
    if found is None:
        return '<dd class="soft">not listed</dd>'
    if not found.boxes:
        return '<dd class="soft">no box</dd>'
    masks = sum(bool(box.segmentation) for box in found.boxes)
    counts = [_count(len(found.boxes), "box", "boxes")]
    counts += [_count(masks, "mask", "masks")] if masks else []
    score = f"<dd>{number(found.boxes[0].score, digits=3)}</dd>" if with_score else ""
    return f'{score}<dd class="soft">{", ".join(counts)}</dd>'


def _count(number_of: int, one: str, several: str) -> str:
    return f"{number_of} {one if number_of == 1 else several}"


def _drawing(image: ComparedImage, picture: np.ndarray) -> str:
    """The picture, on it the masks, on them further boxes, on them the top boxes."""
    height, width = picture.shape[:2]
    layers = {"masks": "", "further": "", "top": ""}
    for index, found in enumerate(image.found):
        if found is None or not found.boxes:
            continue
        masks = "".join(
            f'<path class="mask" d="{mask_path(mask_of(box, found), SHOWN_SIDE)}"/>'
            for box in found.boxes
            if box.segmentation
        )
        drawn = [
            box_drawing(rank, torch.tensor(box.xyxy), width, height)
            for rank, box in zip(_ranks(len(found.boxes)), found.boxes, strict=True)
        ]
        for layer, content in (
            ("masks", masks),
            ("further", "".join(drawn[:0:-1])),
            ("top", drawn[0]),
        ):
            layers[layer] += f'<g class="file-{index}">{content}</g>' if content else ""
    return (
        f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(image.name)}">'
        f'<image href="{photo_uri(picture)}" width="{width}" height="{height}"/>'
        f'<g class="line">{"".join(layers.values())}</g></svg>'
    )


def _ranks(count: int) -> list[str]:
    return ["top", *["further"] * (count - 1)]
