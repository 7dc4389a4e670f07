"""The rules against independent dense implementations, on the features of rendered scenes."""

import numpy as np
import pytest
from agreement import MASKCUT_IOU, Agreement, measure_agreement

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone


def test_on_scenes_every_box_equals_that_of_the_dense_implementations():
    agreement = measure_agreement("scenes:val", 12, build_backbone("dino_mini"))
    counts = {name: len(equal) for name, equal in agreement.boxes.items()}
    assert counts == {"lost": 12, "tokencut": 12}
    assert len(agreement.mask_ious) >= 24
    assert agreement.holds(), agreement.lines()


def test_a_difference_is_reported_and_breaks_the_agreement():
    agreement = Agreement()
    agreement.boxes = {"lost": [True, True], "tokencut": [True, True]}
    agreement.mask_ious = [1.0, 2 * MASKCUT_IOU - 1]
    assert agreement.holds() and np.mean(agreement.mask_ious) == pytest.approx(MASKCUT_IOU)
    agreement.boxes["tokencut"][1] = False
    agreement.differing["tokencut"].append("b.jpg")
    assert not agreement.holds()
    assert agreement.lines()[1:3] == ["tokencut: 1 of 2 boxes are equal", "  differs: b.jpg"]
    agreement.boxes["tokencut"][1] = True
    agreement.mask_ious.append(0.5)
    assert not agreement.holds()
    assert not Agreement(mask_ious=[1.0]).holds()  # nothing was compared


def test_the_error_names_a_missing_data_set():
    with pytest.raises(UserError, match="nowhere"):
        measure_agreement("folder:nowhere", 1, build_backbone("dino_mini"))
