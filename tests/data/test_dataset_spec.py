"""Dataset specs: parsing, loading, modifiers, registration and error messages."""

import json
import logging
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image

from boxrefine_d2.data import dataset_spec
from boxrefine_d2.data.dataset_spec import (
    DatasetSpec,
    Modifier,
    escape_path,
    files_of_spec,
    load_spec,
    parse_spec,
    register_spec,
)
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.errors import UserError


@pytest.fixture(autouse=True)
def catalogs():
    """Restore Detectron2's catalogs after every test."""
    data, metadata = dict(DatasetCatalog.data), dict(MetadataCatalog.data)
    registered = set(dataset_spec._registered_here)
    yield
    DatasetCatalog.data.clear()
    DatasetCatalog.data.update(data)
    MetadataCatalog.data.clear()
    MetadataCatalog.data.update(metadata)
    dataset_spec._registered_here.clear()
    dataset_spec._registered_here.update(registered)


@pytest.fixture
def folder(tmp_path):
    """Write four images of 6 x 4 pixels into a folder whose name needs escapes."""
    path = tmp_path / "a+b:c"
    for name in ("1.png", "2.png", "sub/3.png", "sub/4.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(path / name)
    return path


@pytest.fixture
def coco(tmp_path):
    """Return the spec of a COCO file with three images and two categories.

    The third image has no labels.
    """
    (tmp_path / "images").mkdir()
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 4, "width": 6} for i in (1, 2, 3)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 5, "bbox": [0, 0, 2, 2], "phrase": "a cup"},
            {"id": 2, "image_id": 2, "category_id": 9, "bbox": [1, 1, 2, 2]},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 5, "name": "cup"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return f"coco:{tmp_path}/labels.json:{tmp_path}/images"


