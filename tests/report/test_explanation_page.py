"""Page of an explanation: what it shows, in which colours, and hostile names."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.analysis.explanation import ExplainingPoint, Explanation, MappedImage
from boxrefine_d2.report.explanation_page import write_explanation_page

from .parsed_page import Page
from .test_hostile_text import HOSTILE, check

VOID = {"meta", "br", "image", "rect"}
PIXELS = np.zeros((32, 48, 3), np.uint8)
BLUE, WHITE = (5, 48, 97), (247, 247, 247)  # end and middle of the colours


def mapped(image_id, name, **maps):
    return MappedImage(image_id, name, PIXELS, maps, (48.0, 32.0))


def explanation(name="base/1.png", failed=()):
    similarity = np.array([[0.5, -0.25, 0.0], [1.0, 0.5, 0.0]])
    importance = np.array([[2.0, -4.0, 0.0], [1.0, -1.0, 0.0]])
    values = similarity * importance
    image = mapped(7, name, similarity=similarity, importance=importance, value=values)
    tested = mapped(1, "tested.png", heatmap=np.eye(2, 3))

    def point(number):
        parts = (float(each.flat[number]) for each in (similarity, importance, values))
        return ExplainingPoint(7, image.cell(number), *parts)

    info = {
        "software": "boxrefine_d2",
        "version": "0",
        "parameters": {"importance": "ratio"},
        "backbone": "dino_mini",
        "weights": {"source": "file", "sha256": "ab"},
        "facet": "key",
        "max_side": 800,
        "base": "folder:base",
        "base_images": 1,
        "base_images_failed": dict(failed),
        "base_points": 6,
        "tau": 1.5,
    }
    return Explanation(
        info=info,
        tested=tested,
        point=(20.0, 20.0),
        cell=tested.cell_at((20.0, 20.0)),
        activation=2.5,
        excitatory=3.0,
        inhibitory=-0.5,
        highest=[point(0), point(3)],
        lowest=[point(4)],
        images={7: image},
    )


def written(path, given):
    write_explanation_page(path / "page.html", given)
    return (path / "page.html").read_text()


def test_the_page_shows_the_point_and_every_card(tmp_path):
    page = Page(written(tmp_path, explanation()), VOID)
    assert page.count("article") == 3
    assert page.count("image") == 2 + 3 * 4
    assert page.count("g", "point") == 1
    assert "The cell in row 1, column 1 of tested.png has the activation +2.5" in page.text
    assert (
        "+3.0 from excitatory and −0.5 from inhibitory points, of 6 points in 1 image." in page.text
    )
    assert "similarity −0.25 1.00 importance −4.00 +4.00 value −1.00 +1.00" in page.text
    assert "Red points are excitatory" in page.text and "Blue points are inhibitory" in page.text
    assert "similarity 0.5000 importance +2.0000 value +1.0000" in page.text
    assert "similarity 0.5000 importance −1.0000 value −0.5000" in page.text


def test_the_colours_are_symmetric_about_zero(tmp_path):
    text = written(tmp_path, explanation())
    uris = re.findall(r'aria-label="base/1.png, importance">\s*<image[^>]*href="([^"]*)"', text)
    drawn = np.array(Image.open(io.BytesIO(base64.b64decode(uris[0].partition(",")[2]))))
    assert drawn.shape == (2, 3, 3)
    assert drawn[0, 1].tolist() == list(BLUE)  # -4, the largest in size
    assert drawn[0, 2] == pytest.approx(WHITE, abs=2)  # 0
    red, green, blue = drawn[0, 0].tolist()  # +2
    assert red > green and red > blue


def test_constant_maps_have_colours(tmp_path):
    given = explanation()
    zeros = {name: np.zeros((2, 3)) for name in ("similarity", "importance", "value")}
    flat = replace(given, images={7: replace(given.images[7], maps=zeros)})
    assert Page(written(tmp_path, flat), VOID).count("article") == 3


def test_images_that_failed_are_counted(tmp_path):
    page = Page(written(tmp_path, explanation(failed={"x.png": "it is no image"})), VOID)
    assert "1 image could not be read and has no points. First: it is no image" in page.text


def test_hostile_names_are_shown_literally(tmp_path):
    check(written(tmp_path, explanation(HOSTILE, {"x": HOSTILE})), times=4)
