"""Class names of a user, and their vectors by CLIP's text tower (arXiv:2103.00020).

Shapes: K classes, D dimensions of the common space.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.language.clip import Clip

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


def class_vectors(clip: Clip, names: Sequence[str], templates: Sequence[str] = SIMPLE) -> Tensor:
    """Return a vector of length 1 for each class, (K, D): the mean over the templates.

    Raises: UserError for a name that is longer than CLIP's context.
    """
    texts = [template.format(name) for name in names for template in templates]
    vectors = clip.encode_text(texts, cut=False).unflatten(0, (len(names), len(templates)))
    return F.normalize(vectors.mean(dim=1), dim=1)