def _pseudo(path, names, boxes, first_id=1):
    images = [
        {"id": i, "file_name": n, "width": 6, "height": 4} for i, n in enumerate(names, first_id)
    ]
    annotations = [{"image_id": i, "bbox": box, "score": 0.5} for i, box in boxes]
    write_pseudo_labels(path, images=images, annotations=annotations, info={})
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("voc_2007_trainval", DatasetSpec("name", ("voc_2007_trainval",))),
        ("coco_2014_val", DatasetSpec("name", ("coco_2014_val",))),  # also a name of Detectron2
        ("scenes:train", DatasetSpec("scenes", ("train",))),
        ("folder:../x/y", DatasetSpec("folder", ("../x/y",))),
        ("coco:a.json:b", DatasetSpec("coco", ("a.json", "b"))),
        ("voc:/data/VOC2007:test", DatasetSpec("voc", ("/data/VOC2007", "test"))),
        ("folder:a%2Bb%3ac%20d", DatasetSpec("folder", ("a+b:c%20d",))),
        ("folder:a%252B", DatasetSpec("folder", ("a%2B",))),
        (
            "coco_2017_val+overlapping+separate",
            DatasetSpec(
                "name", ("coco_2017_val",), (Modifier("overlapping"), Modifier("separate"))
            ),
        ),
        (
            "coco20k+first=10+agnostic+pseudo=p%2Bq.json",
            DatasetSpec(
                "name",
                ("coco20k",),
                (Modifier("first", 10), Modifier("agnostic"), Modifier("pseudo", "p+q.json")),
            ),
        ),
    ],
)
def test_parsing_and_back(text, expected):
    spec = parse_spec(text)
    assert spec == expected
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize("path", ["plain", "a+b", "a:b", "a%2Bb", "100%", "%253A", "%2b+%3A:%25"])
def test_any_path_survives_escaping(path):
    assert parse_spec(f"folder:{escape_path(path)}").arguments == (path,)
    assert parse_spec(f"scenes:train+pseudo={escape_path(path)}").modifiers[0].value == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "voc_2007_trainva",
            "unknown data set 'voc_2007_trainva'.*did you mean voc_2007_trainval;",
        ),
        ("coco_2014_vall", "did you mean coco_2014_val;"),
        ("scens:train", "did you mean scenes:SPLIT.*%2B"),
        ("xyz", "known: .*voc_2012_trainval.*coco20k.*cutouts_val.*scenes:SPLIT.*coco:JSON:DIR"),
        ("", "unknown data set ''"),
        ("scenes", "incomplete: it should read scenes:SPLIT"),
        ("folder:", "incomplete: it should read folder:DIR"),
        ("coco:a.json", "incomplete: it should read coco:JSON:DIR"),
        ("coco::b", "incomplete"),
        ("coco:a:b:c", "more than 2 ':'.*%2B.*%3A"),
        ("folder:a:b", "more than 1 ':'.*%3A"),
        (
            "folder:a+b/c",
            r"unknown modifier '\+b/c'.*known: \+agnostic, \+first=N, \+every=N, "
            r"\+not_every=N, \+pseudo=FILE.*%2B",
        ),
        ("scenes:train+agnstic", r"did you mean \+agnostic\?"),
        ("scenes:train+", r"unknown modifier '\+'"),
        ("scenes:train+agnostic=1", r"\+agnostic takes no value"),
        ("scenes:train+separate=1", r"\+separate takes no value"),
        ("scenes:train+overlaping", r"did you mean \+overlapping\?.*known: .*\+separate"),
        ("scenes:train+first", "needs a value: \\+first=N"),
        ("scenes:train+first=0", "integer of at least 1"),
        ("scenes:train+every=0", "integer of at least 1"),
        ("scenes:train+first=-1", "integer of at least 1"),
        ("scenes:train+first=1.5", "integer of at least 1"),
        ("scenes:train+first=²", "integer of at least 1"),
        ("scenes:train+pseudo=", "needs a value: \\+pseudo=FILE"),
        ("scenes:train+pseudo=a:b", "has a ':' in its path.*%3A"),
    ],
)
def test_a_wrong_spec_is_a_one_line_error(text, message):
    for function in (parse_spec, load_spec, register_spec):
        with pytest.raises(UserError, match=message) as caught:
            function(text)
        assert "\n" not in str(caught.value)


def test_the_error_for_a_bare_folder_shows_its_spec(folder):
    with pytest.raises(UserError, match="write folder:.*a%2Bb%3Ac;"):
        parse_spec(escape_path(folder))


def test_folder(folder):
    dataset = load_spec(f"folder:{escape_path(folder)}")
    assert [record["relative_name"] for record in dataset.records] == [
        "1.png",
        "2.png",
        "sub/3.png",
        "sub/4.png",
    ]
    assert not dataset.labelled and dataset.category_names == []
    assert "annotations" not in load_spec(f"folder:{escape_path(folder)}+agnostic").records[0]


def test_scenes_and_their_limit(monkeypatch):
    asked = []

    def load_scenes(split, limit=None, world="scenes"):
        asked.append((split, limit))
        records = [
            {"file_name": f"scenes:{split}/{i:06d}", "image_id": i, "annotations": []}
            for i in range(9)
        ]
        return records[:limit], ("bird", "fish")

    monkeypatch.setattr("boxrefine_d2.data.scenes.load_scenes", load_scenes)
    dataset = load_spec("scenes:val+first=5+agnostic+first=3")
    assert [record["relative_name"] for record in dataset.records] == [
        "val/000000",
        "val/000001",
        "val/000002",
    ]
    assert load_spec("scenes:val").category_names == ["bird", "fish"]
    assert asked == [("val", 3), ("val", None)]


def test_scenes_for_real():
    record = load_spec("scenes:train+first=1").records[0]
    assert (record["file_name"], record["relative_name"]) == ("scenes:train/000000", "train/000000")
    assert record["annotations"] and record["annotations"][0]["phrase"]


