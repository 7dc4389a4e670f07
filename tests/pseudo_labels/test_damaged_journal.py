"""Journals that are damaged, not merely cut short by a kill."""

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.journal import Journal

INFO = {"method": "lost"}


def written(tmp_path):
    """The output of a run with two finished batches, and its one journal."""
    output = tmp_path / "boxes.json"
    with Journal(output, INFO).open(0) as journal:
        journal.add(0, {"images": []})
        journal.add(1, {"images": []})
    return output, next(tmp_path.glob("*.journal.*"))


@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b"9" * 5000]
)
def test_a_damaged_header_is_named(tmp_path, header):
    output, path = written(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([header, *lines[1:]]))
    with pytest.raises(UserError, match=r"boxes.json.journal.0-0' is damaged; remove the file"):
        Journal(output, INFO)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[x, {}]", b"[-1, {}]", b"\0\0\0", b"[" + b"9" * 5000 + b", {}]"]
)
def test_a_damaged_line_is_named(tmp_path, line):
    output, path = written(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(UserError, match="is damaged"):
        Journal(output, INFO)


@pytest.mark.parametrize("line", [b"[0, {", b"[0, 9" + b"9" * 5000 + b"]", b"[0, \xff]"])
def test_a_damaged_entry_is_named_when_it_is_used(tmp_path, line):
    output, path = written(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    journal = Journal(output, INFO)
    with pytest.raises(UserError, match="is damaged"):
        journal.entry(0)
    assert journal.entry(1) == {"images": []}
