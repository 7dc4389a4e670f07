"""The rendered data set: properties of its scenes, and agreement of images and annotations."""

import hashlib
import json

import numpy as np
import pytest
from detectron2.structures import BoxMode
from pycocotools import mask as coco_mask

from boxrefine_d2.data.images import is_rendered
from boxrefine_d2.data.scenes import load_scenes, render_file, render_scene
from boxrefine_d2.data.scenes.outlines import arc_band, coverage, curve, ellipse, limb, polygon
from boxrefine_d2.data.scenes.palette import OBJECT_COLOURS, PATTERNS
from boxrefine_d2.data.scenes.textures import natural_fields, pattern_share
from boxrefine_d2.data.scenes.worlds import WORLDS
from boxrefine_d2.errors import UserError

VAL_SHOWN = 120  # number of validation scenes that the slower tests use


@pytest.fixture(scope="module")
def val_records():
    return load_scenes("val", limit=VAL_SHOWN)[0]


@pytest.mark.parametrize(("split", "index"), [("train", 7), ("val", 7)])
def test_a_scene_has_the_same_bits_after_other_scenes(split, index):
    first = render_scene(split, index)
    render_scene("train", 3)
    second = render_scene(split, index)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert first.phrases == second.phrases


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        ("scenes", "536d422c2dbda2c5f8475b3e00c3d5a895894db53893304337ddf285bac73cab"),
        ("kinds", "34266bfbf66afbd6ed680e08bb4266926f0cdf58459b0eecea02a2915cc76d15"),
        ("fine", "6f7f2b5832a904812326672551b9b97d3bc03d63d9f110daa94328a85377d452"),
        ("pair", "155a4e88c614dfe13e2df85a34a8724ab386a227f185e531a1af4feff0a4617a"),
    ],
)
def test_the_annotations_stay_as_they_are(world, expected):
    """Stored results name images. An image must therefore never change."""
    records = load_scenes("train", 40, world)[0] + load_scenes("val", 40, world)[0]
    digest = hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
    assert digest == expected


# Means of red, green and blue, and the standard deviation. A digest would be too strict: the sine
# of NumPy depends on the CPU in its last bit, which changes about three values in a million.
@pytest.mark.parametrize(
    ("split", "index", "expected"),
    [
        ("train", 3, (40.4271, 77.4954, 104.8821, 46.2055)),
        ("train", 1234, (177.951, 166.8437, 137.1642, 46.9503)),
        ("val", 7, (37.464, 86.974, 90.3495, 44.0825)),
        ("val", 499, (106.5793, 130.1037, 104.071, 59.6106)),
    ],
)
def test_the_images_stay_as_they_are(split, index, expected):
    image = render_scene(split, index).image
    assert [*image.mean(axis=(0, 1)), image.std()] == pytest.approx(expected, abs=1e-3)


def test_scenes_differ_within_and_between_splits():
    images = [render_scene(split, index).image for split in ("train", "val") for index in (0, 1)]
    for i, image in enumerate(images):
        for other in images[:i]:
            assert image.shape != other.shape or (image != other).mean() > 0.5


def test_layouts_of_the_two_splits_never_coincide():
    train = {tuple(a["phrase"] for a in r["annotations"]) for r in load_scenes("train", 40)[0]}
    val = [WORLDS["scenes"].layout("val", index) for index in range(40)]
    same = sum(tuple(placed.phrase for placed in layout.objects) in train for layout in val)
    assert same < 4  # two images with one object may have the same phrase by chance


def test_split_sizes():
    # This checks the sizes without the layout of all 2 500 scenes.
    assert render_scene("train", 1999).image.ndim == render_scene("val", 499).image.ndim == 3
    for split, beyond in (("train", 2000), ("val", 500)):
        with pytest.raises(UserError, match=f"{beyond - 1}"):
            render_scene(split, beyond)


def test_image_ids_are_unique_over_both_splits():
    ids = [record["image_id"] for split in ("train", "val") for record in load_scenes(split, 30)[0]]
    assert all(type(image_id) is int for image_id in ids)
    assert len(set(ids)) == 60


@pytest.mark.parametrize("index", range(12))
def test_boxes_are_tight_and_masks_are_disjoint(index):
    scene = render_scene("val", index)
    height, width, channels = scene.image.shape
    assert channels == 3 and scene.image.dtype == np.uint8
    assert scene.masks.shape == (len(scene.boxes), height, width) and scene.masks.dtype == bool
    assert scene.masks.sum(axis=0).max() == 1
    for box, mask in zip(scene.boxes, scene.masks):
        y, x = np.nonzero(mask)
        np.testing.assert_array_equal(box, [x.min(), y.min(), x.max() + 1, y.max() + 1])