def test_agnostic(coco):
    plain, changed = load_spec(coco), load_spec(coco + "+agnostic")
    assert plain.category_names == ["cup", "dog"] and plain.category_ids == [5, 9]
    assert changed.category_names == ["object"] and changed.category_ids == [1]
    boxes = [annotation for record in changed.records for annotation in record["annotations"]]
    assert [annotation["category_id"] for annotation in boxes] == [0, 0]
    assert boxes[0]["phrase"] == "a cup" and boxes[0]["bbox"] == [0.0, 0.0, 2.0, 2.0]


@pytest.fixture
def crowded(tmp_path):
    """Return the spec of a COCO file with seven images, named after the layout of their boxes."""
    boxes = {
        "overlap": [[0, 0, 3, 3], [5, 0, 1, 1], [2, 2, 2, 2]],
        "touch": [[0, 0, 2, 2], [2, 0, 2, 2]],
        "one": [[0, 0, 2, 2]],
        "none": [],
        "crowd": [[0, 0, 2, 2], [0, 0, 6, 4]],
        "no area": [[0, 0, 4, 4], [1, 1, 0, 2]],
        "twice": [[1, 1, 2, 2], [1, 1, 2, 2]],
    }
    annotations = [
        {"image_id": name, "category_id": 1, "bbox": box, "iscrowd": int(name == "crowd" and i)}
        for name, image_boxes in boxes.items()
        for i, box in enumerate(image_boxes)
    ]
    images = [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 6} for n in boxes]
    document = {"images": images, "annotations": annotations}
    document["categories"] = [{"id": 1, "name": "cup"}]
    (tmp_path / "crowded.json").write_text(json.dumps(document))
    return f"coco:{tmp_path}/crowded.json:{tmp_path}"


def test_overlapping_and_separate_divide_the_labelled_images(crowded):
    def ids(spec):
        return [record["image_id"] for record in load_spec(spec).records]

    together, apart = ids(crowded + "+overlapping"), ids(crowded + "+separate")
    assert together == ["overlap", "twice"]
    assert sorted(apart) == ["crowd", "no area", "none", "one", "touch"]
    assert load_spec(crowded + "+separate").category_names == ["cup"]
    # Modifiers apply from left to right.
    assert ids(crowded + "+overlapping+first=1") == together[:1]
    assert ids(crowded + "+first=2+separate") == ids(crowded)[:2] == ["crowd", "no area"]


def test_overlapping_and_separate_use_the_pseudo_labels_before_them(coco, folder, tmp_path):
    boxes = [(1, [0, 0, 2, 2]), (1, [1, 1, 2, 2]), (2, [0, 0, 2, 2])]
    path = _pseudo(tmp_path / "p.json", ["1.png", "2.png", "3.png"], boxes)
    records = load_spec(f"{coco}+pseudo={path}+separate").records
    assert [record["image_id"] for record in records] == [2, 3]
    unlabelled = f"folder:{escape_path(folder)}"
    for name in ("overlapping", "separate"):
        with pytest.raises(
            UserError, match=rf"^\+{name} asks .* has no labels; put \+pseudo"
        ) as caught:
            load_spec(f"{unlabelled}+{name}")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"^\+overlapping leaves no image: in none of the 3"):
        load_spec(coco + "+overlapping")
    with pytest.raises(UserError, match=r"^\+separate leaves no image: in each of the 1"):
        load_spec(f"{coco}+pseudo={path}+first=1+separate")


