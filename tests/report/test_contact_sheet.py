import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.data import write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.report.contact_sheet import load_sheet, write_contact_sheet

from .parsed_page import Page

VOID = {"meta"}


@pytest.fixture
def photos(tmp_path):
    """Return a folder of four images; EXIF data rotate <c>.jpg, and d.jpg is damaged."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (80, 60), "red").save(folder / "a.jpg")
    Image.new("RGB", (80, 60), "green").save(folder / "sub" / "b.jpg")
    lying = Image.new("RGB", (80, 60), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(folder / "<c>.jpg", exif=exif)
    (folder / "d.jpg").write_bytes(b"\xff\xd8 no image")
    return folder


# ids of folder: are 1..n in the order of names
NAMES = {1: "<c>.jpg", 2: "a.jpg", 3: "d.jpg", 4: "sub/b.jpg"}
SIZES = {1: (60, 80), 2: (80, 60), 3: (80, 60), 4: (80, 60)}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes {image id: [(score, box [x, y, w, h], mask or None)]}.

    It returns the path.
    """

    def labels(name, boxes_by_image, sizes=SIZES, **info):
        images = [
            {"id": i, "file_name": NAMES[i], "width": sizes[i][0], "height": sizes[i][1]}
            for i in boxes_by_image
        ]
        annotations = [
            {"image_id": i, "score": score, "bbox": box}
            | ({} if mask is None else {"segmentation": mask_codec.encode(mask)})
            for i, boxes in boxes_by_image.items()
            for score, box, mask in boxes
        ]
        path = tmp_path / name
        write_pseudo_labels(path, images=images, annotations=annotations, info=info)
        return str(path)

    return labels


@pytest.fixture
def one(write):
    mask = np.zeros((60, 80), np.uint8, order="F")
    mask[10:30, 10:30] = 1
    return write(
        "one.json",
        {
            1: [(0.25, [0, 0, 60, 80], None)],
            2: [(0.5, [10, 10, 20, 20], mask), (0.125, [40, 40, 8, 8], None)],
            4: [],
        },
        method="lost",
        backbone="dino_mini",
        images_failed=[{"file_name": "d.jpg", "reason": "damaged <then>"}],
    )


@pytest.fixture
def other(write):
    """Return a file with the same box on image 1, another box on image 2, and a box on image 4.

    The first file has no box on image 4. Image 3 is damaged.
    """
    return write(
        "other.json",
        {
            1: [(9.0, [0, 0, 60, 80], None)],
            2: [(7.0, [40, 40, 20, 20], None)],
            3: [(5.0, [0, 0, 9, 9], None)],
            4: [(8.0, [5, 5, 9, 9], None)],
        },
    )


def make(photos, tmp_path, *paths, order=None, shown=200, columns=None, **choice):
    sheet = load_sheet(f"folder:{photos}", paths, order, **choice)
    summary = write_contact_sheet(tmp_path / "new/page.html", sheet, shown, columns)
    text = (tmp_path / "new/page.html").read_text(encoding="utf-8")
    return text, Page(text, VOID), summary


def names(text):
    return re.findall(r"<h3>(?:<span>[^<]*</span>)?([^<]*)</h3>", text)


def test_one_file_by_score(photos, tmp_path, one):
    text, page, summary = make(photos, tmp_path, one)
    assert names(text) == ["a.jpg", "&lt;c&gt;.jpg", "b.jpg"]
    assert re.findall(r'title="top score">([^<]*)<', text) == ["0.500", "0.250", "–"]
    assert "All 3 images of" in page.text and "sorted by top score, highest first" in page.text
    assert "2 boxes, 1 mask" in page.text and "no box" in page.text
    assert "lost dino_mini" in page.text
    assert page.count("path", "mask") == 2  # one on the image, one in the legend
    assert page.count("g", "further") == 2
    assert str(summary) == "3 of 3 images drawn, 0 failed"


def test_boxes_and_masks_have_the_positions_of_the_file(photos, tmp_path, one):
    text, _, _ = make(photos, tmp_path, one)
    tile = next(part for part in text.split("<article") if "<h3>a.jpg" in part)
    assert 'viewBox="0 0 80 60"' in tile
    assert 'class="stroke" x="10.0" y="10.0" width="20.0" height="20.0"' in tile
    assert 'class="stroke" x="40.0" y="40.0" width="8.0" height="8.0"' in tile
    places = re.search(r'class="mask" d="M([^Z]*)Z"', tile)[1].replace(",", " ").split()
    assert {float(place) for place in places} <= {10.0, 10.5, 29.5, 30.0}


def test_images_are_upright(photos, tmp_path, one):
    text, _, _ = make(photos, tmp_path, one)
    uris = re.findall(r'href="data:image/jpeg;base64,([^"]*)"', text)
    sizes = [Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris]
    assert sizes == [(80, 60), (60, 80), (80, 60)]


