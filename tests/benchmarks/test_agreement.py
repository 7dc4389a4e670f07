"""The rules against independent dense implementations, on the features of real pictures."""

import numpy as np
import pytest
from agreement import MASKCUT_IOU, Agreement, measure_agreement

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone


def test_on_scenes_every_box_is_that_of_the_dense_implementations():
    found = measure_agreement("scenes:val", 12, build_backbone("dino_mini"))
    assert {name: len(equal) for name, equal in found.boxes.items()} == {"lost": 12, "tokencut": 12}
    assert len(found.mask_ious) >= 24
    assert found.holds(), found.lines()


def test_what_differs_is_named_and_does_not_hold():
    found = Agreement()
    found.boxes = {"lost": [True, True], "tokencut": [True, True]}
    found.mask_ious = [1.0, 2 * MASKCUT_IOU - 1]
    assert found.holds() and np.mean(found.mask_ious) == pytest.approx(MASKCUT_IOU)
    found.boxes["tokencut"][1] = False
    found.differing["tokencut"].append("b.jpg")
    assert not found.holds()
    assert found.lines()[1:3] == ["tokencut: 1 of 2 boxes are equal", "  differs: b.jpg"]
    found.boxes["tokencut"][1] = True
    found.mask_ious.append(0.5)
    assert not found.holds()
    assert not Agreement(mask_ious=[1.0]).holds()  # nothing was compared


def test_a_data_set_that_is_not_there_is_named():
    with pytest.raises(UserError, match="nowhere"):
        measure_agreement("folder:nowhere", 1, build_backbone("dino_mini"))
