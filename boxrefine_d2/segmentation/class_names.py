"""Class names of a user, and their vectors by CLIP's text tower (arXiv:2103.00020).

Shapes: K classes, D dimensions of the common space.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines

SIMPLE = ("a photo of a {}.",)
# The templates of CLIP's authors that serve best for crops.
SEVERAL = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
TEMPLATES = {"simple": SIMPLE, "several": SEVERAL, "none": ("{}",)}


def class_names(text: str) -> tuple[str, ...]:
    """Return the names that --classes gives: a list with commas, or a file with one name a line.

    >>> class_names("cat, traffic light,dog")
    ('cat', 'traffic light', 'dog')

    Raises: UserError for no name, a name twice, or a file that cannot be read.
    """
    from_file = os.path.lexists(text)
    parts = read_lines(Path(text), "file of class names") if from_file else text.split(",")
    names = tuple(part.strip() for part in parts if part.strip())
    where = f"--classes {text[:100]!r}"
    if not names:
        raise UserError(f"{where} has no name; give names with commas, or a file, one name a line")
    twice = [name for name, count in Counter(map(str.lower, names)).items() if count > 1]
    if twice:
        raise UserError(f"{where} has {twice[0]!r} twice; name each class once")
    return names


class TextEncoder(Protocol):
    """Network with a text tower, such as `Clip`."""

    def encode_text(self, phrases: Sequence[str], *, cut: bool = True) -> Tensor:
        """Return vectors of phrases, (P, D) of length 1; refuse long phrases unless `cut`."""
        ...


def class_vectors(
    encoder: TextEncoder, names: Sequence[str], templates: Sequence[str] = SIMPLE
) -> Tensor:
    """Return a vector of length 1 for each class, (K, D): the mean over the templates.

    Raises: UserError for a name that is longer than the context of the network.
    """
    texts = [template.format(name) for name in names for template in templates]
    vectors = encoder.encode_text(texts, cut=False).unflatten(0, (len(names), len(templates)))
    return F.normalize(vectors.mean(dim=1), dim=1)