def test_overlapping_and_separate_choose_among_all_scenes(monkeypatch):
    asked = []

    def load_scenes(split, limit=None, world="scenes"):
        asked.append(limit)
        box = {"bbox": [0.0, 0.0, 2.0, 2.0], "iscrowd": 0}
        records = [
            {"file_name": f"scenes:{split}/{i}", "image_id": i, "annotations": [box] * (i // 4)}
            for i in range(9)
        ]
        return records[:limit], ("bird",)

    monkeypatch.setattr("boxrefine_d2.data.scenes.load_scenes", load_scenes)
    assert load_spec("scenes:val+overlapping+first=1").records[0]["image_id"] == 8
    assert len(load_spec("scenes:val+first=8+separate+first=5").records) == 5
    assert asked == [None, 8]


def test_every_keeps_the_first_image_and_every_nth_after_it(coco):
    def ids(spec):
        return [record["image_id"] for record in load_spec(coco + spec).records]

    assert ids("+every=2") == [1, 3]
    assert ids("+every=9") == [1]
    assert ids("+not_every=2") == [2] and ids("+not_every=9") == [2, 3]
    with pytest.raises(UserError, match=r"\+not_every=1 leaves none of 3 images"):
        ids("+not_every=1")
    assert ids("+first=2+every=2") == [1] and ids("+every=2+first=2") == [1, 3]


def test_first_beyond_the_end(coco):
    assert [record["image_id"] for record in load_spec(coco + "+first=2").records] == [1, 2]
    assert len(load_spec(coco + "+first=99").records) == 3


def test_pseudo_replaces_the_labels(coco, tmp_path, caplog):
    path = _pseudo(tmp_path / "p.json", ["1.png", "2.png"], [(2, [1, 0, 3, 2]), (2, [0, 0, 1, 1])])
    with caplog.at_level(logging.WARNING):
        dataset = load_spec(f"{coco}+pseudo={path}")
    assert "1 of the 3 images are not listed" in caplog.text
    assert dataset.category_names == ["object"] and dataset.category_ids == [1] and dataset.labelled
    first, second, third = (record["annotations"] for record in dataset.records)
    assert first == [] and third == []
    assert second[0] == {
        "bbox": [1.0, 0.0, 4.0, 2.0],
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
        "score": 0.5,
    }
    assert len(second) == 2


def test_pseudo_gives_a_folder_labels(folder, tmp_path):
    names = ["1.png", "2.png", "sub/3.png", "sub/4.png"]
    path = _pseudo(tmp_path / "p+q.json", names, [(3, [0, 0, 1, 1])])
    spec = f"folder:{escape_path(folder)}+pseudo={escape_path(path)}"
    dataset = load_spec(spec)
    assert dataset.labelled and [len(record["annotations"]) for record in dataset.records] == [
        0,
        0,
        1,
        0,
    ]
    # From left to right: the file is checked against all images, then the first two are kept.
    assert len(load_spec(f"{spec}+first=2").records) == 2
    with pytest.raises(
        UserError, match="2 of the 4 images .* ids 3, 4, .*2 images with ids 1, 2; .*after"
    ):
        load_spec(f"folder:{escape_path(folder)}+first=2+pseudo={escape_path(path)}")


def test_pseudo_from_other_images(coco, folder, tmp_path):
    path = _pseudo(tmp_path / "p.json", ["7.png", "8.png"], [], first_id=7)
    with pytest.raises(
        UserError,
        match="2 of the 2 images in pseudo-label file .*p.json.* ids 7, 8, while .* ids 1, 2, 3",
    ):
        load_spec(f"{coco}+pseudo={path}")
    # An image was added to the folder later: the ids are the same, but the names differ.
    path = _pseudo(tmp_path / "p.json", ["2.png", "sub/3.png", "sub/4.png"], [])
    with pytest.raises(
        UserError, match="3 of the 3 images .* other names .* id 1: '2.png' there, '1.png' here"
    ):
        load_spec(f"folder:{escape_path(folder)}+pseudo={path}")
    with pytest.raises(UserError, match="pseudo-label file '.*gone.json' does not exist"):
        load_spec(f"{coco}+pseudo={tmp_path}/gone.json")


def test_pseudo_names_may_start_one_folder_higher(coco, tmp_path):
    path = _pseudo(
        tmp_path / "p.json", ["images/1.png", "images/2.png", "images/3.png"], [(1, [0, 0, 1, 1])]
    )
    assert len(load_spec(f"{coco}+pseudo={path}").records[0]["annotations"]) == 1


def test_the_pseudo_label_file_sets_the_size_of_an_image(coco, tmp_path):
    images = [{"id": i, "file_name": f"{i}.png", "width": 60, "height": 40} for i in (1, 2, 3)]
    write_pseudo_labels(tmp_path / "p.json", images=images, annotations=[], info={})
    records = load_spec(f"{coco}+pseudo={tmp_path}/p.json").records
    assert {(r["height"], r["width"]) for r in records} == {(40, 60)}


def test_relative_paths_are_relative_to_the_working_directory(coco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load_spec("coco:labels.json:images").records) == 3


def test_registration_is_lazy_and_idempotent(coco, monkeypatch):
    text = coco + "+first=2"
    assert register_spec(text) == text
    assert register_spec(f" {text} ") == text
    assert "thing_classes" not in MetadataCatalog.get(text).as_dict()
    assert [record["image_id"] for record in DatasetCatalog.get(text)] == [1, 2]
    assert MetadataCatalog.get(text).thing_classes == ["cup", "dog"]
    assert MetadataCatalog.get(text).thing_dataset_id_to_contiguous_id == {5: 0, 9: 1}
    assert len(DatasetCatalog.get(text)) == 2  # the metadata may be set twice


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("scenes:train+agnostic", ["object"]),
        ("folder:nowhere", []),
        ("folder:nowhere+pseudo=p.json+agnostic", ["object"]),
        ("voc_2007_val+first=3", list(dataset_spec.VOC_CLASS_NAMES)),
    ],
)
def test_known_class_names_are_registered_without_loading(text, names):
    assert MetadataCatalog.get(register_spec(text)).thing_classes == names


