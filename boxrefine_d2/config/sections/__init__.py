"""The sections of the configuration that are ours, one file a subject."""

from ..section import Section
from . import (
    cuts,
    detectors,
    discovery,
    found,
    grounding,
    inputs,
    localization,
    mask_refinement,
    model,
    move,
    pretraining,
    refinement,
    representer_points,
    self_distilled_cam,
    weight_map,
)

_SUBJECTS = (
    inputs,
    localization,
    weight_map,
    self_distilled_cam,
    representer_points,
    model,
    discovery,
    cuts,
    mask_refinement,
    refinement,
    grounding,
    detectors,
    pretraining,
    move,
    found,
)

OUR_SECTIONS: tuple[Section, ...] = tuple(
    value for subject in _SUBJECTS for value in vars(subject).values() if isinstance(value, Section)
)
