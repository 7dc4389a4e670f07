"""Files from outside are checked before they are read."""

import os

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file, read_json, read_text


def test_a_pipe_is_refused_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "labels.json")
    with pytest.raises(UserError, match="is a pipe or a device"):
        read_json(tmp_path / "labels.json", "COCO file")


@pytest.mark.parametrize(
    ("name", "reason"), [("none.json", "does not exist"), (".", "is a folder"), ("a\0b", "null")]
)
def test_a_path_that_is_no_file_is_refused_with_the_reason(tmp_path, name, reason):
    with pytest.raises(UserError, match=reason):
        check_regular_file(f"{tmp_path}/{name}", "COCO file")


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # sparse: it takes no space on the disk
    with pytest.raises(UserError, match=r"has 3\.0 GiB; at most 2\.0 GiB are read"):
        read_text(path, "COCO file")


def test_a_byte_order_mark_is_left_out_of_the_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_json(path, "COCO file") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a git-lfs pointer"),
        (b"\n<!DOCTYPE html><html></html>", "is an HTML page"),
        (b'{"a": 1', "is not JSON"),
        (b"[" * 100_000, "has lists or objects that are nested too deep$"),
        (b'{"a": [' + b"1" * 5_000 + b"]}", "has an integer of more than 4300 digits$"),
        (b'{"a": "\xe9"}', "is no UTF-8 text"),
    ],
    ids=["empty", "pointer", "page", "cut", "deep", "digits", "latin-1"],
)
def test_a_file_that_is_no_json_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_json(path, "COCO file")