def test_objects_are_few_named_and_visible(val_records):
    _, names = load_scenes("val", limit=1)
    counts, categories = [], set()
    for record in val_records:
        height, width = record["height"], record["width"]
        counts.append(len(record["annotations"]))
        for annotation in record["annotations"]:
            x1, y1, x2, y2 = annotation["bbox"]
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            assert annotation["area"] >= 0.006 * height * width
            name = names[annotation["category_id"]]
            categories.add(name)
            article, pattern, colour, kind, noun = annotation["phrase"].split()
            assert (article, kind, noun) == ("a", f"{name}-like", "shape")
            assert pattern in PATTERNS and colour in OBJECT_COLOURS
    assert set(counts) == {1, 2, 3, 4}
    assert categories == set(names) and len(names) == 12


def test_records_agree_with_the_rendered_scenes(val_records):
    for index in (0, 5, 11):
        record, scene = val_records[index], render_scene("val", index)
        assert record["file_name"] == f"scenes:val/{index:06d}"
        assert (record["height"], record["width"]) == scene.image.shape[:2]
        np.testing.assert_array_equal(render_file(record["file_name"]), scene.image)
        annotations = record["annotations"]
        assert [a["category_id"] for a in annotations] == scene.category_ids.tolist()
        assert tuple(a["phrase"] for a in annotations) == scene.phrases
        assert {(a["bbox_mode"], a["iscrowd"]) for a in annotations} == {(BoxMode.XYXY_ABS, 0)}
        np.testing.assert_array_equal([a["bbox"] for a in annotations], scene.boxes)
        for annotation, mask in zip(annotations, scene.masks):
            assert isinstance(annotation["segmentation"]["counts"], str)
            np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), mask)
            assert annotation["area"] == mask.sum()


def test_phrases_are_true_of_the_pixels():
    """The main material has the colour that the phrase names.

    This holds almost exactly for plain objects, and for most pixels of objects with a pattern.
    """
    ranks, shares = [], []
    for index in range(36):
        layout, scene = WORLDS["scenes"].layout("val", index), render_scene("val", index)
        for placed, mask in zip(layout.objects, scene.masks):
            pixels = scene.image[mask & _main_material_visible(placed, mask)].astype(float)
            if len(pixels) < 50:
                continue
            main = placed.materials["main"]
            if main.pattern == "plain":
                median = np.median(pixels, axis=0)
                far = {n: np.abs(median - colour).sum() for n, colour in OBJECT_COLOURS.items()}
                ranks.append(sorted(far, key=far.get).index(placed.phrase.split()[2]))
            else:
                to_main, to_second = (
                    np.abs(pixels - colour).sum(axis=1) for colour in (main.colour, main.second)
                )
                shares.append((to_main < to_second).mean())
    assert len(ranks) >= 4 and np.mean(np.array(ranks) <= 1) >= 0.8
    assert len(shares) >= 40 and min(shares) > 0.2 and np.mean(shares) > 0.55


def _main_material_visible(placed, mask):
    """Return the pixels (H, W) of the main material that no part of another material covers.

    The wheels of a car, for example, are black for every colour of the car.
    """
    visible = np.zeros_like(mask)
    for part in placed.shape.parts:
        covered = coverage([part.outline], (0, 0, mask.shape[1], mask.shape[0])) >= 128
        visible = (visible | covered) if part.slot == "main" else (visible & ~covered)
    return visible


def test_no_centred_box_explains_the_validation_split(val_records):
    best = 0.0
    for wide in np.arange(0.1, 1.01, 0.1):
        for high in np.arange(0.1, 1.01, 0.1):
            hits = [_centred_box_hits(record, wide, high) for record in val_records]
            best = max(best, 100 * float(np.mean(hits)))
    assert 0 < best <= 20


def _centred_box_hits(record, wide, high):
    height, width = record["height"], record["width"]
    x1, y1, x2, y2 = np.array([a["bbox"] for a in record["annotations"]]).T
    across = np.minimum(x2, width * (1 + wide) / 2) - np.maximum(x1, width * (1 - wide) / 2)
    down = np.minimum(y2, height * (1 + high) / 2) - np.maximum(y1, height * (1 - high) / 2)
    shared = np.clip(across, 0, None) * np.clip(down, 0, None)
    union = (x2 - x1) * (y2 - y1) + wide * width * high * height - shared
    return bool((shared >= 0.5 * union).any())