def test_a_voc_tree_may_have_its_own_classes():
    assert "thing_classes" not in MetadataCatalog.get(register_spec("voc:nowhere:val")).as_dict()


def test_our_loader_replaces_that_of_detectron2(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    register_spec("voc_2007_trainval")
    register_spec("voc_2007_trainval")
    with pytest.raises(UserError, match="'voc_2007_trainval' is not there"):
        DatasetCatalog.get("voc_2007_trainval")
    metadata = MetadataCatalog.get("voc_2007_trainval")
    assert metadata.evaluator_type == "pascal_voc" and len(metadata.thing_classes) == 20


def test_our_class_names_replace_those_of_detectron2(tmp_path, monkeypatch, coco):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "images").rename(tmp_path / "coco" / "val2017")
    (tmp_path / "labels.json").rename(tmp_path / "coco" / "annotations" / "instances_val2017.json")
    assert len(DatasetCatalog.get(register_spec("coco_2017_val"))) == 3
    metadata = MetadataCatalog.get("coco_2017_val")
    assert metadata.thing_classes == ["cup", "dog"] and metadata.evaluator_type == "coco"


def _own_records(folder):
    box = {"bbox": [1, 2, 3, 4], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1}
    return [
        {
            "file_name": str(folder / "1.png"),
            "image_id": "x",
            "height": 4,
            "width": 6,
            "annotations": [box],
        },
        {
            "file_name": str(folder / "sub/3.png"),
            "image_id": "y",
            "height": 4,
            "width": 6,
            "annotations": [],
        },
    ]


