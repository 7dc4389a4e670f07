"""Mappers from a record of a data set to the input of a model, one kind of input per file.

The random draws of a training mapper depend only on the seed and the position in the stream.
"""

from .square import SquareMapper
from .whole_image import ImageMapper, SqueezedImageMapper, WholeImageMapper

__all__ = ["ImageMapper", "SquareMapper", "SqueezedImageMapper", "WholeImageMapper"]
