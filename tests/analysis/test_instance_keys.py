"""Mean keys of a network whose key is the colour of a cell of 4 x 4 pixels."""

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_codec

from boxrefine_d2.analysis.instance_keys import mean_keys
from boxrefine_d2.data import LoadedDataset
from boxrefine_d2.errors import UserError

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


def record(file_name, annotations):
    return {
        "file_name": file_name,
        "relative_name": file_name.rpartition("/")[2],
        "image_id": file_name,
        "annotations": annotations,
    }


def box(category, *corners, **more):
    return {"category_id": category, "bbox": corners, "iscrowd": 0} | more


def keys_of(records, network, per="instance", **settings):
    dataset = LoadedDataset(records, ["cat", "dog"], [1, 2])
    return mean_keys(dataset, network, per=per, **{"max_side": 800, "name": "pets"} | settings)


def values(result):
    return torch.stack(result.keys).round(decimals=4).tolist()


def test_an_instance_is_the_mean_over_the_cells_in_its_box(colour_network, saved):
    """The image is 8 x 12 pixels: one box holds the centres of a red and a green cell.

    The other box holds the centre of a blue cell.
    """
    image = saved("a.png", [[RED, GREEN, BLACK], [BLACK, BLACK, BLUE]], scale=4)
    result = keys_of([record(image, [box(1, 1, 1, 7, 5), box(0, 8, 4, 12, 8)])], colour_network)
    assert values(result) == [[0.5, 0.5, 0], [0, 0, 1]]
    assert (result.classes, result.images) == ([1, 0], [0, 0])
    assert result.counts["instances_by_their_box"] == 2


def test_a_mask_replaces_its_box(colour_network, saved):
    image = saved("a.png", [[RED, GREEN], [BLUE, BLACK]], scale=4)
    mask = np.zeros((8, 8), np.uint8, order="F")
    mask[4:, :4] = 1
    rle = mask_codec.encode(mask)
    rle["counts"] = rle["counts"].decode()
    polygon = [[4, 0, 8, 0, 8, 4, 4, 4]]
    result = keys_of(
        [
            record(
                image,
                [box(0, 0, 0, 8, 8, segmentation=rle), box(0, 0, 0, 8, 8, segmentation=polygon)],
            )
        ],
        colour_network,
    )
    assert values(result) == [[0, 0, 1], [0, 1, 0]]
    assert not result.counts["instances_by_their_box"]


def test_boxes_are_in_pixels_of_the_image_when_the_input_is_smaller(colour_network, saved):
    image = saved("a.png", [[RED, GREEN], [BLUE, BLACK]], scale=40)
    result = keys_of([record(image, [box(0, 44, 4, 76, 36)])], colour_network, max_side=40)
    torch.testing.assert_close(result.keys[0], torch.tensor([0.0, 1.0, 0.0]), rtol=0, atol=0.02)


def test_an_image_has_one_key_for_all_instances_of_one_class(colour_network, saved):
    image = saved("a.png", [[RED, GREEN, BLACK]], scale=4)
    one, other = box(1, 0, 0, 4, 4), box(1, 4, 0, 8, 4)
    records = [
        record(image, [one, other]),
        record(image, [one, other | {"category_id": 0}]),
        record(image, [one, other | {"iscrowd": 1}]),
        record(image, []),
    ]
    result = keys_of(records, colour_network, per="image")
    assert values(result) == [[0.5, 0.5, 0], [1, 0, 0]]
    assert (result.classes, result.images) == ([1, 1], [0, 2])
    assert result.counts["images_of_several_classes_left_out"] == 1
    assert result.counts["crowds_left_out"] == result.counts["images_without_instance"] == 1


def test_instances_without_a_cell_and_unreadable_images_are_counted(colour_network, saved):
    image = saved("a.png", [[RED, GREEN]], scale=4)
    records = [
        record(image, [box(0, 0, 0, 1, 1), box(0, 0, 0, 8, 4)]),
        record("/nowhere/b.png", [box(0, 0, 0, 8, 4)]),
    ]
    result = keys_of(records, colour_network)
    assert len(result.keys) == result.counts["instances_without_a_cell_left_out"] == 1
    [failed] = result.failed
    assert failed["file_name"] == "b.png" and "no such file" in failed["reason"]


def test_mistakes_are_named(colour_network, saved):
    image = saved("a.png", [[RED, GREEN]], scale=4)
    tiny = [record(image, [box(0, 0, 0, 1, 1)])]
    with pytest.raises(UserError, match="no key of pets.*1 instances without a cell left out"):
        keys_of(tiny, colour_network)
    with pytest.raises(UserError, match="1 cannot be read, first: .*no such file"):
        keys_of([record("/nowhere/b.png", [box(0, 0, 0, 8, 4)])], colour_network)
    with pytest.raises(UserError, match="pets has no labels"):
        dataset = LoadedDataset([], [], [], labelled=False)
        mean_keys(dataset, colour_network, per="image", max_side=800, name="pets")
    with pytest.raises(UserError, match="--per 'pixel' is unknown; known: instance, image"):
        keys_of(tiny, colour_network, per="pixel")
    broken = {"size": [3, 3], "counts": "9"}
    with pytest.raises(UserError, match="image '.*a.png': a segmentation"):
        keys_of([record(image, [box(0, 0, 0, 8, 4, segmentation=broken)])], colour_network)
    colour_network.facets = ("mask",)
    with pytest.raises(UserError, match="gives mask and no keys"):
        keys_of(tiny, colour_network)
