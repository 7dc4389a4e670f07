"""Figures as files: the suffix decides the format, and any text and size can be drawn."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from boxrefine_d2.analysis.description_figure import draw_description
from boxrefine_d2.analysis.figures import FIGURE_SUFFIXES, encode
from boxrefine_d2.analysis.mask_rounds_figure import draw_mask_rounds
from boxrefine_d2.structures import DescribedObject, PhraseLocalisation


def titled(text, size=(2, 1)):
    figure = Figure(figsize=size)
    figure.subplots().set_title(text)
    return figure


def described(phrase):
    return DescribedObject(
        phrase, torch.rand(8, 8), PhraseLocalisation((3, 4), (1.0, 2.0, 9.0, 8.0), [], 0.5)
    )


def pixels(drawn):
    return np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))


KINDS = {".png": "PNG", ".jpg": "JPEG", ".JPEG": "JPEG", ".WebP": "WEBP"}


@pytest.mark.parametrize("suffix", KINDS)
def test_a_suffix_is_its_format(suffix):
    with Image.open(io.BytesIO(encode(titled("a"), suffix))) as image:
        assert (image.format, image.size) == (KINDS[suffix], (200, 100))


def test_vector_formats_hold_no_pixels():
    root = ElementTree.fromstring(encode(titled("<b>&]]>--"), ".svg"))
    assert root.tag.endswith("}svg") and not list(root.iter("{http://www.w3.org/2000/svg}image"))
    assert encode(titled("a"), ".pdf").startswith(b"%PDF-")


@pytest.mark.parametrize("suffix", FIGURE_SUFFIXES)
def test_equal_figures_are_equal_bytes(suffix):
    assert encode(titled("a"), suffix) == encode(titled("a"), suffix)


@pytest.mark.parametrize("text", ["$5 or $6", "$x_{$", r"$\frac$", "a_b^c", r"\alpha $"])
def test_no_text_is_a_formula(text):
    figure = Figure(figsize=(2, 1))
    figure.subplots().set_title(text, parse_math=False)
    assert encode(titled(text)) == encode(figure)


@pytest.mark.parametrize(
    "phrase", ["caf\udce9 $x", "\ud800", "a\x00b\x1b[2J\n\u202ec", "word " * 200, "一只浣熊", "🦝"]
)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_any_phrase_is_drawn(phrase, suffix):
    drawn = draw_description(np.zeros((30, 40, 3), np.uint8), [described(phrase)], phrase, suffix)
    assert pixels(drawn).size if suffix == ".png" else ElementTree.fromstring(drawn) is not None


def test_characters_that_the_font_lacks_are_reported_in_one_line(caplog, recwarn):
    encode(titled("一只浣熊"))
    assert [record.getMessage() for record in caplog.records] == [
        "the font of figures lacks some characters; boxes stand for them"
    ]
    assert not recwarn.list


@pytest.mark.parametrize("size", [(1, 6000), (6000, 1)])
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_very_narrow_and_very_flat_images(size, suffix):
    narrow = np.zeros((*size, 3), np.uint8)
    for drawn in (
        draw_description(narrow, [], "a", suffix),
        draw_mask_rounds(narrow, [], [], "", suffix),
    ):
        assert 0 < max(pixels(drawn).shape) <= 16_000


def test_a_figure_too_large_for_its_format_is_drawn_smaller():
    drawn = encode(titled("a", size=(3, 900)), ".webp")
    assert pixels(drawn).shape[:2] == (16_000, 53)
