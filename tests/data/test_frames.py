"""Comparison of the frame of labels with the pixels of their images."""

import logging

import pytest
from PIL import ExifTags, Image

from boxrefine_d2.data.frames import in_pixel_frame, with_pixel_sizes
from boxrefine_d2.data.records import LoadedDataset
from boxrefine_d2.errors import UserError


@pytest.fixture
def dataset(tmp_path):
    """Return a function that builds a data set with one image per entry.

    An entry is (stored (W, H), EXIF orientation, (W, H) that the labels state, boxes ...).
    """

    def build(*entries):
        records = []
        for number, (stored, orientation, labelled, *boxes) in enumerate(entries):
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            path = tmp_path / f"{number}.png"
            Image.new("RGB", stored).save(path, exif=exif)
            annotations = [{"bbox": list(box), "category_id": 0} for box in boxes]
            record = {"file_name": str(path), "image_id": number, "annotations": annotations}
            records.append(record | {"width": labelled[0], "height": labelled[1]})
        return LoadedDataset(records, ["object"], [1])

    return build


def sizes(dataset):
    return [(r["width"], r["height"]) for r in dataset.records]


def test_labels_of_the_image_as_it_is_seen_pass(dataset):
    data = dataset(((30, 20), 1, (30, 20), (0, 0, 30, 20)), ((30, 20), 6, (20, 30), (0, 0, 20, 30)))
    assert in_pixel_frame(data, "x").records == data.records


def test_labels_of_the_stored_pixels_are_refused_with_the_reason(dataset):
    data = dataset(((30, 20), 6, (30, 20), (0, 0, 30, 20)), ((30, 20), 1, (30, 20), (0, 0, 5, 5)))
    reason = (
        r"labels of 1 of 2 images .* '.*0.png' has 20 x 30 pixels and labels of 30 x 20: "
        r".*before EXIF orientation"
    )
    with pytest.raises(UserError, match=reason):
        in_pixel_frame(data, "x")


def test_labels_of_resized_copies_are_refused(dataset):
    with pytest.raises(
        UserError, match=r"has 30 x 20 pixels and labels of 60 x 40: .*resized copy"
    ):
        in_pixel_frame(dataset(((30, 20), 1, (60, 40), (0, 0, 60, 40))), "x")


def test_exchanged_sides_are_corrected_where_a_box_proves_it(dataset, caplog):
    data = dataset(((30, 20), 1, (20, 30), (0, 0, 29, 19)), ((30, 20), 1, (20, 30), (0, 0, 5, 5)))
    with caplog.at_level(logging.WARNING):
        assert sizes(in_pixel_frame(data, "x")) == [(30, 20), (30, 20)]
    assert "2 images have width and height exchanged" in caplog.text


@pytest.mark.parametrize("box", [(0, 0, 5, 5), (0, 0, 5, 29)], ids=["fits both", "fits the wrong"])
def test_exchanged_sides_are_refused_where_no_box_proves_it(dataset, box):
    with pytest.raises(UserError, match="width and height are exchanged"):
        in_pixel_frame(dataset(((30, 20), 1, (20, 30), box)), "x")


@pytest.mark.parametrize(("others", "read"), [(99, True), (98, False)])
def test_one_image_of_a_hundred_is_a_slip_of_the_file(dataset, caplog, others, read):
    """The boxes of the image fit both ways, and the size of its pixels is certain.

    Therefore one such image does not stop a run over thousands of images.
    """
    fine = ((9, 9), 1, (9, 9), (0, 0, 9, 9))
    data = dataset(((30, 20), 1, (20, 30), (0, 0, 5, 5)), *[fine] * others)
    if read:
        assert sizes(in_pixel_frame(data, "x"))[0] == (30, 20)
        assert "1 images have width and height exchanged" in caplog.text
    else:
        with pytest.raises(UserError, match="width and height are exchanged"):
            in_pixel_frame(data, "x")


def test_an_image_without_labels_takes_the_size_of_its_pixels(dataset, caplog):
    data = dataset(((30, 20), 1, (60, 40)))
    del data.records[0]["annotations"]
    assert sizes(in_pixel_frame(data, "x")) == [(30, 20)]
    assert not caplog.text


def test_images_that_cannot_be_read_are_left_to_their_reader(dataset, tmp_path):
    data = dataset(((30, 20), 1, (60, 40), (0, 0, 1, 1)))
    (tmp_path / "0.png").write_text("no image")
    assert in_pixel_frame(data, "x").records == data.records


def test_without_use_of_the_labels_the_pixels_decide_and_a_warning_counts(dataset, caplog):
    data = dataset(((30, 20), 6, (30, 20), (0, 0, 30, 20)), ((9, 9), 1, (9, 9), (0, 0, 9, 9)))
    with caplog.at_level(logging.WARNING):
        assert sizes(with_pixel_sizes(data, "x")) == [(20, 30), (9, 9)]
    assert "the labels of 1 of 2 images are in another frame" in caplog.text
    assert "before EXIF orientation" in caplog.text
