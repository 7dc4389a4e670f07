"""From a record of a data set to a model's input, one kind of input a file.

What a training mapper draws depends on the seed and the position in the stream of samples alone.
"""

from .square import SquareMapper
from .whole_image import ImageMapper, SqueezedImageMapper, WholeImageMapper

__all__ = ["ImageMapper", "SquareMapper", "SqueezedImageMapper", "WholeImageMapper"]