def test_a_name_the_user_registered(folder):
    source = _own_records(folder)
    DatasetCatalog.register("my_birds", lambda: source)
    MetadataCatalog.get("my_birds").set(thing_classes=["egg", "bird"])
    checked = register_spec("my_birds")
    assert register_spec("my_birds") == register_spec(checked) == checked
    assert DatasetCatalog.get("my_birds") is source  # untouched
    assert DatasetCatalog.get(checked)[0]["annotations"][0]["bbox_mode"] == BoxMode.XYXY_ABS
    assert MetadataCatalog.get(checked).thing_classes == ["egg", "bird"]
    dataset = load_spec("my_birds")
    assert dataset.category_names == ["egg", "bird"] and dataset.category_ids == [1, 2]
    assert [record["relative_name"] for record in dataset.records] == ["1.png", "sub/3.png"]
    assert dataset.records[0]["annotations"][0]["bbox"] == [1.0, 2.0, 4.0, 6.0]
    assert source[0]["annotations"][0]["bbox"] == [1, 2, 3, 4]
    text = register_spec("my_birds+agnostic+first=1")
    assert len(DatasetCatalog.get(text)) == 1 and MetadataCatalog.get(text).thing_classes == [
        "object"
    ]


def test_a_user_name_without_class_names(folder):
    DatasetCatalog.register("my_things", lambda: _own_records(folder))
    assert load_spec("my_things").category_names == ["category 0", "category 1"]


def test_labels_of_a_registered_data_set_are_compared_with_the_pixels(folder, tmp_path):
    """A training reads the checked name. The user's own name stays unchanged."""
    records = _own_records(folder)
    Image.new("RGB", (6, 4)).save(folder / "1.png")
    records[0] |= {"height": 8, "width": 12}
    DatasetCatalog.register("my_resized", lambda: records)
    with pytest.raises(UserError, match="my_resized: the labels of 1 of 2 images .* resized copy"):
        DatasetCatalog.get(register_spec("my_resized"))
    assert DatasetCatalog.get("my_resized") is records


def test_missing_fields_of_a_registered_data_set_are_filled_in(folder):
    """Sizes come from the pixels, ids are positions, and paths may have any path type."""
    source = _own_records(folder)
    Image.new("RGB", (6, 4)).save(folder / "1.png")
    for key in ("height", "width", "image_id"):
        del source[0][key]
    source[0]["file_name"] = folder / "1.png"
    source[1] |= {"height": np.int64(4), "width": np.int64(6)}
    DatasetCatalog.register("my_plain", lambda: source)
    MetadataCatalog.get("my_plain").set(corloc_rounds_boxes=True)
    dataset = load_spec("my_plain")
    assert [(r["image_id"], r["height"], r["width"]) for r in dataset.records] == [
        (1, 4, 6),
        ("y", 4, 6),
    ]
    assert dataset.records[0]["file_name"] == str(folder / "1.png")
    assert dataset.corloc_rounds_boxes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file_name": ""}, "a record without a file_name"),
        ({"height": "4"}, "1.png' has the width 6 and the height '4'"),
        ({"annotations": [{"bbox": [1, 2, 3, 4], "bbox_mode": 0}]}, "and category_id: {'bbox'"),
        ({"annotations": [{"bbox_mode": 0, "category_id": 0}]}, "without a proper bbox"),
    ],
)
def test_errors_of_a_registered_data_set(folder, change, reason):
    name = f"my_{reason}"
    DatasetCatalog.register(name, lambda: [_own_records(folder)[0] | change])
    with pytest.raises(UserError, match=re.escape(reason)):
        load_spec(name)


def test_a_user_name_that_cannot_be_loaded():
    def gone():
        raise FileNotFoundError(2, "No such file or directory", "gone.json")

    DatasetCatalog.register("my_gone", gone)
    DatasetCatalog.register("my_empty", list)
    with pytest.raises(
        UserError, match="'my_gone', registered with Detectron2, cannot be loaded: .*gone.json"
    ):
        load_spec("my_gone")
    with pytest.raises(UserError, match="'my_empty', registered with Detectron2, has no image"):
        load_spec("my_empty")


def test_voc_spec(tmp_path):
    with pytest.raises(UserError, match="VOC folder '.*nowhere' does not exist"):
        load_spec(f"voc:{tmp_path}/nowhere:val")


@pytest.mark.parametrize(
    "base", ["folder:{}", "voc:{}:val", "coco:{}:.", "kitti_trainval", "uvo_sparse_val"]
)
def test_a_name_too_long_for_a_file_is_reported_as_missing(base, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "d" * 300)
    with pytest.raises(UserError, match="does not exist|not there|too long"):
        load_spec(base.format("a" * 300))


