"""Damaged label files: every reader raises a one-line error or returns valid data.

`damaged_files` generates the damage. A reader fails a test if it raises an error other than
`UserError`, or if it returns a number that is not finite or a text that cannot be encoded.
"""

import csv
import io
import json
import os
import pickle

import pytest
from PIL import Image

from boxrefine_d2.data.datasets.coco import load_coco
from boxrefine_d2.data.datasets.coco_captions import load_coco_captions
from boxrefine_d2.data.datasets.flickr30k import load_flickr30k
from boxrefine_d2.data.datasets.kitti import load_kitti
from boxrefine_d2.data.datasets.lvis import load_lvis
from boxrefine_d2.data.datasets.openimages import load_openimages
from boxrefine_d2.data.datasets.referit import load_referit
from boxrefine_d2.data.datasets.uvo import load_uvo_dense
from boxrefine_d2.data.datasets.visual_genome import load_visual_genome
from boxrefine_d2.data.datasets.voc_splits import load_voc_dataset
from boxrefine_d2.data.pseudo_label_file import read_pseudo_labels, to_detectron2
from boxrefine_d2.data.records import LoadedDataset
from boxrefine_d2.errors import UserError
from boxrefine_d2.language.captioners import read_phrases
from boxrefine_d2.pseudo_labels.edit.label_file import open_label_file
from tests.data.damaged_files import damaged_json, damaged_table, damaged_xml
from tests.data.sound_files import (
    BOXES_CSV,
    KITTI_TXT,
    VOC_XML,
    captions,
    check_sound,
    coco,
    problems_of_message,
    pseudo_labels,
    regions,
    videos,
)


def load_every_layout(path, folder):
    """Read pseudo-labels with both readers, which must accept the same files."""
    labels = read_pseudo_labels(path)
    opened = open_label_file(path)
    assert opened.image_count == len(labels.images)
    read = [label for _, own in opened.by_image() for label in own]
    assert len(read) == len(labels.annotations)
    records = [
        {
            "image_id": image["id"],
            "relative_name": image["file_name"],
            "height": None,
            "width": None,
            "annotations": [],
        }
        for image in labels.images
    ]
    own = {record["image_id"]: record for record in records}
    for annotation in labels.annotations:
        own[annotation["image_id"]]["annotations"].append(to_detectron2(annotation))
    return LoadedDataset(records, ["object"], [1])  # fmt: skip


