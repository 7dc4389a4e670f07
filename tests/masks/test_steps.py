from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from boxrefine_d2.discovery import build_rule, rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks import crf as crf_module
from boxrefine_d2.masks.steps import GridMasks, MaskSteps
from boxrefine_d2.pseudo_labels.finishing import annotations_of
from boxrefine_d2.structures import Window


def grid_masks(masks, image=None):
    """Return masks on 4 x 5 cells of 16 pixels; the input is 60 x 75, the image twice as large."""
    boxes = np.array([[16.0, 32.0, 64.0, 96.0]] * len(masks))
    return GridMasks(
        masks=np.array(masks, bool).reshape(-1, 4, 5),
        boxes=boxes,
        scores=np.arange(len(masks)),
        strides=(16.0, 16.0),
        input_size=(60, 75),
        image_size=(120, 150),
        image=image,
    )


def cells(rows, columns):
    mask = np.zeros((4, 5), bool)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


def test_a_mask_on_the_grid_becomes_a_mask_of_the_image_and_the_box_stays():
    on_image = MaskSteps()(grid_masks([cells((1, 3), (0, 2)), cells((3, 4), (4, 5))]))
    assert on_image.masks.shape == (2, 120, 150)
    expected = np.zeros((120, 150), bool)
    expected[32:96, 0:64] = True
    assert np.array_equal(on_image.masks[0], expected)
    assert on_image.masks[1].sum() == (120 - 96) * (150 - 128)  # the padding is cut off
    assert on_image.boxes.tolist() == [[16, 32, 64, 96]] * 2


def test_the_box_may_be_that_of_the_final_mask():
    on_image = MaskSteps(boxes_from_masks=True)(grid_masks([cells((1, 3), (0, 2))]))
    assert on_image.boxes.tolist() == [[0, 32, 64, 96]]


def test_a_refinement_reads_the_image_and_rejected_masks_are_left_out():
    image = np.zeros((60, 75, 3), np.uint8)
    seen = []

    def refine(image, masks):
        seen.append(image)
        return np.stack([masks[0], np.zeros_like(masks[1])])

    steps = MaskSteps(refine=refine)
    on_image = steps(grid_masks([cells((1, 3), (0, 2)), cells((0, 1), (0, 1))], image))
    assert seen[0] is image
    assert on_image.scores.tolist() == [0] and len(on_image.boxes) == len(on_image.masks) == 1


def test_boxes_and_masks_of_a_window_go_to_their_place_in_the_image():
    """The window is mirrored: its column 0 is column 159 of the image."""
    window = Window(30, 10, (120, 150), mirrored=True)
    on_grid = replace(grid_masks([cells((1, 3), (0, 2))]), image_size=(200, 300), window=window)
    on_image = MaskSteps()(on_grid)
    expected = np.zeros((1, 200, 300), bool)
    expected[0, 62:126, 96:160] = True
    assert np.array_equal(on_image.masks, expected)
    assert on_image.boxes.tolist() == [[96, 62, 144, 126]]
    tight = MaskSteps(boxes_from_masks=True)(on_grid)
    assert tight.boxes.tolist() == [[96, 62, 160, 126]]
    without = MaskSteps()(replace(on_grid, masks=None))
    assert without.masks is None and without.boxes.tolist() == [[96, 62, 144, 126]]


def test_a_rule_without_masks_keeps_its_boxes():
    without = replace(grid_masks([cells((1, 3), (0, 2))]), masks=None)
    on_image = MaskSteps()(without)
    assert on_image.masks is None and on_image.boxes.tolist() == [[16, 32, 64, 96]]
    (annotation,) = annotations_of(7, without, MaskSteps())
    assert annotation == {"image_id": 7, "bbox": [16, 32, 48, 64], "score": 0}


def test_no_mask_at_all():
    on_image = MaskSteps(boxes_from_masks=True)(grid_masks([]))
    assert on_image.masks.shape == (0, 120, 150) and on_image.boxes.shape == (0, 4)


def test_rules_build_their_refinement_from_the_numbers_of_its_section():
    assert rule_parameters("maskcut")["crf"]["colour_xy"] == 50.0
    assert rule_parameters("maskcut", crf=False)["crf"] is False
    assert build_rule("maskcut", crf=False).mask_steps.refine is None
    steps = build_rule("maskcut").mask_steps
    assert isinstance(steps.refine, partial) and steps.refine.func is crf_module.crf_masks
    assert build_rule("tokencut").mask_steps.refine is None
    steps = build_rule("tokencut", bilateral=True).mask_steps
    assert steps.refine.keywords["sigma_luma"] == 16.0 and steps.boxes_from_masks


def test_a_missing_crf_is_named_with_both_remedies(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydensecrf", None)
    with pytest.raises(UserError, match=r"boxrefine_d2\[crf\].*--set crf=false"):
        build_rule("maskcut").mask_steps.require()


@pytest.mark.parametrize(
    "rule", ["lost", "tokencut", "dino_seg", "move", "found", "representer", "ensemble"]
)
def test_fewer_than_one_object_is_refused(rule):
    with pytest.raises(UserError, match=f"{rule}: max_objects is 0"):
        build_rule(rule, max_objects=0)
