"""Score maps of a results file, brought to one frame and to [0, 1] (Choe et al., CVPR 2020, code).

A map is resized with the bicubic kernel of OpenCV. `minmax` then subtracts its least value and
divides by its range, `max` raises negative values to 0 and divides by the largest value, and `none`
keeps a map that is already in [0, 1]. A map that is constant or not finite becomes 0 everywhere.
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file

ARRAY = "map"
MAX_BYTES = 1 << 30  # of an unpacked map

_DAMAGED = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

FloatMap = NDArray[np.float64]


def read_score_map(path: Path) -> FloatMap:
    """Return the array `map` of an .npz file, (h, w) float64.

    Raises: UserError if the file is missing or damaged, or holds no map of this form.
    """
    check_regular_file(path, "heatmap")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{ARRAY}.npy") as member:
            array = _read_array(member)
    except KeyError as error:
        raise UserError(f"heatmap {str(path)!r} has no array named {ARRAY!r}") from error
    except _DAMAGED as error:
        raise UserError(
            f"heatmap {str(path)!r} is no readable .npz file ({error}); write it again with "
            f"numpy.savez_compressed(path, {ARRAY}=array)"
        ) from error
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiub":
        raise UserError(
            f"heatmap {str(path)!r}: {ARRAY!r} is {array.dtype} of the shape {array.shape}; "
            "it must hold real numbers of the shape (height, width)"
        )
    return array.astype(np.float64)


def _read_array(member: IO[bytes]) -> NDArray[Any]:
    """Return an array. Raises: ValueError if it is damaged, too large or holds Python objects."""
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, in_columns, dtype = read(member)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or size > MAX_BYTES:
        raise ValueError(f"{dtype} of the shape {shape}; at most {MAX_BYTES} bytes are read")
    content = member.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{len(content)} bytes in place of {size}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C")


def in_frame(scores: FloatMap, size: tuple[int, int]) -> FloatMap:
    """Return the map resized to `size` (H, W); a map of this size stays as it is."""
    if scores.shape == size:
        return scores
    resized: FloatMap = F.interpolate(
        torch.from_numpy(scores)[None, None], size=size, mode="bicubic", align_corners=False
    )[0, 0].numpy()
    return resized


def is_flat(scores: FloatMap) -> bool:
    """Return whether a map is constant or not finite."""
    return bool(not np.isfinite(scores).all() or scores.min() == scores.max())


def _minmax(scores: FloatMap) -> FloatMap:
    low, high = scores.min(), scores.max()
    scaled: FloatMap = (scores - low) / (high - low)
    return scaled


def _by_maximum(scores: FloatMap) -> FloatMap:
    high = scores.max()
    return np.maximum(scores, 0) / high if high > 0 else np.zeros_like(scores)


def _as_it_is(scores: FloatMap) -> FloatMap:
    return scores.clip(0, 1)


NORMALISATIONS: Mapping[str, Callable[[FloatMap], FloatMap]] = {
    "minmax": _minmax,
    "max": _by_maximum,
    "none": _as_it_is,
}


def normalised(scores: FloatMap, size: tuple[int, int], how: str, where: str) -> FloatMap:
    """Return the map in the frame `size` (H, W) and in [0, 1]; a flat map becomes 0.

    Args:
        how: key of `NORMALISATIONS`.
        where: name of the map, for messages.
    Raises: UserError for `none` and a map outside [0, 1].
    """
    if how == "none" and np.isfinite(scores).all() and not 0 <= scores.min() <= scores.max() <= 1:
        raise UserError(
            f"{where} has values from {scores.min():g} to {scores.max():g}; "
            "--map-normalise none needs maps in [0, 1]: use minmax or max"
        )
    if not np.isfinite(scores).all() or (how != "none" and is_flat(scores)):
        return np.zeros(size)
    return NORMALISATIONS[how](in_frame(scores, size))