def load_lists(path, folder):
    """Read the file as a list of phrases."""
    records = [
        {
            "image_id": 1,
            "relative_name": "",
            "height": None,
            "width": None,
            "captions": read_phrases(path),
        }
    ]
    return LoadedDataset(records, [], [])  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Write images and a valid tree of every format into one folder."""
    for name in (
        "a.png",
        "sub/b.png",
        "JPEGImages/a.png",
        "image_2/a.png",
        "validation/a.jpg",
        "VG_Images/5.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (10, 20)).save(tmp_path / name)
    for name in ("Annotations", "ImageSets/Main", "label_2", "annotations", "VG_Annotations",
                 "flickr30k_entities/Annotations", "flickr30k_entities/Sentences"):  # fmt: skip
        (tmp_path / name).mkdir(parents=True)
    for name in ("ImageSets/Main/val.txt", "test.txt"):
        (tmp_path / name).write_text("a\n")
    (tmp_path / "Annotations/a.xml").write_text(VOC_XML)
    (tmp_path / "Annotations/b.xml").write_text(VOC_XML)
    (tmp_path / CLASSES).write_text("/m/1,Tortoise\n")
    (tmp_path / BOXES).write_text(BOXES_CSV)
    (tmp_path / "flickr30k_entities/Annotations/a.xml").write_text(ENTITIES_XML)
    (tmp_path / SENTENCES).write_text(SENTENCE)
    with (tmp_path / "VG_Annotations/data_splits.pickle").open("wb") as file:
        pickle.dump({"test": [5, 9]}, file, protocol=2)
    return tmp_path


def damaged_json_text(text, seed):
    return damaged_json(json.loads(text), seed, most=300)


def damaged_words(text, seed):
    return damaged_table(text, seed, " ")


def damaged_columns(text, seed):
    return damaged_table(text, seed, ",")


def in_folder(load, *split):
    return lambda path, folder: load(folder, *split)


ENTITIES_XML = VOC_XML.replace("dog", "1")
SENTENCE = "[/EN#1/people A man] runs .\n"
SENTENCES = "flickr30k_entities/Sentences/a.txt"
REGIONS = "VG_Annotations/region_descriptions.json"
CLASSES = "annotations/class-descriptions-boxable.csv"
BOXES = "annotations/validation-annotations-bbox.csv"
LOAD_FLICKR, LOAD_OPENIMAGES = (
    in_folder(load_flickr30k, "test"),
    in_folder(load_openimages, "validation"),
)
LOAD_GENOME, LOAD_VOC = in_folder(load_visual_genome, "test"), in_folder(load_voc_dataset, "val")

# Name -> path of the file, valid content, function that damages it, and its reader.
READERS = {
    "coco": ("x.json", json.dumps(coco()), damaged_json_text, load_coco),
    "lvis": ("x.json", json.dumps(coco()), damaged_json_text, load_lvis),
    "captions": ("x.json", json.dumps(captions()), damaged_json_text, load_coco_captions),
    "uvo": ("x.json", json.dumps(videos()), damaged_json_text, load_uvo_dense),
    "pseudo-labels": ("x.json", json.dumps(pseudo_labels()), damaged_json_text, load_every_layout),
    "visual genome": (REGIONS, json.dumps(regions()), damaged_json_text, LOAD_GENOME),
    "voc": ("Annotations/a.xml", VOC_XML, damaged_xml, LOAD_VOC),
    "voc list": ("ImageSets/Main/val.txt", "a\nb\n", damaged_words, LOAD_VOC),
    "flickr30k": ("flickr30k_entities/Annotations/a.xml", ENTITIES_XML, damaged_xml, LOAD_FLICKR),
    "flickr30k list": ("test.txt", "a\n", damaged_words, LOAD_FLICKR),
    "flickr30k sentences": (SENTENCES, SENTENCE, damaged_words, LOAD_FLICKR),
    "kitti": ("label_2/a.txt", KITTI_TXT, damaged_words, in_folder(load_kitti)),
    "open images": (BOXES, BOXES_CSV, damaged_columns, LOAD_OPENIMAGES),
    "open images classes": (CLASSES, "/m/1,Tortoise\n/m/2,Cat\n", damaged_columns, LOAD_OPENIMAGES),
    "phrases": ("x.txt", "a dog\n# no\na cat\n", damaged_words, load_lists),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_gives_a_one_line_error_or_valid_data(folder, reader):
    place, text, damaged, load = READERS[reader]
    wrong, read, refused = [], 0, 0
    for name, content in damaged(text, list(READERS).index(reader)):
        (folder / place).write_bytes(content)
        try:
            check_sound(load(folder / place, folder))
            read += 1
        except UserError as error:
            refused += 1
            wrong += [f"{name}: {problem}" for problem in problems_of_message(str(error))]
        except Exception as error:  # noqa: BLE001 - the test searches for any other error
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:100]}")
    assert wrong == []
    assert read and refused  # otherwise the damage does not reach the reader


@pytest.mark.parametrize("reader", READERS)
def test_byte_order_marks_and_line_ends_change_nothing(folder, reader):
    place, text, _, load = READERS[reader]
    (folder / place).write_bytes(text.encode())
    plain = load(folder / place, folder)
    assert plain.records
    for encoding in ("utf-8-sig", "utf-16"):
        for line_end in ("\n", "\r\n"):
            (folder / place).write_bytes(text.replace("\n", line_end).encode(encoding))
            assert load(folder / place, folder) == plain, (encoding, line_end)


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_in_place_of_a_file_is_refused_without_blocking(folder, reader):
    place, _, _, load = READERS[reader]
    (folder / place).unlink(missing_ok=True)
    os.mkfifo(folder / place)
    with pytest.raises(UserError, match="is a pipe or a device|holds no label file|has no split"):
        load(folder / place, folder)


# Contents of a pickle of plain data that may stand in place of ReferIt's queries.
QUERIES = [
    None, 3, [], {}, {"5": None}, {"5": {}}, {"5": {"annotations": None}},
    {"x": {"annotations": []}}, {None: {"annotations": []}},
    {"5": {"annotations": []}, 5: {"annotations": []}},
    {"9" * 5000: {"annotations": []}}, {10**400: {"annotations": []}},
    *({"5": {"annotations": [query]}} for query in (
        None, {}, {"query": 3, "bbox": [[0, 0, 9, 9]]}, {"query": "a"}, {"query": "a", "bbox": []},
        {"query": "a", "bbox": [[0, 0, 9]]}, {"query": "a", "bbox": [[0, 0, 9, "9"]]},
        {"query": "a", "bbox": [[0, 0, 9, float("nan")]]},
        {"query": "a", "bbox": [[0, 0, 9, 10**400]]},
        {"query": "\ud800", "bbox": [[0, 0, 9, 9]]}, {"query": "a", "bbox": [[0, 0, 9, 9]]},
    )),
]  # fmt: skip


@pytest.mark.parametrize("content", QUERIES, ids=lambda content: repr(content)[:60])
def test_damaged_queries_give_a_one_line_error_or_valid_data(folder, content):
    with (folder / "annotations/test.pickle").open("wb") as file:
        pickle.dump(content, file)
    try:
        check_sound(load_referit(folder, "test"))
    except UserError as error:
        assert list(problems_of_message(str(error))) == []


def test_a_table_with_an_unclosed_quote_is_refused(folder):
    out = io.StringIO()
    csv.writer(out).writerow(["/m/1", "x" * 200_000])
    (folder / CLASSES).write_text(out.getvalue())
    with pytest.raises(UserError, match="field larger than"):
        load_openimages(folder, "validation")
