"""Data types that pass between rooms, and the changes of frame between them."""

from .box_frames import (
    boxes_input_to_image,
    cell_box_to_input,
    mask_to_box,
    mirrored_back,
    normalise,
    to_xywh,
    to_xyxy,
    union_box,
)
from .feature_map import FeatureMap
from .phrase_localisation import DescribedObject, PhraseLocalisation
from .pseudo_boxes import PseudoBoxes
from .resized_crop import ResizedCrop
from .window import Window

__all__ = [
    "FeatureMap",
    "PhraseLocalisation",
    "PseudoBoxes",
    "DescribedObject",
    "ResizedCrop",
    "Window",
    "boxes_input_to_image",
    "cell_box_to_input",
    "mask_to_box",
    "mirrored_back",
    "normalise",
    "to_xywh",
    "to_xyxy",
    "union_box",
]
