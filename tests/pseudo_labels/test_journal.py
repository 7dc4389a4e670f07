"""Damaged journals: only damaged batches are lost, and no output is wrong."""

import json
import shutil

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels.journal import Journal

INFO = {"method": "lost", "sizes": (1, 2)}


def entry(name):
    return {"images": [name], "failed": [], "dense_solves": 0}


@pytest.fixture
def written(tmp_path):
    """Write the journal of an interrupted run with three finished batches.

    Returns: path of the output, path of the journal, lines of the journal.
    """
    output = tmp_path / "o[1].json"
    with Journal(output, INFO).open("0") as journal:
        for index in range(3):
            journal.add(index, entry(str(index)))
    (path,) = tmp_path.iterdir()
    return output, path, path.read_bytes().splitlines(keepends=True)


DAMAGE = {
    "garbage": lambda line: b"\xff\xfe garbage \x80\n",
    "other JSON": lambda line: b'{"a": 1}\n',
    "a huge index": lambda line: b"[" + b"9" * 5000 + b', {"images": []}]\n',
    "a negative index": lambda line: b'[-1, {"images": []}]\n',
    "no checksum": lambda line: line[9:],
    "a changed digit": lambda line: line.replace(b"dense_solves", b"dense_solved"),
    "cut short": lambda line: line[: len(line) // 2] + b"\n",
    "NUL": lambda line: b"\0" * len(line) + b"\n",
    "empty": lambda line: b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_line_is_skipped_and_the_others_are_read(written, caplog, damage):
    output, path, lines = written
    path.write_bytes(b"".join([*lines[:2], damage(lines[2]), lines[3]]))
    journal = Journal(output, INFO)
    assert dict(journal.entries()) == {0: entry("0"), 2: entry("2")}
    assert "1 damaged lines are skipped" in caplog.text


@pytest.mark.parametrize("end", [b"", b"\0" * 4096, b"12345678 [3, {", b"\xff"])
def test_an_incomplete_end_is_skipped(written, end):
    output, path, lines = written
    path.write_bytes(b"".join(lines) + end)
    assert sorted(index for index, _ in Journal(output, INFO).entries()) == [0, 1, 2]


@pytest.mark.parametrize("header", [b"garbage\n", b"[1]\n", b"\0\0\n", b"7\n", b"[" * 9999 + b"\n"])
def test_a_journal_with_unreadable_settings_is_skipped(written, caplog, header):
    output, path, lines = written
    path.write_bytes(b"".join([header, *lines[1:]]))
    assert len(Journal(output, INFO)) == 0
    assert "is damaged and skipped" in caplog.text


def test_an_unreadable_journal_is_a_one_line_error(written):
    output, path, _ = written
    path.unlink()
    path.mkdir()
    with pytest.raises(
        UserError, match=r"cannot read .*\.journal\.0-0: Is a directory; .* or remove it"
    ):
        Journal(output, INFO)


def test_other_settings_are_named(written):
    output, _, _ = written
    with pytest.raises(UserError, match=r"other settings \(method\)"):
        Journal(output, INFO | {"method": "tokencut"})


def test_files_with_other_names_are_no_journals(written):
    output, path, _ = written
    others = [
        output.with_name(f"{output.name}.journal.{end}") for end in ("txt", "old-1", "0", "0-0.bak")
    ]
    for other in others:
        other.write_text("mine")
    journal = Journal(output, INFO)
    assert len(journal) == 3
    journal.remove()
    assert not path.exists() and all(other.read_text() == "mine" for other in others)


def test_finished_batches_survive_the_removal_of_the_folder(tmp_path):
    output = tmp_path / "folder" / "o.json"
    with Journal(output, INFO).open("0") as journal:
        journal.add(0, entry("0"))
        shutil.rmtree(output.parent)
        journal.add(1, entry("1"))
        assert dict(journal.entries()) == {0: entry("0"), 1: entry("1")}
        journal.restore()
        assert dict(Journal(output, INFO).entries()) == {0: entry("0"), 1: entry("1")}
        journal.add(2, entry("2"))
        assert dict(journal.entries()) == {index: entry(str(index)) for index in range(3)}


def test_a_journal_that_changes_during_the_run_is_a_one_line_error(written):
    output, path, lines = written
    journal = Journal(output, INFO)
    path.write_bytes(lines[0] + b"\0" * sum(map(len, lines[1:])))
    with pytest.raises(UserError, match="changed while this ran"):
        list(journal.entries())


def test_a_run_that_finished_no_batch_leaves_no_journal(tmp_path):
    with Journal(tmp_path / "o.json", INFO).open("2of3"):
        (path,) = tmp_path.iterdir()
        assert path.name == "o.json.journal.2of3-0"
        assert json.loads(path.read_text()) == {"method": "lost", "sizes": [1, 2]}
    assert not list(tmp_path.iterdir())
