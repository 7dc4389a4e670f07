"""The rendered data sets with one label an image: `kinds:`, `fine:` and `pair:`."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_dilation
from scipy.stats import chi2_contingency

from boxrefine_d2.data.dataset_spec import load_spec, parse_spec
from boxrefine_d2.data.frames import in_pixel_frame
from boxrefine_d2.data.images import ImageReadError, image_size, read_image
from boxrefine_d2.data.scenes import load_scenes, render_scene
from boxrefine_d2.data.scenes.butterfly import EYESPOTS
from boxrefine_d2.data.scenes.fine import draw_fine, eyespot_mask, without_eyespot
from boxrefine_d2.data.scenes.living import LIVING
from boxrefine_d2.data.scenes.made import MADE
from boxrefine_d2.data.scenes.painting import paint_scene
from boxrefine_d2.data.scenes.worlds import WORLDS
from boxrefine_d2.errors import UserError

SIZES = {
    "kinds": {"train": 1200, "val": 240, "test": 480},
    "fine": {"train": 800, "val": 160, "test": 400},
    "pair": {"train": 900, "val": 180, "test": 360},
}
CLASSES = {"kinds": 12, "fine": 8, "pair": 6}
NEAR = np.ones((7, 7), bool)  # the lens spreads a colour by up to 3 pixels
SPLITS = [(world, split) for world, sizes in SIZES.items() for split in sizes]


def layouts(world, count, split="train"):
    return [WORLDS[world].layout(split, index) for index in range(count)]


def labels(world, count, split="train"):
    return [WORLDS[world].label(split, index) for index in range(count)]


@pytest.mark.parametrize(("world", "split"), SPLITS)
def test_a_split_has_its_size_and_every_label_equally_often(world, split):
    size, classes = SIZES[world][split], CLASSES[world]
    assert render_scene(split, size - 1, world).image.ndim == 3
    with pytest.raises(UserError, match=f"{world}:{split} has no index {size}"):
        render_scene(split, size, world)
    counts = Counter(labels(world, size, split))
    assert counts == {label: size // classes for label in range(classes)}


@pytest.mark.parametrize("world", SIZES)
def test_labels_come_in_another_order_in_each_block(world):
    """A spec that keeps every Nth image therefore keeps images of every class."""
    every_block = labels(world, SIZES[world]["train"])[:: CLASSES[world]]
    assert set(every_block) == set(range(CLASSES[world]))


@pytest.mark.parametrize("world", SIZES)
def test_the_label_is_the_category_of_the_only_annotation(world):
    dataset = load_spec(f"{world}:val+first=24")
    assert len(dataset.category_names) == CLASSES[world]
    for index, record in enumerate(dataset.records):
        (annotation,) = record["annotations"]
        assert type(record["image_label"]) is int
        assert record["image_label"] == annotation["category_id"]
        assert record["file_name"] == f"{world}:val/{index:06d}"
        assert record["relative_name"] == f"val/{index:06d}"
        name = dataset.category_names[record["image_label"]]
        assert f"{name.split()[-1]}-like" in annotation["phrase"].split()
    assert in_pixel_frame(dataset, world).records == dataset.records


def test_the_scenes_of_several_objects_have_no_label():
    assert "image_label" not in load_spec("scenes:val+first=1").records[0]


@pytest.mark.parametrize("world", SIZES)
def test_splits_share_no_image(world):
    records = [r for split in SIZES[world] for r in load_scenes(split, 40, world)[0]]
    assert len({record["image_id"] for record in records}) == 120
    boxes = {(r["height"], r["width"], *r["annotations"][0]["bbox"]) for r in records}
    assert len(boxes) == 120


@pytest.mark.parametrize("world", SIZES)
def test_an_image_has_the_same_bits_after_other_images(world):
    first = render_scene("val", 5, world)
    render_scene("train", 5, world)
    second = render_scene("val", 5, world)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)


@pytest.mark.parametrize(
    ("world", "split", "index"), [("kinds", "train", 894), ("pair", "test", 25)]
)
def test_an_image_whose_lower_ground_begins_below_its_border_is_painted(world, split, index):
    backdrop = WORLDS[world].layout(split, index).scene.backdrop
    assert backdrop.edge + backdrop.tilt > 1
    assert render_scene(split, index, world).image.std() > 5


def test_no_two_data_sets_share_a_seed():
    assert len({world.seed for world in WORLDS.values()}) == len(WORLDS) == 4


@pytest.mark.parametrize("world", SIZES)
def test_masks_are_the_visible_pixels_of_the_labelled_object(world):
    """Other colours of the object change the pixels of its mask, and none beyond the lens blur."""
    for index in range(6):
        home, record = WORLDS[world], load_scenes("val", index + 1, world)[0][index]
        layout = home.layout("val", index)
        (number,) = [i for i, o in enumerate(layout.objects) if o.shape.category_id is not None]
        placed = layout.objects[number]
        materials = {
            slot: replace(m, colour=_other(m.colour), second=_other(m.second))
            for slot, m in placed.materials.items()
        }
        objects = list(layout.objects)
        objects[number] = replace(placed, materials=materials)
        before, after = (
            paint_scene(each, home.painting_generator("val", index)).astype(int)
            for each in (layout, replace(layout, objects=tuple(objects)))
        )
        changed = np.abs(before - after).max(axis=2) > 25
        (annotation,) = record["annotations"]
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert not (changed & ~binary_dilation(mask, NEAR)).any()
        assert changed[mask].mean() > 0.9
        y, x = np.nonzero(mask)
        assert annotation["bbox"] == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert annotation["area"] == mask.sum()


def _other(colour):
    return tuple((c + 128) % 256 for c in colour)


def test_an_object_of_kinds_is_alone_with_two_pieces_of_clutter():
    _, names = load_scenes("train", 1, "kinds")
    assert names == load_scenes("train", 1)[1]
    areas = []
    for layout in layouts("kinds", 120):
        assert [o.shape.category_id is None for o in layout.objects].count(True) == 2
        assert layout.masks.any(axis=(1, 2)).all() and not layout.front
        sizes = layout.masks.mean(axis=(1, 2))
        (number,) = layout.annotated
        assert 0.05 <= sizes[number] <= 0.45 and sizes.argmax() == number
        areas.append(sizes[number])
    assert min(areas) < 0.07 and max(areas) > 0.3


def test_a_pair_is_a_living_object_among_made_ones():
    _, names = load_scenes("train", 1, "pair")
    assert names == tuple(LIVING)
    others, larger = Counter(), []
    for layout in layouts("pair", 120):
        (number,) = layout.annotated
        kinds = [o.phrase.split()[-2].removesuffix("-like") for o in layout.objects]
        assert kinds.pop(number) in LIVING and set(kinds) <= set(MADE)
        others[len(kinds)] += 1
        larger.append(layout.masks.sum(axis=(1, 2)).argmax() != number)
    assert set(others) == {1, 2, 3} and min(others.values()) >= 10
    assert 0.3 < np.mean(larger) < 0.7


def test_an_eyespot_lies_on_any_wing_and_is_a_small_part_of_the_butterfly():
    places = []
    for layout in layouts("fine", 60):
        spot, body = eyespot_mask(layout), layout.masks[0]
        assert not (spot & ~body).any()
        assert 0.08 <= spot.sum() / body.sum() <= 0.15
        places.append(_wing(layout))
    assert set(places) == {(x, y) for x in (False, True) for y in (False, True)}


def _wing(layout):
    """Return whether the eyespot is on a fore wing, and on the right in flight."""
    shape = layout.objects[0].shape
    (rim,) = [part.outline for part in shape.parts if part.slot == "rim"]
    x, y = rim.mean(axis=0) - shape.origin
    c, s = np.cos(shape.angle), np.sin(shape.angle)
    return bool((x * c + y * s) * shape.mirror > 0), bool(y * c - x * s > 0)


def test_nothing_but_the_eyespot_depends_on_the_label():
    """The class changes no pixel outside the eyespot; without the eyespot, it changes no pixel."""
    for index in range(4):
        with_spots, without, masks, spots = [], [], [], []
        for label in range(len(EYESPOTS)):
            layout = draw_fine(np.random.default_rng((1, index)), label)
            masks.append(layout.masks)
            spots.append(eyespot_mask(layout))
            for images, each in ((with_spots, layout), (without, without_eyespot(layout))):
                images.append(paint_scene(each, np.random.default_rng(2)))
        np.testing.assert_array_equal(masks, [masks[0]] * len(EYESPOTS))
        np.testing.assert_array_equal(spots, [spots[0]] * len(EYESPOTS))
        np.testing.assert_array_equal(without, [without[0]] * len(EYESPOTS))
        outside = ~binary_dilation(spots[0], NEAR)
        for image in with_spots:
            np.testing.assert_array_equal(image[outside], without[0][outside])
        for number, image in enumerate(with_spots):
            for other in with_spots[:number]:
                assert (image[spots[0]] != other[spots[0]]).mean() > 0.3


def test_the_label_is_independent_of_colour_pattern_pose_and_background():
    drawn, classes = layouts("fine", 480), labels("fine", 480)
    butterflies = [layout.objects[0] for layout in drawn]
    features = {
        "colour": [placed.phrase.split()[2] for placed in butterflies],
        "pattern": [placed.materials["main"].pattern for placed in butterflies],
        "setting": [layout.scene.backdrop.setting.grounds for layout in drawn],
        "wing": [_wing(layout) for layout in drawn],
        "mirror": [placed.shape.mirror for placed in butterflies],
        "angle": [int(placed.shape.angle // (np.pi / 4)) for placed in butterflies],
        "size": [int(layout.masks.mean() * 20) for layout in drawn],
    }
    for name, values in features.items():
        assert len(set(values)) > 1
        assert _independence(values, classes) > 0.001, name
    assert _independence(list(zip(classes, features["mirror"])), classes) < 1e-100  # it can fail


def _independence(values, classes):
    """Return the p-value of the chi-squared test; rare values are one value."""
    kept = {value for value, number in Counter(values).items() if number >= 24}
    cells = Counter(
        (value if value in kept else None, label) for value, label in zip(values, classes)
    )
    rows = sorted({value for value, _ in cells}, key=str)
    return chi2_contingency([[cells[row, label] for label in range(8)] for row in rows]).pvalue


def test_the_eyespot_alone_determines_the_label():
    """The nearest mean histogram of the eyespot's colours names the class of nearly all images."""
    count, known = 96, 56
    histograms, classes = [], np.array(labels("fine", count))
    for index, layout in enumerate(layouts("fine", count)):
        pixels = render_scene("train", index, "fine").image[eyespot_mask(layout)]
        bins = (pixels // 64).astype(int) @ np.array((16, 4, 1))
        histograms.append(np.sqrt(np.bincount(bins, minlength=64) / len(bins)))
    means = np.stack(
        [np.mean(np.array(histograms[:known])[classes[:known] == c], axis=0) for c in range(8)]
    )
    named = (np.array(histograms[known:]) @ means.T).argmax(axis=1)
    assert (named == classes[known:]).mean() > 0.9


@pytest.mark.parametrize("world", SIZES)
def test_specs_and_names_of_images(world):
    assert str(parse_spec(f"{world}:test+first=2")) == f"{world}:test+first=2"
    pixels = read_image(f"{world}:test/000001")
    assert pixels.dtype == np.uint8 and image_size(f"{world}:test/000001") == pixels.shape[:2]
    for name in (f"{world}:test", f"{world}:all/000001", f"{world}:test/009999"):
        with pytest.raises(ImageReadError, match=world):
            read_image(name)
    with pytest.raises(UserError, match=f"split of {world}.*train, val, test"):
        load_spec(f"{world}:all")
    with pytest.raises(UserError, match=f"did you mean {world}:SPLIT"):
        parse_spec(f"{world}x:train")
    with pytest.raises(UserError, match="kinds:SPLIT, fine:SPLIT, pair:SPLIT, folder:DIR"):
        parse_spec("nothing:train")
