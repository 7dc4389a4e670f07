import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import boxrefine_d2.report
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.report.figures import choose, map_uri, photo_uri
from boxrefine_d2.report.rule_maps import MAPS, eigenvector, inverse_degree, rule_title
from boxrefine_d2.structures import FeatureMap

HELPED, HURT, HIT_BOTH, MISSED_BOTH = range(4)


def test_a_third_is_helped_a_third_hurt_and_the_others_alternate():
    codes = np.array([3, 3, 0, 0, 2, 2, 1, 3, 0, 1, 3])
    assert choose(codes, 6) == [2, 3, 6, 9, 4, 0]


@pytest.mark.parametrize(
    ("codes", "count", "expected"),
    [
        ([0, 0, 0, 0], 3, [0, 1, 2]),  # only one outcome
        ([1, 1, 3], 12, [0, 1, 2]),  # fewer images than requested
        ([2, 2, 3, 3, 2], 4, [0, 2, 1, 3]),  # refinement changed nothing
    ],
)
def test_missing_outcomes_are_replaced_by_others(codes, count, expected):
    assert choose(np.array(codes), count) == expected


def test_inverse_degree_by_hand():
    """Cells +, +, + and -, -: degrees 2, 2, 2, 1, 1; 1 / degree is 1/2 or 1, scaled to 0 and 1."""
    data = torch.tensor([1.0, 1, 1, -1, -1]).reshape(1, 1, 1, 5)
    features = FeatureMap(data, 8, [(8, 40)])
    inverse = inverse_degree(features, **rule_parameters("lost", k_patches=2))
    assert inverse.tolist() == [[0, 0, 0, 1, 1]]
    alike = FeatureMap(torch.ones(1, 1, 1, 5), 8, [(8, 40)])
    assert inverse_degree(alike, **rule_parameters("lost", k_patches=2)).tolist() == [[0] * 5]
    # 1, 1, 1, 9 minus their mean: three similar cells, and one of degree 0, which counts as 1
    lifted = FeatureMap(torch.tensor([1.0, 1, 1, 9]).reshape(1, 1, 1, 4), 8, [(8, 32)])
    assert inverse_degree(lifted, **rule_parameters("lost", k_patches=2, centre=True)).tolist() == [
        [0, 0, 0, 1]
    ]


def decoded(uri: str, kind: str) -> Image.Image:
    head, _, content = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_images_and_maps_become_data_uris():
    photo = np.full((600, 1200, 3), (200, 30, 30), np.uint8)
    image = decoded(photo_uri(photo), "jpeg")
    assert image.size == (512, 256)
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 30)).max() < 8
    cells = decoded(map_uri(np.array([[0.0, 1.0, 0.5]])), "png")
    assert cells.size == (3, 1)
    assert cells.convert("RGB").getpixel((0, 0)) == (68, 1, 84)  # viridis
    assert cells.convert("RGB").getpixel((1, 0)) == (253, 231, 36)


def test_the_eigenvector_is_high_on_the_object():
    features = FeatureMap(-torch.ones(1, 3, 4, 6), 16, [(64, 96)], "key")
    features.data[:, :, 1:3, 2:4] = 1.0
    shown = eigenvector(features, **rule_parameters("tokencut"))
    assert shown.shape == (4, 6) and (shown.min(), shown.max()) == (0.0, 1.0)
    assert shown[1:3, 2:4].min() > 0.99 and shown[0].max() < 0.01


def test_a_rule_has_the_name_of_its_publication_and_an_explained_map():
    assert [rule_title(rule) for rule in ("lost", "tokencut", "mine")] == [
        "LOST",
        "TokenCut",
        "mine",
    ]
    for template in Path(boxrefine_d2.report.__file__).parent.glob("templates/**/*.html"):
        begins = re.search(r"(>|[.:?] )\{\{ ?rule ?\}\} [a-z]", template.read_text())
        assert begins is None, f"{template.name}: a name such as absorption begins a sentence"
    assert "degree" in MAPS["lost"].meaning and "eigenvector" in MAPS["tokencut"].meaning
    mask = FeatureMap(torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]]]), 1, [(2, 2)], "mask")
    assert MAPS["move"].draw(mask, mask_thresh=0.5).tolist() == [[0, 0.25], [0.5, 1]]
