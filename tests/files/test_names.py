"""Names of files: printable, bounded, and unique for each text."""

import pytest

from boxrefine_d2.files.names import cut_to_bytes, file_name_of, shown_name, user_path


def test_undecodable_bytes_are_shown_as_escapes():
    assert shown_name("caf\udce9/中.jpg") == "caf\\xe9/中.jpg"


def test_characters_that_control_a_terminal_or_a_page_are_shown_as_escapes():
    assert shown_name("a\nb\x1b[2J\x00\u202egpj.exe\u2028\ud800") == (
        r"a\nb\x1b[2J\x00\u202egpj.exe\u2028\ud800"
    )
    for name in ("Ärger", "中.jpg", "שלום", "🦝", "a\u200db", "back\\slash"):
        assert shown_name(name) == name


def test_a_leading_tilde_becomes_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(user_path("~/photos")) == "/home/someone/photos"


def test_a_cut_leaves_whole_characters():
    assert cut_to_bytes("中中中", 7) == "中中"


@pytest.mark.parametrize("text", ["cutouts_val", "photos+first=3", "voc_2007_test", "Ärger"])
def test_a_short_plain_text_is_its_own_name(text):
    assert file_name_of(text) == text


def test_no_two_texts_share_a_name():
    texts = [
        "folder:day 1",
        "folder:day_1",
        "folder_day_1",
        "folder:day/1",
        "day_1",
        "x" * 300,
        "x" * 301,
        "..",
        ".",
    ]
    texts.append(file_name_of("folder:day 1"))  # a text that looks like the name of another
    names = {file_name_of(text) for text in texts}
    assert len(names) == len(texts)
    assert not names & {"", ".", ".."}


@pytest.mark.parametrize("text", ["a" * 400, "中" * 200, "caf\udce9" * 100])
def test_a_file_name_keeps_to_its_limit(text):
    assert len(file_name_of(text).encode("utf-8", "surrogateescape")) <= 120
