"""Flickr30k Entities in a tree of two images."""

import pytest
from PIL import Image

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.datasets.flickr30k import load_flickr30k, parse_sentence
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.grounding import grounded_phrases

SENTENCES = """[/EN#1/people A Man] in [/EN#2/clothing a red shirt] throws [/EN#3/other a ball] .
[/EN#1/people A guy] plays [/EN#0/notvisual a game] with [/EN#4/people/other two friends] .
"""


def object_xml(names, box=None, flag="nobndbox"):
    corners = (
        "".join(
            f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        if box
        else ""
    )
    inside = f"<bndbox>{corners}</bndbox>" if box else f"<{flag}>1</{flag}>"
    return "<object>" + "".join(f"<name>{n}</name>" for n in names) + inside + "</object>"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    root = tmp_path / "flickr30k"
    for folder in (
        "flickr30k_entities/Annotations",
        "flickr30k_entities/Sentences",
        "flickr30k_images/flickr30k_images",
    ):
        (root / folder).mkdir(parents=True)
    (root / "test.txt").write_text("77\n88\n")
    objects = [
        object_xml(["1", "4"], (11, 21, 61, 71)),
        object_xml(["4"], (61, 1, 91, 41)),
        object_xml(["3"], (1, 1, 11, 11)),  # 100 of 8000 pixels
        object_xml(["2"], flag="scene"),
        object_xml(["9"], (1, 1, 99, 79)),  # no phrase
    ]
    size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
    entities = root / "flickr30k_entities"
    xml = f"<annotation>{size}{''.join(objects)}</annotation>"
    (entities / "Annotations" / "77.xml").write_text(xml)
    (entities / "Annotations" / "88.xml").write_text(f"<annotation>{size}</annotation>")
    (entities / "Sentences" / "77.txt").write_text(SENTENCES)
    (entities / "Sentences" / "88.txt").write_text("Nothing is marked here .\n")
    for name in ("77", "88"):
        Image.new("RGB", (100, 80)).save(root / "flickr30k_images/flickr30k_images" / f"{name}.jpg")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return root


def test_entities_have_all_their_phrasings_and_boxes(tree):
    first, second = load_spec("flickr30k_test").records
    one, four = first["annotations"]
    assert (one["annotation_id"], one["phrases"]) == ("1", ["a man", "a guy"])
    assert one["boxes"] == [[10, 20, 60, 70]] and one["bbox"] == [10, 20, 60, 70]
    assert (four["annotation_id"], four["phrases"]) == ("4", ["two friends"])
    assert four["boxes"] == [[10, 20, 60, 70], [60, 0, 90, 40]] and four["bbox"] == [10, 0, 90, 70]
    assert first["captions"][0] == "A Man in a red shirt throws a ball ."
    assert (first["image_id"], first["height"], first["width"]) == ("77", 80, 100)
    assert second["annotations"] == []
    assert len(grounded_phrases([first, second], "flickr30k_test")) == 2


def test_marks_are_read_as_written():
    text, phrases = parse_sentence("The [/EN#12/bodyparts/other left hand] of [/EN#3/people her]")
    assert text == "The left hand of her"
    assert phrases == [("12", "left hand"), ("3", "her")]
    assert parse_sentence("[/EN#5/other] .") == (".", [])


def test_missing_and_damaged_files_are_named(tree):
    with pytest.raises(UserError, match=r"list of images '.*train\.txt' does not exist"):
        load_flickr30k(tree, "train")
    (tree / "flickr30k_entities/Annotations/77.xml").write_text("<annotation>")
    with pytest.raises(UserError, match=r"cannot read .*77\.xml"):
        load_flickr30k(tree, "test")