def test_a_tilde_after_a_colon_is_the_home_folder(coco, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = [f"{i}.png" for i in (1, 2, 3)]
    for name in names:
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / name)
    _pseudo(tmp_path / "p.json", names, [])
    for spec in (
        "folder:~/images",
        "coco:~/labels.json:~/images",
        "folder:~/images+pseudo=~/p.json",
    ):
        assert len(load_spec(spec).records) == 3


def test_labels_in_the_catalog_are_compared_with_the_pixels(coco, tmp_path):
    """Training and its evaluation read the catalog, which compares labels with pixels.

    `load_spec` alone does not compare them.
    """
    for number in (1, 2, 3):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"{number}.png")
    labels = json.loads((tmp_path / "labels.json").read_text())
    labels["images"][0] |= {"width": 640, "height": 480}
    (tmp_path / "resized.json").write_text(json.dumps(labels))
    spec = f"coco:{tmp_path}/resized.json:{tmp_path}/images"
    assert load_spec(spec).records[0]["width"] == 640
    with pytest.raises(
        UserError, match="labels of 1 of 3 images .* resized copy or of another image"
    ):
        DatasetCatalog.get(register_spec(spec))


def test_files_of_a_spec():
    files = files_of_spec("coco:a.json:b%2Bc+pseudo=d.json+first=3")
    assert files == ["a.json", "b+c", "d.json"]
    assert files_of_spec("voc:tree:trainval") == ["tree"]
    assert files_of_spec("folder:x") == ["x"]


def test_a_registered_name_gives_the_files_of_its_tree_and_other_names_give_none(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert files_of_spec("scenes:val") == []
    assert files_of_spec("scenes:val+pseudo=val") == ["val"]
    assert files_of_spec("cutouts_val+agnostic") == [
        f"{tmp_path}/cutouts",
        f"{tmp_path}/cutouts/val.json",
        f"{tmp_path}/cutouts/val",
    ]
    DatasetCatalog.register("my_birds", list)
    assert files_of_spec("my_birds") == []


@pytest.mark.parametrize(
    "annotation",
    [
        {},
        {"bbox": [1, 2, 3, 4]},
        {"bbox": [1, 2, 3], "bbox_mode": 1},
        {"bbox": [1, 2, 3, float("nan")], "bbox_mode": 1},
        {"bbox": [1, 2, 3, 10**400], "bbox_mode": 1},
        {"bbox": [1, 2, 3, "4"], "bbox_mode": 1},
        {"bbox": None, "bbox_mode": 1},
        {"bbox": [1, 2, 3, 4], "bbox_mode": "xywh"},
    ],
)
def test_boxes_of_a_registered_data_set_are_checked(annotation):
    record = {
        "file_name": "a.jpg",
        "image_id": 1,
        "height": 9,
        "width": 9,
        "annotations": [annotation],
    }
    DatasetCatalog.register("made_up_set", lambda: [record])
    try:
        with pytest.raises(
            UserError, match="data set 'made_up_set', registered with Detectron2, has"
        ):
            load_spec("made_up_set")
    finally:
        DatasetCatalog.remove("made_up_set")


def test_boxes_that_share_a_border_are_separate(folder, tmp_path):
    """0.1 + 0.2 is more than 0.3, and a file with x and width cannot state the border more exactly.

    The editing of labels treats such boxes alike.
    """
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.1, 0, 0.2, 2]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0.3, 0, 1, 2]},
    ]
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 6, "height": 4}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": annotations,
    }
    (tmp_path / "met.json").write_text(json.dumps(content))
    assert 0.1 + 0.2 > 0.3
    assert len(load_spec(f"coco:{tmp_path}/met.json:{escape_path(folder)}+separate").records) == 1
