import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_codec

from boxrefine_d2.analysis.mask_rounds_figure import COLOURS, detections_of, draw_mask_rounds
from boxrefine_d2.data import PseudoLabels
from boxrefine_d2.errors import UserError

IMAGE = np.full((40, 60, 3), 128, np.uint8)


def block(rows, columns):
    mask = np.zeros((40, 60), bool)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


ONE, OTHER = block((5, 20), (5, 25)), block((25, 38), (30, 55))


def pixels(drawn):
    return np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB")).astype(int)


def near(drawn, colour):
    """Return the number of pixels of about that colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels(drawn) - wanted).max(axis=2) < 12).sum())


def test_each_round_has_a_panel_with_the_colours_of_its_masks():
    first = draw_mask_rounds(IMAGE, [np.stack([ONE])])
    both = draw_mask_rounds(IMAGE, [np.stack([ONE]), np.stack([ONE, OTHER])])
    assert near(first, COLOURS[0]) > 100 and not near(first, COLOURS[1])
    assert near(both, COLOURS[0]) > 1.7 * near(first, COLOURS[0])  # in both panels
    assert near(both, COLOURS[1]) > 100
    assert pixels(both).shape[1] == 2 * pixels(first).shape[1]


def test_a_round_without_masks_shows_the_image_only():
    drawn = draw_mask_rounds(IMAGE, [np.zeros((0, 40, 60), bool)])
    assert not any(near(drawn, colour) for colour in COLOURS)


def test_detections_are_masks_or_boxes():
    rle = mask_codec.encode(np.asfortranarray(OTHER.astype(np.uint8)))
    text_rle = rle | {"counts": rle["counts"].decode()}
    masked = {"id": 1, "bbox": [30, 25, 25, 13], "segmentation": text_rle}
    nothing = [np.zeros((0, 40, 60), bool)]
    alone = draw_mask_rounds(IMAGE, nothing, [])
    boxes = draw_mask_rounds(IMAGE, nothing, [{"bbox": [5, 5, 20, 15]}, masked])
    assert pixels(alone).shape == pixels(boxes).shape
    assert near(boxes, COLOURS[0]) > 100 and near(boxes, COLOURS[1]) > 100
    # a mask is tinted: 0.45 of its colour over the grey
    tint = "#{:02x}{:02x}{:02x}".format(*(round(0.55 * 128 + 0.45 * c) for c in (0, 0x72, 0xB2)))
    assert near(boxes, tint) > 1000 and not near(alone, tint)


def test_large_images_are_drawn_with_less_detail():
    large = np.full((2000, 3000, 3), 128, np.uint8)
    mask = np.zeros((1, 2000, 3000), bool)
    mask[0, 250:1000, 250:1250] = True
    assert near(draw_mask_rounds(large, [mask]), COLOURS[0]) > 100
    mask[:] = False
    mask[0, 1, 1] = True  # too small to be drawn
    assert not near(draw_mask_rounds(large, [mask]), COLOURS[0])


def test_a_mask_of_another_size_is_refused():
    counts = mask_codec.encode(np.ones((2, 2), np.uint8, order="F"))["counts"]
    rle = {"size": [2, 2], "counts": counts}
    with pytest.raises(UserError, match="annotation 7 .* 2 x 2 pixels, the image 60 x 40"):
        draw_mask_rounds(IMAGE, [], [{"id": 7, "bbox": [0, 0, 2, 2], "segmentation": rle}])


def labels():
    names = {1: "a.jpg", 2: "cats/a.jpg", 3: "b.jpg", 4: "val/000003"}
    images = [{"id": i, "file_name": name} for i, name in names.items()]
    annotations = [
        {"id": n, "image_id": i, "bbox": [0, 0, 1, 1], "score": s}
        for n, (i, s) in enumerate([(1, 0.5), (2, 0.1), (2, 0.9), (4, 0.3)])
    ]
    return PseudoLabels(images, annotations, {})


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("/photos/a.jpg", [0]),
        ("/photos/cats/a.jpg", [2, 1]),
        ("b.jpg", []),
        ("scenes:val/000003", [3]),
    ],
)
def test_the_detections_of_an_image_come_best_first(image, expected):
    assert [entry["id"] for entry in detections_of(labels(), image, "f.json")] == expected


def test_an_image_that_the_file_does_not_list_is_named():
    with pytest.raises(UserError, match="'f.json' does not list 'dogs/c.jpg'; its 4 images begin"):
        detections_of(labels(), "dogs/c.jpg", "f.json")
