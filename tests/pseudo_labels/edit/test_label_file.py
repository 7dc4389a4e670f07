"""Pseudo-label files that are read line by line, and files of other layouts."""

import hashlib
import json

import pytest

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.edit.label_file import open_label_file

BOX = {"bbox": [1, 2, 3, 4], "score": 0.5}
LABELS = {7: [BOX, BOX | {"score": 0.25}], 1: [], 3: [BOX], "a": [], "b": [BOX]}


def content(file):
    return [(image["id"], [label["score"] for label in own]) for image, own in file.by_image()]


CONTENT = [(1, []), (3, [0.5]), (7, [0.5, 0.25]), ("a", []), ("b", [0.5])]


def test_a_written_file_is_read_line_by_line(write):
    path = write("a.json", LABELS, {"method": "lost"})
    file = open_label_file(path)
    assert file.whole is None
    assert content(file) == content(file) == CONTENT
    assert [image["id"] for image in file.images()] == [1, 3, 7, "a", "b"]
    assert (file.image_count, file.label_count, file.mask_count) == (5, 4, 0)
    assert file.info == {"method": "lost"} and file.name == "a.json"
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    whole = read_pseudo_labels(path)
    assert [label for _, own in file.by_image() for label in own] == whole.annotations
    assert list(file.images()) == whole.images


def test_a_file_without_labels_is_read_line_by_line(write):
    file = open_label_file(write("a.json", {1: [], 2: []}))
    assert file.whole is None and content(file) == [(1, []), (2, [])]


def indented(text):
    return json.dumps(json.loads(text), indent=1)


def on_one_line(text):
    return json.dumps(json.loads(text))


def sections_exchanged(text):
    document = json.loads(text)
    return json.dumps({key: document[key] for key in sorted(document)})


def unsorted(text):
    """Return the same lines with the first and the last image exchanged; still one per line."""
    lines = text.splitlines(keepends=True)
    assert (lines[1], lines[7], lines[-2]) == (
        '"images": [\n',
        '"annotations": [\n',
        '"categories": [\n',
    )
    images, labels = lines[2:7], lines[8:12]
    last_first = [images[4], *images[1:4], images[0]]
    swapped = [line.rstrip("],\n") + ",\n" for line in last_first]
    swapped[-1] = swapped[-1][:-2] + "],\n"
    return "".join([*lines[:2], *swapped, lines[7], *labels, *lines[12:]])


def labels_unsorted(text):
    document = json.loads(text)
    labels = document["annotations"]
    document["annotations"] = [labels[3], *labels[:3]]
    head, _, rest = text.partition('"annotations": [\n')
    body = ",\n".join(map(json.dumps, document["annotations"]))
    return f'{head}"annotations": [\n{body}],\n{rest[rest.index(chr(34) + "categories") :]}'


def other_line_ends(text):
    return text.replace("\n", "\r\n")


def more_keys(text):
    return text.rstrip().removesuffix("}") + ', "licenses": []}'


@pytest.mark.parametrize(
    "change",
    [
        indented,
        on_one_line,
        sections_exchanged,
        unsorted,
        labels_unsorted,
        other_line_ends,
        more_keys,
    ],
)
def test_another_layout_has_the_same_content(write, change):
    path = write("a.json", LABELS, {"method": "lost"})
    path.write_bytes(change(path.read_text()).encode())
    file = open_label_file(path)
    assert file.whole is not None
    assert content(file) == CONTENT
    assert file.info == {"method": "lost"} and file.label_count == 4


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"bbox": [1.0', '"bbox": ["1"', "has the bbox"),
        ('"image_id": 3', '"image_id": 4', "has image_id 4, and no image has this id"),
        ('{"id": 3, "file', '{"id": 1, "file', "1 image ids occur more than once"),
        ('"score": 0.25', '"score": NaN', "has the score nan"),
        ('"file_name": "3.jpg"', '"file_name": 3', "image 3 has no 'file_name'"),
        ('"name": "object"}]}', '"name": "object"}]', "is not JSON"),
        ('{"id": 1, "name": "object"}', '{"id": 2, "name": "cat"}', "not a pseudo-label file"),
        ('{"id": 7, "file_name": "7.jpg"', '["id", 7', "is not JSON"),
        ('"category_id": 1', '"category_id": 3', "has category_id 3"),
    ],
)
def test_messages_equal_those_of_the_reader_of_whole_files(write, before, after, message):
    path = write("a.json", LABELS)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(UserError) as by_line:
        open_label_file(path)
    with pytest.raises(UserError) as whole:
        read_pseudo_labels(path)
    assert message in str(by_line.value) and str(by_line.value) == str(whole.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match=r"none.json' does not exist"):
        open_label_file(tmp_path / "none.json")
    with pytest.raises(UserError, match="is a folder; name a file"):
        open_label_file(tmp_path)
