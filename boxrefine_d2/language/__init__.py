"""Images and phrases in one space: CLIP, its relevance maps, captions."""

from .build import CLIPS, build_clip
from .clip import Clip
from .relevance import relevance_maps

__all__ = ["CLIPS", "Clip", "build_clip", "relevance_maps"]