def test_limit_gives_the_first_records_and_the_caller_owns_them(val_records):
    three, _ = load_scenes("val", limit=3)
    assert [record["image_id"] for record in three] == [
        record["image_id"] for record in val_records[:3]
    ]
    three[0]["annotations"].clear()
    assert load_scenes("val", limit=1)[0][0]["annotations"]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: load_scenes("test"), "train, val"),
        (lambda: render_file("sets:val/000012"), "scenes, kinds, fine, pair"),
        (lambda: load_scenes("val", limit=0), "limit 0"),
        (lambda: render_scene("Train", 0), "'Train'"),
        (lambda: render_scene("val", -1), "-1"),
        (lambda: render_file("scenes:val/12"), "scenes:train/000012"),
        (lambda: render_file("scenes:val/000500"), "500"),
    ],
)
def test_a_wrong_request_gives_a_one_line_error_with_the_allowed_values(call, named):
    with pytest.raises(UserError) as caught:
        call()
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_scene_files_are_distinguished_from_paths():
    assert is_rendered("scenes:val/000000") and not is_rendered("scenes/val/000000.jpg")


def test_coverage_is_the_area_to_a_quarter_of_a_pixel():
    """A 3 x 2 rectangle at (1, 1) covers its own pixels, and none beyond their neighbours.

    A disc has the area and the centre of its outline.
    """
    rectangle = coverage([polygon([(1, 1), (4, 1), (4, 3), (1, 3)])], (-2, -2, 7, 6))
    assert rectangle.shape == (8, 9) and rectangle.dtype == np.uint8
    assert rectangle[3:5, 3:6].min() == 255
    rectangle = rectangle.copy()
    rectangle[2:6, 2:7] = 0
    assert rectangle.max() == 0
    disc = coverage([ellipse(20.3, 19.6, 12, 12)], (0, 0, 40, 40)) >= 128
    assert disc.sum() == pytest.approx(np.pi * 12**2, abs=0.35 * 2 * np.pi * 12)
    y, x = np.nonzero(disc)
    np.testing.assert_allclose([x.mean() + 0.5, y.mean() + 0.5], [20.3, 19.6], atol=0.2)


def test_outlines_pass_through_the_points_of_their_numbers():
    corners = [(0, 0), (4, 0), (4, 4), (0, 4)]
    np.testing.assert_allclose(curve(corners)[::6], corners, atol=1e-12)
    circle = ellipse(2.0, 3.0, 1.5, 0.5)
    np.testing.assert_allclose(((circle - (2, 3)) / (1.5, 0.5)) ** 2 @ np.ones(2), 1.0)
    np.testing.assert_allclose(ellipse(0, 0, 2, 1, np.pi / 2)[0], (0, 2), atol=1e-12)
    np.testing.assert_allclose(limb([(0, 0, 1), (5, 0, 1)]), [(0, 1), (5, 1), (5, -1), (0, -1)])
    radii = np.hypot(*arc_band(0, 0, 2, 2, -1, 1, 0.5).T)
    assert radii.min() == pytest.approx(1.5) and radii.max() == pytest.approx(2.0)


@pytest.mark.parametrize("slope", [0.8, 1.8])
def test_natural_fields_have_the_requested_slope(slope):
    size = (256, 256)
    fields = [
        f for seed in range(4) for f in natural_fields(np.random.default_rng(seed), size, slope)
    ]
    assert np.mean([f.var() for f in fields]) == pytest.approx(1.0, abs=0.25)
    assert all(abs(f.mean()) < 1e-3 for f in fields)
    power = np.mean([np.abs(np.fft.rfft2(f)) ** 2 for f in fields], axis=0)
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :]) * 256
    inner, outer = ((radius > r) & (radius < 1.3 * r) for r in (10, 80))
    measured = np.log(power[inner].mean() / power[outer].mean()) / np.log(8) / 2
    assert measured == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_leave_most_of_the_main_colour(name):
    smooth, rough = (
        natural_fields(np.random.default_rng(s), (200, 200), a)[0] for s, a in ((1, 1.8), (2, 1))
    )
    v, u = np.mgrid[-1:1:200j, -1:1:200j].astype(np.float32)
    share = pattern_share(name, u, v, smooth, rough, pitch=3.0, angle=0.4)
    assert share.shape == (200, 200) and share.min() >= 0 and share.max() <= 1
    assert share.mean() < 0.51
    if name != "plain":
        assert share.mean() > 0.05 and share.std() > 0.15
