"""TokenCut refined by the image: from a map on the grid to the mask of the image."""

import inspect

import numpy as np
import pytest
import torch
from scipy import ndimage

from boxrefine_d2.discovery import build_rule, rule_parameters
from boxrefine_d2.discovery.affinity_refinement import refine_by_affinity
from boxrefine_d2.discovery.reprediction import Reprediction, Repredictor
from boxrefine_d2.discovery.tokencut_refined import refined_masks
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.finishing import grid_masks
from boxrefine_d2.structures import FeatureMap

SIDE = 64
ARM = rule_parameters("tokencut_refined")["arm"]
SGRM = rule_parameters("tokencut_refined")["sgrm"]


def planted(top=13, left=18, height=29, width=35):
    """Return an image (64, 64, 3), its object, and a map of 4 x 4 cells with the object's shares.

    The object ends between the borders of the cells.
    """
    generator = np.random.default_rng(0)
    image = generator.integers(20, 60, (SIDE, SIDE, 3)).astype(np.uint8)
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[top : top + height, left : left + width] = True
    image[inside] += np.array([150, 90, 0], dtype=np.uint8)
    shares = inside.reshape(4, 16, 4, 16).mean(axis=(1, 3))
    return image, inside, shares.astype(np.float32)


def features(shares):
    """Return a feature map with two directions, mixed by the shares."""
    data = torch.from_numpy(np.stack([shares, 1 - shares, np.full_like(shares, 0.2)]))[None]
    return FeatureMap(data, 16, [(SIDE, SIDE)], "key")


def found_by(rule, image, shares, size=(SIDE, SIDE)):
    """Return the masks and boxes that the rule and its steps find in the image, as the image."""
    feature_map = features(shares)
    [boxes] = rule(feature_map)
    sample = {"height": size[0], "width": size[1]}
    sample["image"] = torch.from_numpy(image).permute(2, 0, 1)
    return rule.mask_steps(grid_masks(sample, boxes, feature_map, rule.mask_steps))


def iou(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def test_arm_and_sgrm_bring_the_mask_closer_to_the_planted_object():
    image, inside, shares = planted()
    steps = {
        "tokencut": build_rule("tokencut"),
        "map": build_rule("tokencut_refined", arm=False, sgrm=False),
        "arm": build_rule("tokencut_refined", sgrm=False),
        "sgrm": build_rule("tokencut_refined", **{"sgrm.stop_error": 0.0, "sgrm.steps": 40}),
    }
    ious = {
        name: iou(found_by(rule, image, shares).masks[0], inside) for name, rule in steps.items()
    }
    assert min(ious["arm"], ious["sgrm"]) > max(ious["tokencut"], ious["map"]) + 0.05
    assert ious["arm"] > 0.95
    assert ious["sgrm"] > 0.9


def test_the_box_is_that_of_the_mask_in_an_image_of_another_shape():
    image, inside, shares = planted()
    found = found_by(build_rule("tokencut_refined", sgrm=False), image, shares, size=(128, 192))
    assert found.masks.shape == (1, 128, 192)
    expected = np.repeat(np.repeat(inside, 2, axis=0), 3, axis=1)
    assert iou(found.masks[0], expected) > 0.95
    rows, columns = np.nonzero(found.masks[0])
    tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert found.boxes.tolist() == [tight]


def test_the_rule_itself_gives_the_boxes_of_tokencut_and_its_eigenvector():
    _, _, shares = planted()
    [refined] = build_rule("tokencut_refined", tau=0.2)(features(shares))
    [published] = build_rule("tokencut")(features(shares))
    assert torch.equal(refined.boxes, published.boxes)
    assert torch.equal(refined.scores, published.scores)
    assert refined.soft_masks.shape == (1, 4, 4)
    assert (refined.soft_masks.min(), refined.soft_masks.max()) == (0, 1)
    assert refined.soft_masks[0, 1, 2] > 0.5 > refined.soft_masks[0, 3, 0]
    moved = refined.to("cpu").resized((30, 20))
    assert torch.equal(moved.soft_masks, refined.soft_masks)


def test_a_mask_is_one_component_and_an_empty_one_is_the_whole_image():
    image, _, shares = planted()
    soft = np.kron(shares, np.ones((16, 16), np.float32))
    soft[60:, 60:] = 1  # a second part
    masks = refined_masks(image, np.stack([soft, np.zeros_like(soft)]), arm=False, sgrm=False)
    assert ndimage.label(masks[0])[1] == 1
    assert not masks[0, 60:, 60:].any()
    assert masks[1].all()
    assert refined_masks(image, soft[None][:0], arm=ARM, sgrm=SGRM).shape == (0, SIDE, SIDE)


def test_an_empty_prediction_leaves_the_mask_of_the_map(monkeypatch):
    image, _, shares = planted()
    soft = np.kron(shares, np.ones((16, 16), np.float32))[None]
    none = Reprediction(torch.zeros(1, SIDE, SIDE) > 0, torch.zeros(1), torch.zeros(1))
    monkeypatch.setattr(Repredictor, "__call__", lambda *_: none)
    with_sgrm = refined_masks(image, soft, arm=False, sgrm=SGRM)
    assert np.array_equal(with_sgrm, refined_masks(image, soft, arm=False, sgrm=False))
    assert 0 < with_sgrm.sum() < with_sgrm.size


@pytest.mark.parametrize("colour", [0, 255])
def test_a_plain_image_has_a_mask(colour):
    """Check an image with one superpixel, in which no colour tells the object."""
    _, _, shares = planted()
    image = np.full((SIDE, SIDE, 3), colour, dtype=np.uint8)
    soft = np.kron(shares, np.ones((16, 16), np.float32))[None]
    masks = refined_masks(image, soft, arm={**ARM, "steps": 3}, sgrm={**SGRM, "steps": 5})
    assert masks.shape == (1, SIDE, SIDE) and masks.any()


def test_numbers_of_a_step_are_set_by_its_name():
    parameters = rule_parameters("tokencut_refined", **{"arm.steps": 7, "sgrm.lr": 1})
    assert parameters["arm"] == {**ARM, "steps": 7}
    assert parameters["sgrm"] == {**SGRM, "lr": 1.0}
    with pytest.raises(UserError, match="no parameter 'arm.width'; known: variant, steps, keep"):
        rule_parameters("tokencut_refined", **{"arm.width": 7})
    with pytest.raises(UserError, match="no parameter 'crf.steps'; known: tau, eps"):
        rule_parameters("tokencut_refined", **{"crf.steps": 7})
    with pytest.raises(UserError, match="sgrm.steps has no effect, because sgrm is off"):
        rule_parameters("tokencut_refined", sgrm=False, **{"sgrm.steps": 7})
    with pytest.raises(UserError, match="tokencut_refined: arm.keep is 1.5"):
        rule_parameters("tokencut_refined", **{"arm.keep": 1.5})


def test_functions_and_configuration_have_the_same_defaults():
    def defaults(of):
        given = inspect.signature(of).parameters.values()
        return {p.name: p.default for p in given if p.default is not inspect.Parameter.empty}

    assert defaults(refine_by_affinity) == ARM
    superpixels = {"scale": 32, "sigma": 0.5, "min_size": 64}
    assert {**defaults(Repredictor), **superpixels} == SGRM