def test_several_files_by_disagreement(photos, tmp_path, one, other):
    text, page, summary = make(photos, tmp_path, one, other)
    assert names(text) == ["a.jpg", "b.jpg", "&lt;c&gt;.jpg"]
    assert re.findall(r'title="disagreement">([^<]*)<', text) == ["1.00", "1.00", "0.00"]
    assert "1 − IoU of the files' top boxes, the mean over pairs" in page.text
    assert "On 2 of the 3 images in two files or more" in page.text
    assert {"A", "B"} <= set(page.texts) and "C" not in page.texts
    assert (summary.drawn, summary.images, summary.not_drawn) == (3, 4, 1)


def test_by_name(photos, tmp_path, one):
    text, _, _ = make(photos, tmp_path, one, order="name")
    assert names(text) == ["&lt;c&gt;.jpg", "a.jpg", "b.jpg"]


def test_unreadable_images_are_listed_with_the_reason(photos, tmp_path, one, other):
    _, page, _ = make(photos, tmp_path, one)
    assert "1 image could not be read" in page.text  # it failed when the file was made
    assert "d.jpg damaged <then>" in page.text
    _, page, _ = make(photos, tmp_path, other)
    assert "1 image could not be read" in page.text  # it fails now
    assert re.search(r"d\.jpg it is not an image|d\.jpg the file is truncated", page.text)


def test_an_image_of_another_size_is_not_drawn(photos, tmp_path, write):
    boxes_by_image = {2: [(1.0, [0, 0, 9, 9], None)], 4: [(1.0, [0, 0, 9, 9], None)]}
    path = write("wrong.json", boxes_by_image, sizes=SIZES | {2: (60, 80)})
    text, page, summary = make(photos, tmp_path, path)
    assert names(text) == ["b.jpg"] and summary.not_drawn == 1
    assert (
        "a.jpg it has 80 x 60 pixels, and its boxes are for 60 x 80: the file is for" in page.text
    )


def test_the_page_says_that_only_the_first_images_are_drawn(photos, tmp_path, one):
    text, page, summary = make(photos, tmp_path, one, shown=2)
    assert names(text) == ["a.jpg", "&lt;c&gt;.jpg"]
    assert "2 of 3 images" in page.text and "--images N" in page.text
    assert str(summary) == "2 of 3 images drawn, 0 failed"


def test_images_missing_in_a_file_or_in_the_dataset_are_counted(photos, tmp_path, one):
    sheet = load_sheet(f"folder:{photos}+first=2", [one])
    write_contact_sheet(tmp_path / "p.html", sheet)
    text = Page((tmp_path / "p.html").read_text(encoding="utf-8"), VOID).text
    assert "1 images in the files are not in this data set" in text
    _, page, _ = make(photos, tmp_path, one)
    assert "1 images of the data set are not in the file" in page.text


def test_chosen_boxes(photos, tmp_path, one):
    _, page, _ = make(photos, tmp_path, one, max_boxes=1)
    assert page.count("g", "further") == 0
    _, page, _ = make(photos, tmp_path, one, min_score=0.4)
    assert page.count("rect", "stroke") == 1 + 1  # one in the legend


def test_columns(photos, tmp_path, one):
    text, page, _ = make(photos, tmp_path, one, columns=3)
    assert page.count("div", "fixed") == 1 and "--columns:3" in text
    assert make(photos, tmp_path, one)[1].count("div", "fixed") == 0


def test_the_page_is_self_contained_and_looks_like_the_report(photos, tmp_path, one, other):
    text, page, _ = make(photos, tmp_path, one, other)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", text)
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert "$" not in text
    assert "prefers-color-scheme: dark" in text and "default-src 'none'" in text
    assert ("meta", "viewport") in [(tag, attrs.get("name")) for tag, attrs in page.elements]


def test_scenes(tmp_path):
    images = [{"id": 1000001, "file_name": "val/000000", "width": 280, "height": 280}]
    annotation = {"image_id": 1000001, "bbox": [1, 2, 30, 40], "score": 0.5}
    write_pseudo_labels(tmp_path / "s.json", images=images, annotations=[annotation], info={})
    sheet = load_sheet("scenes:val+first=1", [str(tmp_path / "s.json")])
    assert write_contact_sheet(tmp_path / "p.html", sheet).drawn == 1
    assert "<span>val/</span>000000" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_mistakes(photos, tmp_path, one, write):
    data = f"folder:{photos}"
    with pytest.raises(
        UserError, match="--sort 'size' is unknown; known: score, disagreement, name"
    ):
        load_sheet(data, [one], "size")
    with pytest.raises(UserError, match="needs two or more files"):
        load_sheet(data, [one], "disagreement")
    with pytest.raises(UserError, match="6 files were given; a page shows at most 5"):
        load_sheet(data, [one] * 6)
    for options in ({"shown": 0}, {"columns": 0}):
        with pytest.raises(UserError, match="0 .* were asked for"):
            write_contact_sheet(tmp_path / "p.html", load_sheet(data, [one]), **options)
    damaged = load_sheet(data, [write("d.json", {3: []})])
    with pytest.raises(UserError, match=r"none of the 1 images can be drawn; first: d\.jpg: "):
        write_contact_sheet(tmp_path / "p.html", damaged)
    assert not (tmp_path / "p.html").exists()
